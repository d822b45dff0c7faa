//! What is wrong with a template, where, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub code: Code,
    pub part: Part,
    /// Counted from 1, in the part as its author wrote it.
    pub line: Option<u32>,
    /// What is wrong and how to put it right.
    pub message: String,
}

/// An error keeps the template from being published; a warning does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Severity {
    Error,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    Subject,
    Preheader,
    Body,
    Text,
}

/// The kind of problem. Names are part of the API and keep their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    DoesNotRender,
    EmptySubject,
    ForbiddenElement,
    ForbiddenLink,
    Malformed,
    MisplacedTag,
    MissingDefault,
    MissingUnsubscribeLink,
    NotAList,
    SplitBlock,
    Syntax,
    TooDeep,
    TooLarge,
    TypeMismatch,
    UnescapedValue,
    UnknownField,
    UnknownFilter,
    Unsupported,
}

impl Code {
    /// As it is told over the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DoesNotRender => "DOES_NOT_RENDER",
            Self::EmptySubject => "EMPTY_SUBJECT",
            Self::ForbiddenElement => "FORBIDDEN_ELEMENT",
            Self::ForbiddenLink => "FORBIDDEN_LINK",
            Self::Malformed => "MALFORMED",
            Self::MisplacedTag => "MISPLACED_TAG",
            Self::MissingDefault => "MISSING_DEFAULT",
            Self::MissingUnsubscribeLink => "MISSING_UNSUBSCRIBE_LINK",
            Self::NotAList => "NOT_A_LIST",
            Self::SplitBlock => "SPLIT_BLOCK",
            Self::Syntax => "SYNTAX",
            Self::TooDeep => "TOO_DEEP",
            Self::TooLarge => "TOO_LARGE",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::UnescapedValue => "UNESCAPED_VALUE",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::UnknownFilter => "UNKNOWN_FILTER",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

impl Finding {
    pub(crate) fn error(code: Code, part: Part, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, part, line: None, message: message.into() }
    }

    pub(crate) fn warning(code: Code, part: Part, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, part, message) }
    }

    pub(crate) fn at(self, line: impl Into<Option<u32>>) -> Self {
        Self { line: line.into(), ..self }
    }

    /// What the template engine says about a part.
    pub(crate) fn engine(code: Code, part: Part, error: &minijinja::Error) -> Self {
        let detail = error.detail().unwrap_or("the template engine gives no reason");
        // `{#` begins a comment, which an author of style sheets may not expect.
        let hint = if detail.contains("comment") {
            ": in CSS, put a space between `{` and `#`"
        } else {
            ""
        };
        let line = error.line().and_then(|line| u32::try_from(line).ok());
        Self::error(code, part, format!("{}: {detail}{hint}", error.kind())).at(line)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Preheader => "preheader",
            Self::Body => "body",
            Self::Text => "text",
        })
    }
}
