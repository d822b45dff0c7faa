//! A page of a list: how much is asked for, and where it begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

/// What one call asks of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) size: usize,
    /// The key of the last item that the caller has.
    pub(crate) after: Option<String>,
}

/// What one call gets.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Empty on the last page.
    pub(crate) next_token: String,
}

/// The sizes a list allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) usual: usize,
    pub(crate) most: usize,
}

pub(crate) const USUAL: Sizes = Sizes { usual: 100, most: 1_000 };

impl Asked {
    /// From the two fields of every `List…Request` (AIP-158): too large a size means the largest. The token belongs
    /// to one collection, such as the name of a snapshot.
    pub(crate) fn new(
        collection: &str,
        size: i32,
        token: &str,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let size = match usize::try_from(size) {
            Ok(0) => sizes.usual,
            Ok(size) => size.min(sizes.most),
            Err(_) => return Err(Error::invalid("page_size", "cannot be negative")),
        };
        Ok(Self {
            size,
            after: if token.is_empty() { None } else { Some(key(collection, token)?) },
        })
    }

    /// The key of an item, as a number.
    pub(crate) fn after_ordinal(&self) -> Result<Option<i32>, Error> {
        let parse = |key: &String| key.parse().map_err(|_| foreign());
        self.after.as_ref().map(parse).transpose()
    }
}

impl<T> Page<T> {
    /// From up to one item more than was asked for, which tells whether there is another page.
    pub(crate) fn new(
        collection: &str,
        asked: &Asked,
        mut items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Self {
        let is_last = items.len() <= asked.size;
        items.truncate(asked.size);
        let last = items.last().filter(|_| !is_last);
        let next_token = last.map(|item| token(collection, &key(item))).unwrap_or_default();
        Self { items, next_token }
    }
}

/// The token of the page that begins after a key.
pub(crate) fn token(collection: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{collection}\n{key}"))
}

fn key(collection: &str, token: &str) -> Result<String, Error> {
    let decoded =
        URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded.as_ref().and_then(|text| text.strip_prefix(collection)?.strip_prefix('\n'));
    key.map(str::to_owned).ok_or_else(foreign)
}

pub(crate) fn foreign() -> Error {
    Error::invalid("page_token", "not a token of this list; begin again without one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_of_its_own_list() {
        let asked = Asked::new("a", 2, "", USUAL).unwrap();
        let page = Page::new("a", &asked, vec![5, 6, 7], ToString::to_string);
        assert_eq!(page.items, [5, 6]);
        let next = Asked::new("a", 2, &page.next_token, USUAL).unwrap();
        assert_eq!(next.after_ordinal().unwrap(), Some(6));
        assert!(Asked::new("b", 2, &page.next_token, USUAL).is_err());
    }

    #[test]
    fn the_last_page_has_no_token() {
        let asked = Asked::new("a", 2, "", USUAL).unwrap();
        assert_eq!(Page::new("a", &asked, vec![5, 6], ToString::to_string).next_token, "");
    }

    #[test]
    fn sizes_have_a_default_and_a_limit() {
        let size = |size| Asked::new("a", size, "", USUAL).map(|asked| asked.size);
        assert_eq!(size(0).unwrap(), 100);
        assert_eq!(size(5_000).unwrap(), 1_000);
        assert!(size(-1).is_err());
    }

    #[test]
    fn garbage_is_no_token() {
        for token in ["x", "!!", "YQ"] {
            assert!(Asked::new("a", 1, token, USUAL).is_err(), "{token}");
        }
    }
}
