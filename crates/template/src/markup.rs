//! Where in MJML a Jinja tag may stand, and what to put there while the markup is processed.
//!
//! A value may stand in text and inside quotes; a condition or loop also between elements, where it becomes a comment,
//! the one thing that MJML and HTML both leave in place even inside a table. A block must end in the element it began in,
//! or the message would lose an element's end when the condition is false.

use std::ops::Range;

use crate::{
    Code, Finding, Part,
    scan::{OPAQUE, Region, Scan, State},
    shield::{Hidden, Shield},
    tags::{self, Kind, Tag},
};

/// Elements that hold elements, never text.
const CONTAINERS: [&str; 21] = [
    "mj-accordion",
    "mj-accordion-element",
    "mj-attributes",
    "mj-body",
    "mj-carousel",
    "mj-column",
    "mj-group",
    "mj-head",
    "mj-hero",
    "mj-html-attributes",
    "mj-navbar",
    "mj-section",
    "mj-social",
    "mj-wrapper",
    "mjml",
    "mj-table",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
];

/// The body with placeholders for its tags, and what can be said about lines in it.
pub(crate) struct Shielded {
    pub(crate) text: String,
    /// Line breaks that went with a tag: the offset after it and how many so far.
    lost: Vec<(usize, u32)>,
}

struct Walk<'a> {
    shield: &'a mut Shield,
    scan: Scan,
    blocks: Blocks,
}

/// Open conditions and loops: their word, the region they began in, and their line.
#[derive(Default)]
struct Blocks(Vec<(String, Region, u32)>);

impl Shielded {
    /// The author's line for an offset here.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        let offset = offset.min(self.text.len());
        let lost =
            self.lost.iter().rev().find(|(at, _)| *at <= offset).map_or(0, |(_, lost)| *lost);
        tags::line_of(&self.text, offset) + lost
    }

    /// The author's line for a line here.
    pub(crate) fn line_of_line(&self, line: u32) -> u32 {
        let start = self
            .text
            .split_inclusive('\n')
            .take(line.saturating_sub(1) as usize)
            .map(str::len)
            .sum();
        self.line(start)
    }
}

pub(crate) fn shield(source: &str, shield: &mut Shield) -> Result<Shielded, Finding> {
    let tags = tags::find(source, Part::Body)?;
    let mut walk = Walk { shield, scan: Scan::of_source(), blocks: Blocks::default() };
    let mut shielded = Shielded { text: String::with_capacity(source.len()), lost: Vec::new() };
    let (mut from, mut lost) = (0, 0);
    for tag in tags {
        walk.read(source, from..tag.range.start, &mut shielded.text)?;
        let taken = &source[tag.range.clone()];
        lost += u32::try_from(taken.matches('\n').count()).unwrap_or(u32::MAX);
        from = tag.range.end;
        shielded.text.push_str(&walk.placeholder(&tag, taken)?);
        shielded.lost.push((shielded.text.len(), lost));
    }
    walk.read(source, from..source.len(), &mut shielded.text)?;
    Ok(shielded)
}

/// Checks what MJML and HTML have made of it: they close elements of their own accord, and a condition that began before
/// such an end and ends after it would take the end away.
pub(crate) fn verify(html: &str) -> Result<(), Finding> {
    let html = html.trim_start_matches("<!DOCTYPE html>");
    let (mut scan, mut blocks, mut from) = (Scan::of_output(), Blocks::default(), 0);
    for tag in tags::find(html, Part::Body)? {
        scan.read(&html[from..tag.range.start]).map_err(|(_, finding)| finding)?;
        if let Err(finding) = blocks.follow(&tag, scan.region()) {
            let message = format!(
                "`{}` ends in another element than it began in, as HTML closes some by itself: put the condition around whole elements",
                &html[tag.range],
            );
            return Err(Finding { message, line: None, ..finding });
        }
        from = tag.range.end;
    }
    Ok(())
}

