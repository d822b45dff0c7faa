//! The text part, for readers who want no HTML: the same words, conditions and links.
//!
//! Links stand behind their words rather than at the end: a list at the end would show everyone the links of conditions
//! that do not hold for them.

use std::{cell::RefCell, rc::Rc};

use html2text::config;
use lol_html::{
    RewriteStrSettings, doc_comments, element, end_tag,
    html_content::{ContentType, Element},
    rewrite_str,
};

use crate::{
    Finding, html,
    shield::{Piece, Shield},
};

/// Wide enough never to break a line: readers wrap text themselves, and a break could split a placeholder.
const WIDTH: usize = 20_000;
/// A space that HTML keeps, and `tidy` takes for none.
const EMPTY_LINE: &str = "<p>&nbsp;</p>";
const TABLE: [&str; 8] = ["caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"];

/// Text with placeholders, from HTML with placeholders.
pub(crate) fn derive(html: &str, shield: &Shield) -> Result<String, Finding> {
    let flat = flatten(html, shield)?;
    let text = config::plain_no_decorate()
        .string_from_read(flat.as_bytes(), WIDTH)
        .map_err(|error| html::unreadable(&error))?;
    Ok(tidy(&text, shield))
}

/// Without tables and lists, in which nothing but cells and items may stand, the comments that hold conditions can become
/// words.
fn flatten(html: &str, shield: &Shield) -> Result<String, Finding> {
    let tables = Tables::default();
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("*", |element| {
            flatten_element(element, &tables);
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|comment| {
            let blocks: String = blocks(&comment.text(), shield).collect();
            comment.replace(&blocks, ContentType::Text);
            Ok(())
        }));
    rewrite_str(html, settings).map_err(|error| html::unreadable(&error))
}

/// Open tables, and whether each is one of data rather than of layout.
type Tables = Rc<RefCell<Vec<bool>>>;

fn flatten_element(element: &mut Element<'_, '_>, tables: &Tables) {
    match element.tag_name().as_str() {
        "head" | "style" | "title" => element.remove(),
        "hr" => element.replace("<p>---</p>", ContentType::Html),
        "img" => {
            let alternative = element.get_attribute("alt").unwrap_or_default();
            element.replace(&alternative, ContentType::Html);
        }
        "a" => flatten_link(element),
        "li" => {
            element.prepend("* ", ContentType::Text);
            element.set_tag_name("div").expect("`div` is a valid name");
        }
        "ol" | "ul" => {
            element.before(EMPTY_LINE, ContentType::Html);
            element.after(EMPTY_LINE, ContentType::Html);
            element.set_tag_name("div").expect("`div` is a valid name");
        }
        name if TABLE.contains(&name) => flatten_table(element, tables),
        _ if is_hidden(element) => element.remove(),
        _ => {}
    }
}

fn flatten_link(element: &mut Element<'_, '_>) {
    let address = element.get_attribute("href").unwrap_or_default();
    if let Some(address) = shown(&address)
        && let Some(handlers) = element.end_tag_handlers()
    {
        handlers.push(end_tag!(move |end| {
            end.before(&format!(" ({address})"), ContentType::Html);
            Ok(())
        }));
    }
    element.remove_attribute("href");
}

/// A layout's rows become paragraphs, a table's rows lines.
fn flatten_table(element: &mut Element<'_, '_>, tables: &Tables) {
    let name = element.tag_name();
    if name == "table" {
        let is_data = element.get_attribute("role").is_none_or(|role| role != "presentation");
        tables.borrow_mut().push(is_data);
        if let Some(handlers) = element.end_tag_handlers() {
            let tables = Rc::clone(tables);
            handlers.push(end_tag!(move |_| {
                tables.borrow_mut().pop();
                Ok(())
            }));
        }
    }
    let in_data = tables.borrow().last().copied().unwrap_or(false);
    let becomes = match name.as_str() {
        "td" | "th" if in_data => {
            element.append("&nbsp; ", ContentType::Html);
            "span"
        }
        "tr" if !in_data => {
            element.prepend(EMPTY_LINE, ContentType::Html);
            "div"
        }
        _ => "div",
    };
    element.set_tag_name(becomes).expect("`div` and `span` are valid names");
}

/// The address as it is shown behind its words, if it says anything.
fn shown(address: &str) -> Option<String> {
    let address = address.trim();
    let address =
        address.strip_prefix("mailto:").or_else(|| address.strip_prefix("tel:")).unwrap_or(address);
    (!address.is_empty() && !address.starts_with('#')).then(|| address.to_owned())
}

fn is_hidden(element: &Element<'_, '_>) -> bool {
    let style = element.get_attribute("style").unwrap_or_default();
    style.replace(' ', "").contains("display:none")
}

/// The placeholders of conditions and loops in a comment, be it their own or Outlook's.
fn blocks<'a>(comment: &'a str, shield: &'a Shield) -> impl Iterator<Item = String> + 'a {
    shield.pieces(comment).into_iter().filter_map(|piece| match piece {
        Piece::Placeholder(number) if shield.hidden(number).is_block => Some(shield.word(number)),
        _ => None,
    })
}

/// Without runs of empty lines, and without the line of a tag that stands alone on one.
fn tidy(text: &str, shield: &Shield) -> String {
    let mut out = String::with_capacity(text.len());
    let mut spaced = true;
    for line in text.lines().map(str::trim_end) {
        if only_blocks(line, shield) {
            out.push_str(line.trim());
            continue;
        }
        let is_space = line.trim().is_empty();
        if !is_space {
            out.push_str(line);
        }
        if !is_space || !spaced {
            out.push('\n');
        }
        spaced = is_space;
    }
    out
}

fn only_blocks(line: &str, shield: &Shield) -> bool {
    let line = line.trim();
    !line.is_empty()
        && shield.pieces(line).iter().all(|piece| match piece {
            Piece::Placeholder(number) => shield.hidden(*number).is_block,
            Piece::Literal(_) => false,
        })
}
