"""Writes the contacts and events of the segment benchmark as plain columns for `segments.rs`: strings as one byte each,
255 for none, with the strings by line beside them; numbers and moments in seconds as four bytes, amounts as eight.

usage: dump.py PARQUET_DIR OUT_DIR; needs: pip install numpy pyarrow
"""
import pathlib, sys
import pyarrow as pa, pyarrow.parquet as pq

COLUMNS = {"contacts": ["country", "plan", "industry", "lifecycle_stage", "employees", "signed_up_at"],
           "events": ["contact_id", "name", "occurred_at", "amount", "feature"]}

source, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
for table, columns in COLUMNS.items():
    for column in columns:
        values = pq.read_table(source / f"{table}.parquet", columns=[column])[column].combine_chunks()
        if column == "amount":
            values.to_numpy(zero_copy_only=False).astype("<f8").tofile(out / column)
        elif pa.types.is_timestamp(values.type):
            (values.cast("int64").to_numpy() // 1_000_000).astype("<u4").tofile(out / column)
        elif pa.types.is_integer(values.type):
            values.to_numpy().astype("<u4").tofile(out / column)
        else:
            coded = values.cast("string").dictionary_encode()
            coded.indices.fill_null(255).to_numpy().astype("<u1").tofile(out / column)
            (out / f"{column}.txt").write_text("\n".join(coded.dictionary.to_pylist()))
