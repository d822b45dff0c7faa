//! Strings as codes of one, two or four bytes, each a place in a dictionary.

use indexmap::IndexSet;

use crate::times::push;

/// The code of no string; that of a string is one more than its place in the dictionary.
pub(crate) const NO_TEXT: u32 = 0;

/// A dictionary is looked through for strings that nobody has any more only when it has this many, at least.
const FEW_TEXTS: usize = 1_024;

/// A column of strings, some of which may be missing.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) codes: Codes,
    dictionary: IndexSet<Box<str>>,
    /// How many strings the dictionary had when unused ones were last forgotten.
    settled: usize,
}

/// Codes in as few bytes as hold the largest.
#[derive(Debug)]
pub(crate) enum Codes {
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
}

impl Texts {
    /// The string at an index where there is one.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.get(index).expect("the string is present")
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let place = self.codes.get(index).checked_sub(1)?;
        Some(&self.dictionary[place as usize])
    }

    /// The distinct strings, in the order of their codes.
    pub(crate) fn dictionary(&self) -> impl ExactSizeIterator<Item = &str> {
        self.dictionary.iter().map(AsRef::as_ref)
    }

    /// The code of a string, if anybody has it.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.dictionary.get_index_of(text).map(code)
    }

    pub(crate) fn set(&mut self, index: usize, text: &str) {
        let code = self.code(text);
        if self.codes.len() <= index {
            self.codes.resize(index + 1);
        }
        self.codes.set(index, code);
    }

    /// Sets what was pushed last.
    pub(crate) fn set_last(&mut self, text: &str) {
        self.set(self.codes.len() - 1, text);
    }

    pub(crate) fn cover(&mut self, slots: usize) {
        self.codes.resize(slots);
        self.codes.shrink();
        self.settled = self.dictionary.len();
    }

    /// Takes the string of each index from a place in another column.
    pub(crate) fn replace(&mut self, places: impl Iterator<Item = (usize, usize)>, other: &Self) {
        let codes = self.translated(other);
        for (index, place) in places {
            let code = if place < other.codes.len() { other.codes.get(place) } else { NO_TEXT };
            self.codes.set(index, codes[code as usize]);
        }
    }

    /// Adds the strings at some places of another column.
    pub(crate) fn extend(&mut self, places: impl Iterator<Item = usize>, other: &Self) {
        let codes = self.translated(other);
        for place in places {
            self.codes.push(codes[other.codes.get(place) as usize]);
        }
    }

    /// Drops strings that nobody has once they may be as many as those that somebody has.
    pub(crate) fn forget_unused(&mut self) {
        if self.dictionary.len() < 2 * self.settled + FEW_TEXTS {
            return;
        }
        let mut is_used = vec![false; self.dictionary.len() + 1];
        self.codes.iter().for_each(|code| is_used[code as usize] = true);
        let mut codes = vec![NO_TEXT; is_used.len()];
        for (old, text) in (1..).zip(std::mem::take(&mut self.dictionary)) {
            if is_used[old] {
                codes[old] = code(self.dictionary.insert_full(text).0);
            }
        }
        self.codes = self.codes.iter().map(|code| codes[code as usize]).collect();
        self.settled = self.dictionary.len();
    }

    /// Keeps what is at some indices, in their order.
    pub(crate) fn keep(&mut self, kept: &[u32]) {
        match &mut self.codes {
            Codes::Bytes(codes) => keep(codes, kept),
            Codes::Shorts(codes) => keep(codes, kept),
            Codes::Words(codes) => keep(codes, kept),
        }
        self.forget_unused();
    }

    pub(crate) fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Bytes(codes) => codes.capacity(),
            Codes::Shorts(codes) => 2 * codes.capacity(),
            Codes::Words(codes) => 4 * codes.capacity(),
        };
        // A string has its pointer, length, hash and place in the index beside it.
        codes + self.dictionary().map(|text| text.len() + 40).sum::<usize>()
    }

    /// The codes that the other column's have here.
    fn translated(&mut self, other: &Self) -> Vec<u32> {
        let codes = other.dictionary.iter().map(|text| self.code(text));
        std::iter::once(NO_TEXT).chain(codes).collect()
    }

    fn code(&mut self, text: &str) -> u32 {
        match self.dictionary.get_index_of(text) {
            Some(place) => code(place),
            None => code(self.dictionary.insert_full(text.into()).0),
        }
    }
}

