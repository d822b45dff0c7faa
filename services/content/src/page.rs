//! A page of a list: how much is asked for, and where it begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

const USUAL: i32 = 100;
const MOST: i32 = 1_000;

/// What one call asks of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) size: i32,
    /// The key of the last item that the caller has.
    pub(crate) after: Option<String>,
}

/// What the database has of a page: as many items as were asked for and fit, and whether there are more.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_more: bool,
}

/// What one call gets.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Empty on the last page.
    pub(crate) next_token: String,
}

impl Asked {
    /// From the two fields of every `List…Request` (AIP-158): too large a size means the largest. The token belongs
    /// to one `list`, such as the name of a template.
    pub(crate) fn new(list: &str, size: i32, token: &str) -> Result<Self, Error> {
        let size = match size {
            0 => USUAL,
            1.. => size.min(MOST),
            _ => return Err(Error::invalid("page_size", "it must not be negative")),
        };
        Ok(Self { size, after: if token.is_empty() { None } else { Some(key(list, token)?) } })
    }
}

impl<T> Page<T> {
    pub(crate) fn new(list: &str, found: Found<T>, key: impl Fn(&T) -> String) -> Self {
        let end = found.items.last().filter(|_| found.has_more);
        let next_token = end.map(|item| token(list, &key(item))).unwrap_or_default();
        Self { items: found.items, next_token }
    }
}

/// That a token is not one of this list.
pub(crate) fn foreign() -> Error {
    Error::invalid("page_token", "it is not a token of this list: begin again without one")
}

fn token(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\n{key}"))
}

fn key(list: &str, token: &str) -> Result<String, Error> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded.as_ref().and_then(|text| text.strip_prefix(list)?.strip_prefix('\n'));
    key.map(str::to_owned).ok_or_else(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_list_only() {
        let found = Found { items: vec![5, 6], has_more: true };
        let page = Page::new("a", found, ToString::to_string);
        let next = Asked::new("a", 2, &page.next_token).unwrap();
        assert_eq!(next.after.as_deref(), Some("6"));
        assert!(Asked::new("b", 2, &page.next_token).is_err());
    }

    #[test]
    fn the_last_page_has_no_token() {
        let found = Found { items: vec![5, 6], has_more: false };
        assert_eq!(Page::new("a", found, ToString::to_string).next_token, "");
    }

    #[test]
    fn sizes_are_bounded_and_made_up_tokens_refused() {
        let size = |size| Asked::new("a", size, "").map(|asked| asked.size);
        assert_eq!((size(0).unwrap(), size(7).unwrap(), size(i32::MAX).unwrap()), (100, 7, 1_000));
        assert!(size(-1).is_err());
        for token in ["x", "!!", "YQ"] {
            assert!(Asked::new("a", 1, token).is_err(), "{token}");
        }
    }
}
