//! Placeholders that pass through MJML, CSS and HTML untouched, in the place of Jinja tags.

use crate::Part;

/// What stands behind a placeholder.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// The Jinja source that comes back.
    pub(crate) source: String,
    /// Where its author wrote it; none for our own.
    pub(crate) part: Option<Part>,
    pub(crate) line: Option<u32>,
    pub(crate) is_block: bool,
    /// How many conditions and loops are around it.
    pub(crate) depth: usize,
    /// Whether it was put down as a comment of its own, and so must still be one at the end.
    pub(crate) is_comment: bool,
}

#[derive(Debug)]
pub(crate) struct Shield {
    prefix: String,
    hidden: Vec<Hidden>,
}

/// A part of shielded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Literal(&'a str),
    /// By its number.
    Placeholder(usize),
}

impl Shield {
    /// The placeholders' prefix occurs in none of the sources, whatever their authors try.
    pub(crate) fn over(sources: &[&str]) -> Self {
        let mut prefix = "jx".to_owned();
        while sources.iter().any(|source| source.to_ascii_lowercase().contains(&prefix)) {
            prefix.push('q');
        }
        Self { prefix, hidden: Vec::new() }
    }

    /// A placeholder for it: one word of lower-case letters and digits.
    pub(crate) fn hide(&mut self, hidden: Hidden) -> String {
        self.hidden.push(hidden);
        self.word(self.hidden.len() - 1)
    }

    pub(crate) fn word(&self, number: usize) -> String {
        format!("{}{number}z", self.prefix)
    }

    /// A placeholder for an expression of ours.
    pub(crate) fn slot(&mut self, source: &str) -> String {
        self.hide(Hidden {
            source: source.to_owned(),
            part: None,
            line: None,
            is_block: false,
            depth: 0,
            is_comment: false,
        })
    }

    pub(crate) fn hidden(&self, number: usize) -> &Hidden {
        &self.hidden[number]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Hidden)> {
        self.hidden.iter().enumerate()
    }

    /// The placeholder that is all of the text.
    pub(crate) fn only(&self, text: &str) -> Option<&Hidden> {
        match self.pieces(text).as_slice() {
            [Piece::Placeholder(number)] => Some(self.hidden(*number)),
            _ => None,
        }
    }

    pub(crate) fn has_placeholder(&self, text: &str) -> bool {
        text.contains(&self.prefix)
    }

    pub(crate) fn pieces<'a>(&self, shielded: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut rest = shielded;
        let mut literal = 0;
        while let Some(at) = rest[literal..].find(&self.prefix).map(|at| literal + at) {
            let digits = &rest[at + self.prefix.len()..];
            let Some((number, length)) = number(digits, self.hidden.len()) else {
                literal = at + self.prefix.len();
                continue;
            };
            if at > 0 {
                pieces.push(Piece::Literal(&rest[..at]));
            }
            pieces.push(Piece::Placeholder(number));
            rest = &digits[length..];
            literal = 0;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest));
        }
        pieces
    }

    /// A comment of ours among a table's rows, as it is put down: the `tbody` keeps HTML from beginning one after a
    /// condition and ending it after the condition's end.
    pub(crate) fn row(word: &str) -> String {
        format!("<tbody><!--{word}--></tbody>")
    }

    /// The comments alone, once HTML has been read.
    pub(crate) fn without_rows(&self, mut html: String) -> String {
        for number in (0..self.hidden.len()).filter(|number| self.hidden[*number].is_comment) {
            let word = self.word(number);
            let row = Self::row(&word);
            if html.contains(&row) {
                html = html.replace(&row, &format!("<!--{word}-->"));
            }
        }
        html
    }

    /// The text with its tags back, and all else in it made to mean itself: `{#` in a style sheet must not begin a comment.
    pub(crate) fn restore(&self, shielded: &str) -> String {
        let pieces = self.pieces(shielded);
        let mut out = String::with_capacity(shielded.len() * 2);
        for (n, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Placeholder(number) => out.push_str(&self.hidden(*number).source),
                Piece::Literal(text) => {
                    let after_comment =
                        n > 0 && text.starts_with("-->") && ends_comment(&pieces[..n]);
                    let text = if after_comment { &text[3..] } else { text };
                    let before_comment = text.ends_with("<!--") && starts_comment(&pieces[n + 1..]);
                    let text = if before_comment { &text[..text.len() - 4] } else { text };
                    push_literal(&mut out, text, n + 1 < pieces.len());
                }
            }
        }
        out
    }
}

/// Whether the pieces before are `<!--` and a placeholder.
fn ends_comment(before: &[Piece<'_>]) -> bool {
    matches!(before, [.., Piece::Literal(text), Piece::Placeholder(_)] if text.ends_with("<!--"))
}

fn starts_comment(after: &[Piece<'_>]) -> bool {
    matches!(after, [Piece::Placeholder(_), Piece::Literal(text), ..] if text.starts_with("-->"))
}

fn push_literal(out: &mut String, text: &str, tag_follows: bool) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if c == '{' && (matches!(next, Some('{' | '%' | '#')) || (next.is_none() && tag_follows)) {
            out.push_str("{{ '{' }}");
        } else {
            out.push(c);
        }
    }
}

/// A known number ended by `z`, and how much text that took.
fn number(text: &str, known: usize) -> Option<(usize, usize)> {
    let length = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..length].parse().ok().filter(|number| *number < known)?;
    text[length..].starts_with('z').then_some((number, length + 1))
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};
    use proptest::prelude::*;

    use super::*;

    fn shield(source: &str) -> Shield {
        let mut shield = Shield::over(&[source]);
        shield.slot("{{ x }}");
        shield
    }

    #[test]
    fn a_source_cannot_contain_a_placeholder() {
        let mut shield = Shield::over(&["a jx0z b JXQ"]);
        let placeholder = shield.slot("{{ x }}");
        assert_eq!(placeholder, "jxqq0z");
        assert_eq!(shield.restore(&format!("jx0z {placeholder}")), "jx0z {{ x }}");
    }

    #[test]
    fn a_comment_around_a_placeholder_goes_and_others_stay() {
        let shield = shield("");
        assert_eq!(shield.restore("a<!--jx0z-->b"), "a{{ x }}b");
        assert_eq!(shield.restore("<!--jx0z--><!--jx0z-->"), "{{ x }}{{ x }}");
        assert_eq!(shield.restore("<!-- jx0z -->"), "<!-- {{ x }} -->");
        assert_eq!(shield.restore("<!--jx0z"), "<!--{{ x }}");
        assert_eq!(shield.restore("jx0z-->"), "{{ x }}-->");
    }

    #[test]
    fn numbers_that_were_never_given_out_mean_themselves() {
        assert_eq!(
            shield("").restore("jx1z jx0 jxz jx99999999999999999999999z"),
            "jx1z jx0 jxz jx99999999999999999999999z"
        );
    }

    proptest! {
        #[test]
        fn literal_text_renders_as_itself(text in "[{}%#\\-a '<!>]{0,24}", more in "[{}%#a]{0,6}") {
            let shield = shield(&text);
            let shielded = format!("{text}jx0z{more}");
            let env = Environment::new();
            let rendered = env.render_str(&shield.restore(&shielded), context! { x => "X" }).unwrap();
            prop_assume!(!text.ends_with("<!--") || !more.starts_with("-->"));
            prop_assert_eq!(rendered, format!("{text}X{more}"));
        }
    }
}