impl Codes {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(codes) => codes.len(),
            Self::Shorts(codes) => codes.len(),
            Self::Words(codes) => codes.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> u32 {
        match self {
            Self::Bytes(codes) => codes[index].into(),
            Self::Shorts(codes) => codes[index].into(),
            Self::Words(codes) => codes[index],
        }
    }

    pub(crate) fn push(&mut self, code: u32) {
        self.widen(code);
        match self {
            Self::Bytes(codes) => push(codes, narrow(code)),
            Self::Shorts(codes) => push(codes, narrow(code)),
            Self::Words(codes) => push(codes, code),
        }
    }

    fn set(&mut self, index: usize, code: u32) {
        self.widen(code);
        match self {
            Self::Bytes(codes) => codes[index] = narrow(code),
            Self::Shorts(codes) => codes[index] = narrow(code),
            Self::Words(codes) => codes[index] = code,
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn resize(&mut self, length: usize) {
        match self {
            Self::Bytes(codes) => codes.resize(length, 0),
            Self::Shorts(codes) => codes.resize(length, 0),
            Self::Words(codes) => codes.resize(length, 0),
        }
    }

    fn shrink(&mut self) {
        match self {
            Self::Bytes(codes) => codes.shrink_to_fit(),
            Self::Shorts(codes) => codes.shrink_to_fit(),
            Self::Words(codes) => codes.shrink_to_fit(),
        }
    }

    /// Makes each code wide enough for one as large as this.
    fn widen(&mut self, code: u32) {
        let fits = match self {
            Self::Bytes(_) => code <= u8::MAX.into(),
            Self::Shorts(_) => code <= u16::MAX.into(),
            Self::Words(_) => true,
        };
        if fits {
            return;
        }
        *self = if code <= u16::MAX.into() {
            Self::Shorts(self.iter().map(narrow).collect())
        } else {
            Self::Words(self.iter().collect())
        };
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl FromIterator<u32> for Codes {
    fn from_iter<I: IntoIterator<Item = u32>>(codes: I) -> Self {
        let mut found = Self::default();
        codes.into_iter().for_each(|code| found.push(code));
        found
    }
}

/// Keeps the values at some indices, in their order.
pub(crate) fn keep<T: Copy>(values: &mut Vec<T>, kept: &[u32]) {
    *values = kept.iter().map(|index| values[*index as usize]).collect();
}

fn code(place: usize) -> u32 {
    u32::try_from(place + 1).expect("a block has fewer strings than 2^32")
}

fn narrow<T: TryFrom<u32>>(code: u32) -> T {
    T::try_from(code).unwrap_or_else(|_| unreachable!("the codes were widened"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More strings than one byte, and then than two bytes, can tell apart.
    #[test]
    fn codes_widen_as_strings_come_and_narrow_as_they_go() {
        let mut texts = Texts::default();
        for index in 0..70_000 {
            texts.set(index, &index.to_string());
            let is_expected = match index {
                0..255 => matches!(texts.codes, Codes::Bytes(_)),
                255..65_535 => matches!(texts.codes, Codes::Shorts(_)),
                _ => matches!(texts.codes, Codes::Words(_)),
            };
            assert!(is_expected, "{index}");
        }
        assert!((0..70_000).all(|index| texts.text(index) == index.to_string()));
        assert_eq!(texts.find("69999"), Some(70_000));
        texts.keep(&[69_999, 1, 1]);
        assert_eq!([0, 1, 2].map(|index| texts.text(index)), ["69999", "1", "1"]);
        assert_eq!(texts.dictionary().collect::<Vec<_>>(), ["1", "69999"]);
        assert!(matches!(texts.codes, Codes::Bytes(_)));
    }

    #[test]
    fn a_string_from_another_column_keeps_its_meaning() {
        let mut ours = Texts::default();
        ["a", "b", "c"].iter().enumerate().for_each(|(index, text)| ours.set(index, text));
        let mut theirs = Texts::default();
        theirs.set(1, "d");
        theirs.set(2, "a");
        ours.replace([(0, 0), (2, 1)].into_iter(), &theirs);
        ours.extend([2, 0].into_iter(), &theirs);
        let texts: Vec<_> = (0..5).map(|index| ours.get(index)).collect();
        assert_eq!(texts, [None, Some("b"), Some("d"), Some("a"), None]);
    }
}
