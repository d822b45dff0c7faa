"""Prints a Parquet file of the segment benchmark in the binary format that Postgres copies into the table of that name.

usage: rows.py contacts|events FILE WORKSPACE
Attributes and properties are packed as the service stores them: see `packed.rs`.
"""
import struct
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TEXT, NUMBER, FALSE, TRUE, TIME = range(5)
# In the order of their numbers, from 1 on.
ATTRIBUTES = ["country", "industry", "plan", "lifecycle_stage", "deal_stage", "employees", "annual_revenue", "mrr",
              "is_admin", "signed_up_at"]
PROPERTIES = ["amount", "feature"]
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), struct.pack(">h", -1)
# Where Postgres counts from, in microseconds.
EPOCH = 946_684_800_000_000


def binary(rows):
    """An array of the rows of a matrix of bytes."""
    count, width = rows.shape
    offsets = pa.py_buffer(np.arange(count + 1, dtype=np.int32) * width)
    return pa.Array.from_buffers(pa.binary(), count, [None, offsets, pa.py_buffer(np.ascontiguousarray(rows))])


def prefixed(prefix, numbers):
    """Rows of the prefix and the bytes of a number each."""
    width = len(prefix)
    rows = np.empty((len(numbers), width + numbers.itemsize), dtype=np.uint8)
    rows[:, :width] = np.frombuffer(prefix, dtype=np.uint8)
    rows[:, width:] = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), -1)
    return binary(rows)


def join(*parts):
    return pc.binary_join_element_wise(*parts, b"", null_handling="replace", null_replacement=b"")


def coded(values, encode):
    """What each text is encoded as, where they are few."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    values = values.cast(pa.string()).dictionary_encode()
    return pa.array([encode(text.encode()) for text in values.dictionary.to_pylist()], pa.binary()).take(values.indices)


def packed(name, values):
    """The name and the value of each row; null where there is none."""
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, name + bytes([TRUE]), name + bytes([FALSE]))
    if pa.types.is_timestamp(values.type):
        tag, numbers = TIME, micros(values.fill_null(0)).astype("<i8")
    elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        tag, numbers = NUMBER, values.cast(pa.float64()).fill_null(0).to_numpy().astype("<f8")
    else:
        return coded(values, lambda text: name + struct.pack("<BH", TEXT, len(text)) + text)
    return pc.if_else(pc.is_valid(values), prefixed(name + bytes([tag]), numbers), pa.scalar(None, pa.binary()))


def micros(values):
    return values.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()


def field(values):
    """A column of texts or bytes, each with its length before it."""
    values = values.cast(pa.binary())
    return [prefixed(b"", pc.binary_length(values).to_numpy().astype(">i4")), values]


def fixed(number_type, numbers):
    """A column of numbers of one width."""
    return [prefixed(struct.pack(">i", np.dtype(number_type).itemsize), numbers.astype(number_type))]


def time(values):
    return fixed(">i8", micros(values) - EPOCH)


def ordinal(values):
    return fixed(">i4", values.to_numpy() - 1)


def begin(columns, text):
    return struct.pack(">hi", columns, len(text)) + text


def contacts(batch, workspace):
    identity = batch["contact_id"]
    names = (struct.pack("<H", number) for number, _ in enumerate(ATTRIBUTES, 1))
    attributes = join(*(packed(name, batch[attribute]) for name, attribute in zip(names, ATTRIBUTES)))
    # Workspace, ordinal, create time, update time, id, e-mail address, attributes.
    signed_up = time(batch["signed_up_at"])
    identifier = pc.binary_join_element_wise("c", identity.cast(pa.string()), "")
    return [begin(7, workspace), *ordinal(identity), *signed_up, *signed_up, *field(identifier), *field(batch["email"]),
            *field(attributes)]


def events(batch, workspace):
    names = coded(batch["name"], lambda text: begin(7, workspace) + struct.pack(">i", len(text)) + text)
    properties = join(*(packed(bytes([len(name)]) + name.encode(), batch[name]) for name in PROPERTIES))
    # Workspace and name, ordinal, event time, record time, id, properties.
    occurred = time(batch["occurred_at"])
    return [names, *ordinal(batch["contact_id"]), *occurred, *occurred, *field(batch["event_id"].cast(pa.string())),
            *field(properties)]


def main():
    table, path, workspace = sys.argv[1:]
    rows = {"contacts": contacts, "events": events}[table]
    out = sys.stdout.buffer
    out.write(HEADER)
    for batch in pq.ParquetFile(path).iter_batches(batch_size=100_000):
        columns = {name: batch.column(name) for name in batch.schema.names}
        joined = join(*rows(columns, workspace.encode()))
        out.write(joined.buffers()[2].slice(0, pc.sum(pc.binary_length(joined)).as_py()))
    out.write(TRAILER)


main()
