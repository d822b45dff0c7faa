//! Where the Jinja tags of a source are, as the template engine itself sees them.

use std::ops::Range;

use minijinja::{
    machinery::{Span, Token, Tokenizer},
    syntax::SyntaxConfig,
};

use crate::{Code, Finding, Part};

/// Blocks may nest this deep, and one may have this many branches. The engine's parser and compiler recurse into both, and
/// a process that runs out of stack is gone.
const BLOCK_LIMIT: usize = 32;
/// An expression may have this many words and signs: each may be a level of its own, as in `a|b|c`.
const TOKEN_LIMIT: usize = 200;

/// One `{{ … }}`, `{% … %}` or `{# … #}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) range: Range<usize>,
    pub(crate) line: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value,
    /// A statement, by its first word.
    Block(String),
    Comment,
}

/// All tags of a source, in order. What it lets through, the engine can parse.
pub(crate) fn find(source: &str, part: Part) -> Result<Vec<Tag>, Finding> {
    let mut search = Search { source, part, tags: Vec::new(), branches: Vec::new(), end: 0 };
    let mut open: Option<(Tag, usize)> = None;
    let mut tokenizer = Tokenizer::new(source, "source", false, SyntaxConfig::default());
    loop {
        let token =
            tokenizer.next_token().map_err(|error| Finding::engine(Code::Syntax, part, &error))?;
        let Some((token, span)) = token else { break };
        match (token, &mut open) {
            (Token::VariableStart, _) => open = Some((started(span, Kind::Value), 0)),
            (Token::BlockStart, _) => open = Some((started(span, Kind::Block(String::new())), 0)),
            (Token::VariableEnd | Token::BlockEnd, Some(_)) => {
                let (tag, _) = open.take().expect("it was just matched");
                search.close(tag, span.end_offset as usize)?;
            }
            (token, Some((tag, tokens))) => {
                *tokens += 1;
                if *tokens > TOKEN_LIMIT {
                    let message = format!(
                        "more than {TOKEN_LIMIT} words and signs in one tag: split it with `set`"
                    );
                    return Err(Finding::error(Code::TooLarge, part, message).at(tag.line));
                }
                if let (Token::Ident(word), Kind::Block(keyword)) = (token, &mut tag.kind)
                    && keyword.is_empty()
                {
                    word.clone_into(keyword);
                }
            }
            _ => {}
        }
    }
    if let Some((tag, _)) = open {
        let message = "a tag is not closed: add `}}` or `%}`";
        return Err(Finding::error(Code::Syntax, part, message).at(tag.line));
    }
    search.comments(source.len())?;
    Ok(search.tags)
}

/// The line of an offset, counted from 1.
pub(crate) fn line_of(source: &str, offset: usize) -> u32 {
    let breaks = source[..offset].matches('\n').count();
    u32::try_from(breaks + 1).unwrap_or(u32::MAX)
}

fn started(span: Span, kind: Kind) -> Tag {
    let start = span.start_offset as usize;
    Tag { range: start..start, line: u32::from(span.start_line), kind }
}

struct Search<'a> {
    source: &'a str,
    part: Part,
    tags: Vec<Tag>,
    /// Open blocks, by how many branches they have.
    branches: Vec<usize>,
    end: usize,
}

impl Search<'_> {
    fn close(&mut self, mut tag: Tag, end: usize) -> Result<(), Finding> {
        self.comments(tag.range.start)?;
        self.end = end;
        tag.range.end = end;
        if let Kind::Block(word) = &tag.kind {
            match word.as_str() {
                "if" | "for" => self.branches.push(1),
                "endif" | "endfor" => drop(self.branches.pop()),
                "elif" => {
                    if let Some(branches) = self.branches.last_mut() {
                        *branches += 1;
                    }
                }
                _ => {}
            }
            if self.branches.len() > BLOCK_LIMIT
                || self.branches.last().is_some_and(|branches| *branches > BLOCK_LIMIT)
            {
                let message = format!(
                    "more than {BLOCK_LIMIT} conditions and loops inside each other, or branches of one: take some apart"
                );
                return Err(Finding::error(Code::TooDeep, self.part, message).at(tag.line));
            }
        }
        self.tags.push(tag);
        Ok(())
    }

    /// Reads on between tags. The tokenizer is silent about comments and about `raw` blocks, which it takes for text.
    fn comments(&mut self, until: usize) -> Result<(), Finding> {
        let mut from = self.end;
        while let Some(found) = self.source[from..until].find("{#").map(|at| from + at) {
            self.refuse_raw(from..found)?;
            let end = self.source[found..until].find("#}").map_or(until, |at| found + at + 2);
            let line = line_of(self.source, found);
            self.tags.push(Tag { range: found..end, line, kind: Kind::Comment });
            from = end;
        }
        self.refuse_raw(from..until)
    }

    fn refuse_raw(&self, text: Range<usize>) -> Result<(), Finding> {
        let Some(at) = self.source[text.clone()].find("{%") else { return Ok(()) };
        let message = "`raw` blocks are not supported: to show braces, write `{{ \"{{\" }}`";
        let line = line_of(self.source, text.start + at);
        Err(Finding::error(Code::Unsupported, self.part, message).at(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[&str]) {
        let tags = find(source, Part::Body).unwrap();
        let found: Vec<_> = tags.into_iter().map(|tag| &source[tag.range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn tags_are_found_with_their_delimiters() {
        check(
            "a {{ b }} c {%- if d -%} e {# f #}{% endif %}",
            &["{{ b }}", "{%- if d -%}", "{# f #}", "{% endif %}"],
        );
        check("{{ \"}}\" }}{{ {\"a\": {}} }}", &["{{ \"}}\" }}", "{{ {\"a\": {}} }}"]);
        check("no { tags } at % all", &[]);
        check("ä{{ o }}ü", &["{{ o }}"]);
    }

    #[test]
    fn blocks_know_their_word_and_line() {
        let tags = find("\n\n{% elif x %}", Part::Body).unwrap();
        assert_eq!(tags[0].kind, Kind::Block("elif".to_owned()));
        assert_eq!(tags[0].line, 3);
    }

    #[test]
    fn raw_blocks_are_refused_where_they_stand() {
        for source in ["a\n{% raw %}{{ x }}{% endraw %}", "a {# b #}\n{% raw %}{% endraw %}{{ c }}"]
        {
            let finding = find(source, Part::Text).unwrap_err();
            assert_eq!((finding.code, finding.line), (Code::Unsupported, Some(2)), "{source}");
        }
    }

    #[test]
    fn an_unfinished_tag_is_a_syntax_error_with_its_line() {
        let finding = find("a\n{{ b", Part::Subject).unwrap_err();
        assert_eq!((finding.code, finding.line), (Code::Syntax, Some(2)));
    }
}
