//! One attribute of all contacts of a block.

use std::collections::{BTreeMap, HashMap};

use crate::bitset::Bitset;

/// Which contacts have a value, and the values.
#[derive(Debug, Default)]
pub(crate) struct Column<T> {
    pub(crate) present: Bitset,
    pub(crate) values: T,
}

/// A value for each slot up to the block's last, and anything where there is none.
impl<T: Copy + Default> Column<Vec<T>> {
    pub(crate) fn set(&mut self, slot: u16, value: T) {
        let index = usize::from(slot);
        if self.values.len() <= index {
            self.values.resize(index + 1, T::default());
        }
        self.values[index] = value;
        self.present.insert(slot);
    }

    pub(crate) fn cover(&mut self, slots: usize) {
        self.values.resize(slots, T::default());
        self.values.shrink_to_fit();
    }
}

impl Column<Bitset> {
    pub(crate) fn set(&mut self, slot: u16, value: bool) {
        if value {
            self.values.insert(slot);
        } else {
            self.values.remove(slot);
        }
        self.present.insert(slot);
    }
}

/// Strings as codes, each an index into the dictionary.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) codes: Vec<u32>,
    pub(crate) dictionary: Vec<Box<str>>,
}

impl Texts {
    pub(crate) fn text(&self, index: usize) -> &str {
        &self.dictionary[self.codes[index] as usize]
    }
}

/// Sets of strings, inverted: the slots, ascending, of each string that is in any.
pub(crate) type TextSets = BTreeMap<Box<str>, Vec<u16>>;

/// Gives each distinct string a code, in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Coder {
    codes: HashMap<Box<str>, u32>,
}

impl Coder {
    pub(crate) fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = u32::try_from(self.codes.len()).expect("a block has fewer strings than 2^32");
        self.codes.insert(text.into(), code);
        code
    }

    /// The strings by their codes.
    pub(crate) fn into_dictionary(self) -> Vec<Box<str>> {
        let mut texts: Vec<(Box<str>, u32)> = self.codes.into_iter().collect();
        texts.sort_unstable_by_key(|(_, code)| *code);
        texts.into_iter().map(|(text, _)| text).collect()
    }
}
