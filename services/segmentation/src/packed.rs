//! How attributes and properties are stored: name after name with its value, in a few bytes.
//!
//! A value is a tag and its content; integers are little-endian. Attributes are named by two bytes of number,
//! properties by one byte of length and the name. Reading borrows, because blocks of contacts are read this way.

use std::collections::BTreeMap;

use cursus_audience as audience;

use crate::value::Value;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const TIME: u8 = 4;
const TEXTS: u8 = 5;

/// What is stored is not what we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored values are malformed")]
pub(crate) struct Malformed;

/// Packs attributes by number.
pub(crate) fn pack_attributes(attributes: &BTreeMap<i16, Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(attributes.len() * 12);
    for (number, value) in attributes {
        out.extend(number.to_le_bytes());
        pack(&mut out, value);
    }
    out
}

/// Packs properties by name; names have at most 255 bytes.
pub(crate) fn pack_properties(properties: &BTreeMap<String, Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(properties.len() * 20);
    for (name, value) in properties {
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend(&name.as_bytes()[..name.len().min(255)]);
        pack(&mut out, value);
    }
    out
}

/// The attributes in packed bytes, lowest number first.
pub(crate) fn attributes(bytes: &[u8]) -> Unpacked<'_, i16> {
    Unpacked { rest: Bytes(bytes), name: |bytes| bytes.array().map(i16::from_le_bytes) }
}

/// The properties in packed bytes, in the order of their names.
pub(crate) fn properties(bytes: &[u8]) -> Unpacked<'_, &str> {
    Unpacked {
        rest: Bytes(bytes),
        name: |bytes| bytes.byte().and_then(|length| bytes.text(length.into())),
    }
}

/// Values by name, read one after another.
pub(crate) struct Unpacked<'a, N> {
    rest: Bytes<'a>,
    name: fn(&mut Bytes<'a>) -> Option<N>,
}

impl<'a, N> Iterator for Unpacked<'a, N> {
    type Item = Result<(N, audience::Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let read = (self.name)(&mut self.rest).and_then(|name| Some((name, self.rest.value()?)));
        if read.is_none() {
            self.rest = Bytes(&[]);
        }
        Some(read.ok_or(Malformed))
    }
}

fn pack(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            out.push(TEXT);
            pack_text(out, text);
        }
        Value::Number(number) => {
            out.push(NUMBER);
            out.extend(number.to_le_bytes());
        }
        Value::Flag(flag) => out.push(if *flag { TRUE } else { FALSE }),
        Value::Time(time) => {
            out.push(TIME);
            out.extend(time.timestamp_micros().to_le_bytes());
        }
        Value::Texts(texts) => {
            out.push(TEXTS);
            out.push(u8::try_from(texts.len()).unwrap_or(u8::MAX));
            texts.iter().take(255).for_each(|text| pack_text(out, text));
        }
    }
}

fn pack_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_le_bytes());
    out.extend(&text.as_bytes()[..length.into()]);
}

/// What is left to read.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn value(&mut self) -> Option<audience::Value<'a>> {
        Some(match self.byte()? {
            TEXT => audience::Value::Text(self.long_text()?),
            NUMBER => audience::Value::Number(f64::from_le_bytes(self.array()?)),
            FALSE => audience::Value::Flag(false),
            TRUE => audience::Value::Flag(true),
            TIME => audience::Value::Time(i64::from_le_bytes(self.array()?)),
            TEXTS => {
                let count = self.byte()?;
                audience::Value::Texts((0..count).map(|_| self.long_text()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    fn long_text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,20}".prop_map(Value::Text),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
            (-60_000_000_000_000_000..200_000_000_000_000_000_i64)
                .prop_map(|micros| Value::Time(DateTime::from_timestamp_micros(micros).unwrap())),
            btree_set(".{0,5}", 0..5).prop_map(Value::Texts),
        ]
    }

    proptest! {
        #[test]
        fn attributes_survive_the_way_through_storage(written in btree_map(1..i16::MAX, value(), 0..20)) {
            let bytes = pack_attributes(&written);
            let read: Result<BTreeMap<i16, Value>, Malformed> =
                attributes(&bytes).map(|read| read.map(|(number, value)| (number, value.into()))).collect();
            prop_assert_eq!(read.unwrap(), written);
        }

        #[test]
        fn properties_survive_the_way_through_storage(written in btree_map(".{1,20}", value(), 0..20)) {
            let bytes = pack_properties(&written);
            let read: Result<BTreeMap<String, Value>, Malformed> = properties(&bytes)
                .map(|read| read.map(|(name, value)| (name.to_owned(), value.into())))
                .collect();
            prop_assert_eq!(read.unwrap(), written);
        }

        #[test]
        fn arbitrary_bytes_end_in_an_error_and_never_in_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            prop_assert!(attributes(&bytes).take(300).count() <= 200);
            prop_assert!(properties(&bytes).take(300).count() <= 200);
        }
    }

    #[test]
    fn cut_off_bytes_are_noticed() {
        let bytes = pack_attributes(&BTreeMap::from([(7, Value::Text("berlin".to_owned()))]));
        let read: Vec<_> = attributes(&bytes[..bytes.len() - 1]).collect();
        assert_eq!(read, [Err(Malformed)]);
    }
}