impl Walk<'_> {
    /// Reads a part of the source, and adds it to the text that MJML gets. A `>` in text is escaped where a letter of
    /// several bytes stands shortly before it: MJML's tokenizer would look for `]]>` from the middle of that letter, and
    /// panic. A style sheet has no such escape.
    fn read(&mut self, source: &str, part: Range<usize>, text: &mut String) -> Result<(), Finding> {
        let (start, gap) = (part.start, &source[part]);
        let at_line = |at: usize| tags::line_of(source, start + at);
        self.scan.read(gap).map_err(|(at, finding)| finding.at(at_line(at)))?;
        let mut from = 0;
        for (at, is_opaque) in &self.scan.greater {
            text.push_str(&gap[from..*at]);
            let is_safe = text.len() < 2 || text.is_char_boundary(text.len() - 2);
            if *is_opaque && !is_safe {
                let message = "in a style sheet, put two spaces between a `>` and a letter such as `ü` before it";
                return Err(Finding::error(Code::Malformed, Part::Body, message).at(at_line(*at)));
            }
            text.push_str(if is_safe { ">" } else { "&gt;" });
            from = at + 1;
        }
        text.push_str(&gap[from..]);
        Ok(())
    }

    fn placeholder(&mut self, tag: &Tag, source: &str) -> Result<String, Finding> {
        let misplaced = |message: String| {
            Err(Finding::error(Code::MisplacedTag, Part::Body, message).at(tag.line))
        };
        let parent = self.scan.parent().to_owned();
        match &self.scan.state {
            _ if tag.kind == Kind::Comment => return Ok(String::new()),
            State::Element { .. } => {
                return misplaced(format!(
                    "`{source}` stands inside an element's tag: put it into an attribute's quotes"
                ));
            }
            State::Content if OPAQUE.contains(&parent.as_str()) => {
                return misplaced(format!(
                    "`{source}` stands inside `<{parent}>`: write a class for each case and choose between elements",
                ));
            }
            State::Content if tag.kind == Kind::Value && is_container(&parent) => {
                return misplaced(format!(
                    "`{source}` stands between elements: put it into an `<mj-text>`"
                ));
            }
            _ => {}
        }
        let depth = self.blocks.follow(tag, self.scan.region())?;
        let form = self.form(tag, &parent);
        let word = self.shield.hide(Hidden {
            source: source.to_owned(),
            part: Some(Part::Body),
            line: Some(tag.line),
            is_block: tag.kind != Kind::Value,
            depth,
            is_comment: matches!(form, Form::Comment | Form::Rows),
        });
        Ok(match form {
            Form::Word => word,
            Form::Comment => format!("<!--{word}-->"),
            Form::Rows => Shield::row(&word),
            Form::Raw => format!("<mj-raw>{word}</mj-raw>"),
        })
    }

    fn form(&self, tag: &Tag, parent: &str) -> Form {
        match (&self.scan.state, parent) {
            // Comments do not nest.
            _ if self.scan.conditional => Form::Word,
            // A title takes text alone.
            (State::Content, "mj-title") => Form::Word,
            // MJML puts what stands between the sections of a wrapper into Outlook's comments, where comments cannot nest.
            (State::Content, "mj-wrapper") => Form::Raw,
            (State::Content, "mj-table" | "table") => Form::Rows,
            (State::Content, _) if tag.kind != Kind::Value => Form::Comment,
            _ => Form::Word,
        }
    }
}

impl Blocks {
    /// The depth at which the tag stands.
    fn follow(&mut self, tag: &Tag, region: Region) -> Result<usize, Finding> {
        let Kind::Block(word) = &tag.kind else { return Ok(self.0.len()) };
        match word.as_str() {
            "if" | "for" => self.0.push((word.clone(), region, tag.line)),
            "elif" | "else" | "endif" | "endfor" => {
                // The engine has already refused ends without a beginning.
                let Some((begun, begun_in, line)) = self.0.last() else { return Ok(0) };
                if *begun_in != region {
                    let message = format!(
                        "the `{begun}` of line {line} and this `{word}` stand in different elements: put both into the same one",
                    );
                    return Err(Finding::error(Code::SplitBlock, Part::Body, message).at(tag.line));
                }
                if word.starts_with("end") {
                    self.0.pop();
                }
            }
            _ => {}
        }
        Ok(self.0.len())
    }
}

/// What a placeholder looks like.
enum Form {
    Word,
    Comment,
    /// A comment among rows.
    Rows,
    Raw,
}

