//! Templates: compiled once, filled in for each contact.
//!
//! [`compile()`] checks a [`Source`] (MJML with Jinja in it) against the fields a workspace has and makes HTML, a text part
//! and a numbered list of links of it. [`Renderer`] fills in the values; it parses nothing and escapes everything.
//!
//! The way of the body: the Jinja tags are exchanged for placeholders that survive markup (`shield`), where the markup
//! allows a tag at all (`markup`); MJML becomes HTML with its CSS inlined (`html`); links become slots (`links`); the text
//! part is derived (`text`); then the tags come back. `inspect` reads the expressions themselves.

mod compile;
mod fields;
mod finding;
mod html;
mod inspect;
mod links;
mod markup;
mod render;
mod scan;
mod shield;
mod suggest;
mod tags;
mod text;

pub use compile::{Compiled, Source, compile};
pub use fields::{FieldUse, Fields, Kind};
pub use finding::{Code, Finding, Part, Severity};
pub use render::{Recipient, RenderError, Rendered, Renderer};
