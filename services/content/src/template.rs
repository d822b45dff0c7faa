//! A template that can be edited: its draft, and what a change of it may be.

use chrono::{DateTime, Utc};
use cursus_ids::{TemplateName, TemplateVersionName};

use crate::error::Error;

/// The most bytes a draft has. What may be published is less; this keeps messages below the usual limit of gRPC.
const LARGEST_SOURCE: usize = 1 << 20;
const LONGEST_DISPLAY_NAME: usize = 256;

/// A template as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) name: TemplateName,
    pub(crate) display_name: DisplayName,
    pub(crate) source: Source,
    pub(crate) revision: Revision,
    /// The number of the newest version; 0 before the first.
    pub(crate) latest_version: u32,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

/// Which draft of a template somebody has read; told as its etag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision(pub(crate) i64);

/// A template to be created.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: TemplateName,
    pub(crate) display_name: DisplayName,
    pub(crate) source: Source,
}

/// A change of a template: what is not named stays.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: TemplateName,
    pub(crate) display_name: Option<DisplayName>,
    pub(crate) source: Option<Source>,
    /// Changes only what was read.
    pub(crate) etag: Option<String>,
}

/// How people call it: at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DisplayName(String);

/// What an author writes, not checked by the engine yet. No part holds a NUL, which Postgres does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) subject: String,
    pub(crate) preheader: String,
    pub(crate) mjml: String,
    /// Derived from the HTML when empty.
    pub(crate) text: String,
}

impl Template {
    pub(crate) fn latest(&self) -> Option<TemplateVersionName> {
        let number = Some(self.latest_version).filter(|number| *number > 0)?;
        Some(TemplateVersionName { template: self.name.clone(), number })
    }

    /// Refuses what is meant for another draft.
    pub(crate) fn expect(&self, etag: Option<&str>) -> Result<(), Error> {
        match etag {
            Some(etag) if etag != self.revision.to_string() => {
                Err(Error::Stale(self.name.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the draft is another one then. An unchanged draft keeps its revision.
    pub(crate) fn apply(&mut self, change: Change, now: DateTime<Utc>) -> bool {
        let display_name = change.display_name.unwrap_or_else(|| self.display_name.clone());
        let source = change.source.unwrap_or_else(|| self.source.clone());
        if display_name == self.display_name && source == self.source {
            return false;
        }
        (self.display_name, self.source) = (display_name, source);
        self.revision.0 += 1;
        self.update_time = now;
        true
    }
}

impl DisplayName {
    pub(crate) fn new(text: String) -> Result<Self, Error> {
        if text.len() > LONGEST_DISPLAY_NAME || text.contains(char::is_control) {
            let why = "use at most 256 bytes without control characters";
            return Err(Error::invalid("template.display_name", why));
        }
        Ok(Self(text))
    }
}

impl AsRef<str> for DisplayName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Source {
    pub(crate) fn check(self) -> Result<Self, Error> {
        let parts = [
            ("template.source.subject", &self.subject),
            ("template.source.preheader", &self.preheader),
            ("template.source.mjml", &self.mjml),
            ("template.source.text", &self.text),
        ];
        if let Some((field, _)) = parts.iter().find(|(_, part)| part.contains('\0')) {
            return Err(Error::invalid(*field, "it has a NUL character: remove it"));
        }
        let bytes: usize = parts.iter().map(|(_, part)| part.len()).sum();
        if bytes > LARGEST_SOURCE {
            let why = format!("it has {bytes} bytes, and {LARGEST_SOURCE} are allowed: shorten it");
            return Err(Error::invalid("template.source", why));
        }
        Ok(self)
    }
}

impl From<Source> for cursus_template::Source {
    fn from(source: Source) -> Self {
        Self {
            subject: source.subject,
            preheader: source.preheader,
            mjml: source.mjml,
            text: Some(source.text).filter(|text| !text.trim().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        Template {
            name: "workspaces/acme/templates/spring".parse().unwrap(),
            display_name: DisplayName::new("Spring".to_owned()).unwrap(),
            source: Source { subject: "Hello".to_owned(), ..Source::default() },
            revision: Revision(26),
            latest_version: 0,
            create_time: DateTime::UNIX_EPOCH,
            update_time: DateTime::UNIX_EPOCH,
        }
    }

    fn change(source: &str) -> Change {
        let source = Source { subject: source.to_owned(), ..Source::default() };
        Change { name: template().name, display_name: None, source: Some(source), etag: None }
    }

    #[test]
    fn a_changed_draft_is_another_one_and_the_same_again_is_not() {
        let (mut template, now) = (template(), DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1));
        assert!(template.expect(Some("1a")).is_ok());
        assert!(!template.apply(change("Hello"), now));
        assert_eq!((template.revision, template.update_time), (Revision(26), DateTime::UNIX_EPOCH));
        assert!(template.apply(change("Goodbye"), now));
        assert_eq!((template.revision, template.update_time), (Revision(27), now));
        assert!(matches!(template.expect(Some("1a")), Err(Error::Stale(_))));
    }

    #[test]
    fn the_newest_version_has_a_name_once_there_is_one() {
        let template = template();
        assert_eq!(template.latest(), None);
        let published = Template { latest_version: 3, ..template };
        let name = published.latest().unwrap().to_string();
        assert_eq!(name, "workspaces/acme/templates/spring/versions/3");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let source = |mjml: String| Source { mjml, ..Source::default() }.check();
        assert!(source("x".repeat(LARGEST_SOURCE)).is_ok());
        assert!(source("x".repeat(LARGEST_SOURCE + 1)).is_err());
        assert!(source("a\0b".to_owned()).is_err());
        assert!(DisplayName::new("a\nb".to_owned()).is_err());
        assert!(DisplayName::new("x".repeat(257)).is_err());
    }

    #[test]
    fn a_blank_text_part_is_none() {
        let text = |text: &str| {
            cursus_template::Source::from(Source { text: text.to_owned(), ..Source::default() })
                .text
        };
        assert_eq!((text(" \n"), text("Hi")), (None, Some("Hi".to_owned())));
    }
}