fn is_container(name: &str) -> bool {
    name.is_empty() || CONTAINERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(source: &str) -> Result<String, Finding> {
        shield(source, &mut Shield::over(&[source])).map(|shielded| shielded.text)
    }

    fn check(source: &str, expected: &str) {
        assert_eq!(placed(source).unwrap(), expected, "{source}");
    }

    fn check_refused(source: &str, code: Code, line: u32) {
        let finding = placed(source).unwrap_err();
        assert_eq!(
            (finding.code, finding.line),
            (code, Some(line)),
            "{source}: {}",
            finding.message
        );
    }

    #[test]
    fn tags_take_the_form_their_place_allows() {
        check(
            "<mj-body>{% if a %}<mj-text>{{ b }}{% if c %}d{% endif %}</mj-text>{% endif %}</mj-body>",
            "<mj-body><!--jx0z--><mj-text>jx1z<!--jx2z-->d<!--jx3z--></mj-text><!--jx4z--></mj-body>",
        );
        check("<a href=\"{{ x | f(\"y\") }}\">z</a>", "<a href=\"jx0z\">z</a>");
        check("<a href='{% if x %}y{% endif %}'>z</a>", "<a href='jx0zyjx1z'>z</a>");
        check(
            "<mj-table>{% if x %}<tr>{% if y %}{% endif %}</tr>{% endif %}</mj-table>",
            "<mj-table><tbody><!--jx0z--></tbody><tr><!--jx1z--><!--jx2z--></tr><tbody><!--jx3z--></tbody></mj-table>",
        );
        check("<mj-title>{% if x %}y{% endif %}</mj-title>", "<mj-title>jx0zyjx1z</mj-title>");
        check(
            "<mj-wrapper>{% if x %}{% endif %}</mj-wrapper>",
            "<mj-wrapper><mj-raw>jx0z</mj-raw><mj-raw>jx1z</mj-raw></mj-wrapper>",
        );
        check(
            "<mj-raw><!--[if mso]>{{ x }}<![endif]--></mj-raw>",
            "<mj-raw><!--[if mso]>jx0z<![endif]--></mj-raw>",
        );
        check(
            "<!--[if !mso]><!-->{% if x %}{% endif %}<!--<![endif]-->",
            "<!--[if !mso]><!--><!--jx0z--><!--jx1z--><!--<![endif]-->",
        );
        check("<mj-raw><!-- {{ x }} --></mj-raw>", "<mj-raw><!-- jx0z --></mj-raw>");
        check(
            "<mj-text>a{# gone #}b < c <br> {{ d }}</mj-text>",
            "<mj-text>ab < c <br> jx0z</mj-text>",
        );
    }

    #[test]
    fn tags_where_markup_has_no_place_for_them_are_refused() {
        check_refused("<mj-text\n{{ x }}>a</mj-text>", Code::MisplacedTag, 2);
        check_refused(
            "<mj-text {% if x %}color=\"red\"{% endif %}>a</mj-text>",
            Code::MisplacedTag,
            1,
        );
        check_refused("<mj-{{ x }}>", Code::MisplacedTag, 1);
        check_refused("<mj-style>\n.a { color: {{ x }} }</mj-style>", Code::MisplacedTag, 2);
        check_refused("<mj-column>{{ x }}</mj-column>", Code::MisplacedTag, 1);
        check_refused("{{ x }}", Code::MisplacedTag, 1);
    }

    #[test]
    fn blocks_must_end_where_they_began() {
        check_refused("<mj-text>{% if a %}<b>\n{% endif %}</b></mj-text>", Code::SplitBlock, 2);
        check_refused(
            "{% if a %}<mj-section>{% else %}</mj-section>{% endif %}",
            Code::SplitBlock,
            1,
        );
        check_refused(
            "<mj-text>{% for a in b %}</mj-text><mj-text>{% endfor %}</mj-text>",
            Code::SplitBlock,
            1,
        );
        check_refused("<a href=\"{% if a %}\">{% endif %}</a>", Code::SplitBlock, 1);
        check_refused("<a href=\"{% if a %}\" id=\"{% endif %}\"></a>", Code::SplitBlock, 1);
        check(
            "<mj-text>{% if a %}<br><i>x</i><img src=\"y\"/>{% endif %}</mj-text>",
            "<mj-text><!--jx0z--><br><i>x</i><img src=\"y\"/><!--jx1z--></mj-text>",
        );
    }

    #[test]
    fn blocks_that_html_would_tear_are_refused() {
        let check = |html, whole| assert_eq!(verify(html).is_ok(), whole, "{html}");
        check("<!DOCTYPE html><p>{% if a %}<b>x</b>{% endif %}</p>", true);
        check("<p>{% if a %}</p><div>x</div>{% endif %}<p></p>", false);
        check("<table>{% if a %}<tbody><tr></tr>{% endif %}</tbody></table>", false);
        check(
            "<!--[if mso]><table>{% if a %}<tr><![endif]-->x<!--[if mso]></tr>{% endif %}</table><![endif]-->",
            true,
        );
        check("{% if a %}<!--[if mso]>{% endif %}<![endif]-->", false);
    }

    #[test]
    fn depth_is_limited_whatever_hides_it() {
        let deep = "<b>".repeat(65);
        check_refused(&deep, Code::TooDeep, 1);
        check_refused(&format!("<!-- </b></b> -->{deep}"), Code::TooDeep, 1);
        check_refused(&format!("<i title=\"</i>\">{deep}"), Code::TooDeep, 1);
        check_refused(&format!("<!--[if mso]>{deep}<![endif]-->"), Code::TooDeep, 1);
        check_refused(&format!("<style></STYLE>{deep}"), Code::TooDeep, 1);
        check_refused("<b a\"><b>", Code::Malformed, 1);
        check_refused("<!--><b>", Code::Malformed, 1);
        check_refused("<![CDATA[<b>]]>", Code::Malformed, 1);
        check_refused("\n<mj-include path=\"/etc/passwd\">", Code::ForbiddenElement, 2);
    }

    #[test]
    fn lines_are_those_of_the_author() {
        let source = "a\n{{ b\n|\nc }}\nd <mj-text>".replacen('a', "<p>", 1);
        let shielded = shield(&source, &mut Shield::over(&[])).unwrap();
        assert_eq!(shielded.line(shielded.text.find('d').unwrap()), 5);
        assert_eq!(shielded.line_of_line(3), 5);
        assert_eq!(shielded.line_of_line(1), 1);
    }
}
