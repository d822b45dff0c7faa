//! Bytes, cut anywhere, into records.

use crate::error::Error;

/// The most bytes of a record, and the most values.
const LONGEST_RECORD: usize = 1 << 20;
const MOST_VALUES: usize = 1_000;
/// What some programs write before everything else to say that it is UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads records out of bytes that come bit by bit.
#[derive(Debug)]
pub(crate) struct Reader {
    core: csv_core::Reader,
    delimiter: u8,
    /// How much of the mark was found, while nothing else was.
    marked: Option<usize>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both is of the record that is being read.
    filled: usize,
    ended: usize,
    /// How many records were read.
    count: u64,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Counted from 1, as people do who open the file.
    pub(crate) row: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Reader {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            marked: Some(0),
            bytes: vec![0; 1_024],
            ends: vec![0; 64],
            filled: 0,
            ended: 0,
            count: 0,
        }
    }

    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Reads up to the end of a record, if it is there, and says how much was read. No bytes at all are the end of the
    /// file, and end its last record.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Record>), Error> {
        use csv_core::ReadRecordResult as Read;
        let mut consumed = self.skip_mark(input);
        if consumed > 0 && consumed == input.len() {
            return Ok((consumed, None));
        }
        loop {
            let (read, taken) = self.advance(&input[consumed..]);
            consumed += taken;
            match read {
                Read::InputEmpty | Read::End => return Ok((consumed, None)),
                Read::OutputFull => self.grow_bytes()?,
                Read::OutputEndsFull => self.grow_ends()?,
                Read::Record => return Ok((consumed, Some(self.record()))),
            }
        }
    }

    fn advance(&mut self, input: &[u8]) -> (csv_core::ReadRecordResult, usize) {
        let bytes = &mut self.bytes[self.filled..];
        let (read, taken, filled, ended) =
            self.core.read_record(input, bytes, &mut self.ends[self.ended..]);
        self.filled += filled;
        self.ended += ended;
        (read, taken)
    }

    /// Passes over the mark, which may come cut as well, and says how many bytes of the input that took.
    fn skip_mark(&mut self, input: &[u8]) -> usize {
        let Some(found) = self.marked else { return 0 };
        let same = MARK[found..].iter().zip(input).take_while(|(mark, byte)| mark == byte).count();
        let found = found + same;
        if found < MARK.len() && same == input.len() && !input.is_empty() {
            self.marked = Some(found);
            return same;
        }
        self.marked = None;
        if found < MARK.len() {
            // It only began like the mark. So few bytes end nothing.
            self.advance(&MARK[..found]);
        }
        same
    }

    fn record(&mut self) -> Record {
        self.count += 1;
        let record = Record {
            row: self.count,
            bytes: self.bytes[..self.filled].to_vec(),
            ends: self.ends[..self.ended].to_vec(),
        };
        self.filled = 0;
        self.ended = 0;
        record
    }

    fn grow_bytes(&mut self) -> Result<(), Error> {
        if self.bytes.len() >= LONGEST_RECORD {
            return Err(self.too("longer than 1 MiB; perhaps a quote is not closed"));
        }
        let longer = (self.bytes.len() * 2).min(LONGEST_RECORD);
        self.bytes.resize(longer, 0);
        Ok(())
    }

    fn grow_ends(&mut self) -> Result<(), Error> {
        if self.ends.len() >= MOST_VALUES {
            return Err(self.too("of more than 1,000 values"));
        }
        let more = (self.ends.len() * 2).min(MOST_VALUES);
        self.ends.resize(more, 0);
        Ok(())
    }

    /// A record without bounds has no end that could be found: what came before it is imported, and nothing after it.
    fn too(&self, large: &str) -> Error {
        let row = self.count + 1;
        Error::invalid("chunk", format!("row {row} is {large}; the rows before it are imported"))
    }
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// The values as text, or the index of the first that is none.
    pub(crate) fn texts(&self) -> Result<Vec<&str>, usize> {
        let texts = self.values().enumerate();
        texts.map(|(index, value)| std::str::from_utf8(value).map_err(|_| index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut input: &[u8], cut: usize) -> Result<Vec<Vec<String>>, Error> {
        let mut reader = Reader::new(b',');
        let mut records = Vec::new();
        loop {
            let part = &input[..cut.min(input.len())];
            let (consumed, record) = reader.read(part)?;
            let is_end = part.is_empty() && record.is_none();
            records.extend(record);
            input = &input[consumed..];
            if is_end {
                let texts = |record: Record| {
                    record.texts().unwrap().into_iter().map(str::to_owned).collect()
                };
                return Ok(records.into_iter().map(texts).collect());
            }
        }
    }

    #[test]
    fn rows_are_numbered_and_values_may_be_quoted() {
        let input = "\u{feff}id,note\r\n1,\"a, \"\"b\"\"\nc\"\n\n2,last".as_bytes();
        let expected = [["id", "note"], ["1", "a, \"b\"\nc"], ["2", "last"]];
        assert_eq!(read(input, 4_096).unwrap(), expected);
        assert_eq!(read(input, 1).unwrap(), expected);
    }

    #[test]
    fn what_only_begins_like_a_mark_is_kept() {
        for cut in [1, 2, 100] {
            assert_eq!(read("\u{feff}\"id\"\n1".as_bytes(), cut).unwrap(), [["id"], ["1"]]);
            // Of the same first byte.
            assert_eq!(read("\u{f000}d\n1".as_bytes(), cut).unwrap(), [["\u{f000}d"], ["1"]]);
            assert!(read("\u{feff}".as_bytes(), cut).unwrap().is_empty());
        }
    }

    #[test]
    fn a_record_without_end_is_refused_with_its_row() {
        let mut input = b"id,note\n1,\"never closed".to_vec();
        input.resize(2 << 20, b'x');
        let error = read(&input, 1 << 16).unwrap_err().to_string();
        assert!(error.contains("row 2 is longer than 1 MiB"), "{error}");
        let wide = ",".repeat(1_001);
        let error = read(wide.as_bytes(), 1 << 16).unwrap_err().to_string();
        assert!(error.contains("row 1 is of more than 1,000 values"), "{error}");
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_bytes_are_cut(
            rows in proptest::collection::vec(proptest::collection::vec("[a-z\",\n\r é]{1,80}", 3), 1..9),
            cut in 1_usize..200,
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let written = writer.into_inner().unwrap();
            prop_assert_eq!(read(&written, cut).unwrap(), rows);
        }

        #[test]
        fn arbitrary_bytes_never_end_in_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..500), cut in 1_usize..50
        ) {
            let mut reader = Reader::new(b',');
            for part in bytes.chunks(cut) {
                let mut part = part;
                while !part.is_empty() {
                    let (consumed, record) = reader.read(part).unwrap();
                    prop_assert!(consumed > 0 || record.is_some());
                    part = &part[consumed..];
                }
            }
        }
    }
}
