//! Follows markup just closely enough to know, between any two characters, what one is inside of.

use crate::{Code, Finding, Part};

/// Elements of a source may nest this deep. The parsers behind this recurse, and a process that runs out of stack is gone.
const ELEMENT_LIMIT: usize = 64;

const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Elements whose content is not markup.
pub(crate) const OPAQUE: [&str; 3] = ["mj-style", "script", "style"];

/// Two places are in the same region when no markup begins or ends between them that does not also end or begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    id: u32,
    conditional: bool,
}

pub(crate) struct Scan {
    pub(crate) state: State,
    /// Open elements and their regions.
    stack: Vec<(String, u32)>,
    limit: usize,
    regions: u32,
    /// Between `<!--[if mso]>` and its end: markup for MJML, a comment for everyone but Outlook.
    pub(crate) conditional: bool,
    /// Where in what was read last a `>` stands in text, and whether that text is no markup.
    pub(crate) greater: Vec<(usize, bool)>,
}

pub(crate) enum State {
    Content,
    Element {
        name: String,
        closing: bool,
        ended_by_slash: bool,
    },
    /// Inside an attribute's quotes.
    Quoted {
        quote: u8,
        region: u32,
        element: (String, bool),
    },
    Comment {
        region: u32,
    },
}

impl Scan {
    /// Of what an author wrote.
    pub(crate) fn of_source() -> Self {
        Self { limit: ELEMENT_LIMIT, ..Self::of_output() }
    }

    /// Of what MJML has made of it, which is deeper.
    pub(crate) fn of_output() -> Self {
        Self {
            state: State::Content,
            stack: Vec::new(),
            limit: usize::MAX,
            regions: 0,
            conditional: false,
            greater: Vec::new(),
        }
    }

    /// Reads on. A finding comes with its offset.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), (usize, Finding)> {
        let mut at = 0;
        self.greater.clear();
        while at < text.len() {
            let rest = &text[at..];
            at += match &mut self.state {
                State::Content => {
                    let length = self.content(rest).map_err(|finding| (at, finding))?;
                    if !rest.starts_with('<') {
                        let is_opaque = OPAQUE.contains(&self.parent());
                        let found = rest[..length].match_indices('>');
                        self.greater.extend(found.map(|(place, _)| (at + place, is_opaque)));
                    }
                    length
                }
                State::Element { .. } => self.element(rest).map_err(|finding| (at, finding))?,
                State::Quoted { quote, element, .. } => {
                    match rest.as_bytes().iter().position(|byte| byte == quote) {
                        None => rest.len(),
                        Some(end) => {
                            let (name, closing) = std::mem::take(element);
                            self.state = State::Element { name, closing, ended_by_slash: false };
                            end + 1
                        }
                    }
                }
                State::Comment { .. } => match rest.find("-->") {
                    None => rest.len(),
                    Some(end) => {
                        self.state = State::Content;
                        end + 3
                    }
                },
            };
        }
        Ok(())
    }

    fn content(&mut self, rest: &str) -> Result<usize, Finding> {
        let start = rest.find('<').unwrap_or(rest.len());
        if start > 0 {
            return Ok(start);
        }
        let markup = rest;
        if let Some(length) = self.conditional(markup)? {
            return Ok(length);
        }
        if let Some(comment) = markup.strip_prefix("<!--") {
            // HTML ends these at once, XML does not: nobody needs them, and the difference could hide elements.
            if comment.starts_with('>') || comment.starts_with("->") {
                return Err(malformed("a comment must not begin with `>` or `->`"));
            }
            self.state = State::Comment { region: self.new_region() };
            return Ok(4);
        }
        let closing = markup.starts_with("</");
        let name_start = if closing { 2 } else { 1 };
        let name: String = markup[name_start..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '_'))
            .collect();
        if name.is_empty() {
            return match markup.as_bytes().get(1) {
                Some(b'!' | b'?' | b'/') => {
                    Err(malformed("only elements and comments may begin with `<`"))
                }
                _ => Ok(1),
            };
        }
        if name.eq_ignore_ascii_case("mj-include") {
            let message = "`<mj-include>` is not supported: paste what it would include";
            return Err(Finding::error(Code::ForbiddenElement, Part::Body, message));
        }
        let length = name_start + name.len();
        self.state =
            State::Element { name: name.to_ascii_lowercase(), closing, ended_by_slash: false };
        Ok(length)
    }

    /// Outlook's conditional comments; MJML takes what they contain for elements, so the depth counts there too.
    fn conditional(&mut self, markup: &str) -> Result<Option<usize>, Finding> {
        const END: &str = "<![endif]-->";
        if markup.starts_with(END) {
            self.conditional = false;
            return Ok(Some(END.len()));
        }
        if !markup.starts_with("<!--[if") {
            return Ok(None);
        }
        let Some(end) = markup.find("]>") else {
            return Err(malformed("a conditional comment's condition has no end"));
        };
        let after = &markup[end + 2..];
        // With these endings, everyone but Outlook reads what follows.
        let ending = ["<!-->", "-->"].into_iter().find(|ending| after.starts_with(ending));
        self.conditional = ending.is_none();
        Ok(Some(end + 2 + ending.map_or(0, str::len)))
    }

    fn element(&mut self, rest: &str) -> Result<usize, Finding> {
        let State::Element { name, closing, ended_by_slash } = &mut self.state else {
            return Ok(0);
        };
        let Some(end) = rest.find(['>', '"', '\'', '<']) else {
            *ended_by_slash = rest.trim_end().ends_with('/');
            return Ok(rest.len());
        };
        let (name, closing) = (name.clone(), *closing);
        match rest.as_bytes()[end] {
            b'>' => {
                let slashed = rest[..end].ends_with('/') || (end == 0 && *ended_by_slash);
                self.state = State::Content;
                if closing {
                    self.close(&name);
                } else if !slashed && !VOID.contains(&name.as_str()) {
                    self.open(name)?;
                }
            }
            b'<' => return Err(malformed(format!("the tag of `<{name}` has no `>`"))),
            // Elsewhere a quote would begin a value for one parser and not for another.
            _ if !rest[..end].trim_end().ends_with('=') => {
                return Err(malformed(format!(
                    "in the tag of `<{name}` a quote does not follow `=`"
                )));
            }
            quote => {
                let region = self.new_region();
                self.state = State::Quoted { quote, region, element: (name, closing) };
            }
        }
        Ok(end + 1)
    }

    fn open(&mut self, name: String) -> Result<(), Finding> {
        if self.stack.len() == self.limit {
            let message = format!(
                "more than {} elements inside each other, or elements without an end",
                self.limit
            );
            return Err(Finding::error(Code::TooDeep, Part::Body, message));
        }
        let region = self.new_region();
        self.stack.push((name, region));
        Ok(())
    }

    fn close(&mut self, name: &str) {
        if let Some(at) = self.stack.iter().rposition(|(open, _)| open == name) {
            self.stack.truncate(at);
        }
    }

    /// The element one is inside of.
    pub(crate) fn parent(&self) -> &str {
        self.stack.last().map_or("", |(name, _)| name)
    }

    pub(crate) fn region(&self) -> Region {
        let id = match &self.state {
            State::Quoted { region, .. } | State::Comment { region } => *region,
            _ => self.stack.last().map_or(0, |(_, region)| *region),
        };
        Region { id, conditional: self.conditional }
    }

    fn new_region(&mut self) -> u32 {
        self.regions += 1;
        self.regions
    }
}

fn malformed(message: impl Into<String>) -> Finding {
    Finding::error(Code::Malformed, Part::Body, message)
}
