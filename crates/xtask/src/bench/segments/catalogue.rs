//! The segments that are measured: the eight of the benchmark, or those of a file.

use anyhow::{Context, ensure};
use serde_json::json;

/// The eight, and how many members they have among a million contacts of our seed.
const EIGHT: &str = include_str!("../segments.tsv");

/// A segment by name, its rule as text, and how many members it has, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) name: String,
    rule: String,
    pub(crate) expected: Option<i64>,
}

impl Segment {
    /// What the service calls it: the name, if that is an id already.
    pub(crate) fn id(&self) -> String {
        let letter = |letter: char| match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() || letter == '_' => letter,
            _ => '-',
        };
        self.name.chars().map(letter).collect()
    }
}

pub(crate) fn eight() -> anyhow::Result<Vec<Segment>> {
    read(EIGHT)
}

/// Reads lines of a name, a rule and perhaps a count, separated by tabs.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Segment>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let segments: Vec<Segment> = lines
        .map(|line| {
            let mut fields = line.split('\t').map(str::trim);
            let (name, rule) = fields.next().zip(fields.next()).with_context(|| {
                format!("`{line}` is not a name, a rule and perhaps a count, separated by tabs")
            })?;
            let expected = match fields.next() {
                None | Some("") => None,
                Some(count) => Some(count.parse().with_context(|| format!("`{count}` of {name}"))?),
            };
            Ok(Segment { name: name.to_owned(), rule: rule.to_owned(), expected })
        })
        .collect::<anyhow::Result<_>>()?;
    ensure!(!segments.is_empty(), "there are no segments");
    Ok(segments)
}

/// As the benchmark in the service reads them.
pub(crate) fn to_json(segments: &[Segment]) -> anyhow::Result<String> {
    let segments = segments.iter().map(|it| json!({ "id": it.id(), "rule": it.rule }));
    Ok(serde_json::to_string(&segments.collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_have_ids_and_known_counts() {
        let eight = eight().unwrap();
        let ids: Vec<String> = eight.iter().map(Segment::id).collect();
        assert_eq!(ids[..2], ["s1-attribute", "s2-firmographic"]);
        assert_eq!((eight.len(), eight[7].expected), (8, Some(808)));
    }

    #[test]
    fn a_segment_of_a_file_may_come_without_a_count() {
        let read = read("vip\thas(contact.phone)\n\nall\ttrue\t12\n").unwrap();
        let told: Vec<_> = read.iter().map(|it| (it.id(), it.expected)).collect();
        assert_eq!(told, [("vip".to_owned(), None), ("all".to_owned(), Some(12))]);
    }

    #[test]
    fn lines_that_are_no_segments_are_refused() {
        for text in ["", "vip", "vip\ttrue\tmany"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
