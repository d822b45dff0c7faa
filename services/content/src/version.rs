//! A version: what was compiled from a draft, and its digest.

use chrono::{DateTime, Utc};
use cursus_ids::TemplateVersionName;
use cursus_template::{Compiled, FieldUse, Finding, Part, Severity};
use sha2::{Digest, Sha256};

use crate::template::Source;

/// The most findings that are told: the first are enough to go on with, and a message has a limit.
const MOST_FINDINGS: usize = 200;
/// Of which so many are told where there is room for a sentence only.
const FINDINGS_IN_A_SENTENCE: usize = 3;

/// A version as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) name: TemplateVersionName,
    pub(crate) source: Source,
    pub(crate) digest: [u8; 32],
    pub(crate) links: Vec<String>,
    pub(crate) fields: Vec<FieldUse>,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) create_time: DateTime<Utc>,
}

/// What is wrong with a draft: errors first, and not more than can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings(Vec<Finding>);

/// What decides what a contact reads, in 32 bytes.
pub(crate) fn digest(compiled: &Compiled) -> [u8; 32] {
    Sha256::digest(compiled.canonical_bytes()).into()
}

impl Findings {
    pub(crate) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity != Severity::Error);
        findings.truncate(MOST_FINDINGS);
        Self(findings)
    }

    pub(crate) fn first(&self) -> Option<&Finding> {
        self.0.first()
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let errors: Vec<_> =
            self.0.iter().filter(|finding| finding.severity == Severity::Error).collect();
        for (index, finding) in errors.iter().take(FINDINGS_IN_A_SENTENCE).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(part(finding.part))?;
            if let Some(line) = finding.line {
                write!(f, ", line {line}")?;
            }
            write!(f, ": {}", finding.message)?;
        }
        match errors.len().saturating_sub(FINDINGS_IN_A_SENTENCE) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A part as authors know it.
pub(crate) fn part(part: Part) -> &'static str {
    match part {
        Part::Subject => "subject",
        Part::Preheader => "preheader",
        Part::Body => "mjml",
        Part::Text => "text",
    }
}

#[cfg(test)]
mod tests {
    use cursus_template::Code;

    use super::*;

    fn finding(severity: Severity, line: u32) -> Finding {
        let line = Some(line).filter(|line| *line > 0);
        Finding { severity, code: Code::Syntax, part: Part::Body, line, message: "bad".to_owned() }
    }

    #[test]
    fn errors_come_first_and_the_first_few_are_told_with_their_place() {
        let findings = Findings::new(vec![
            finding(Severity::Warning, 1),
            finding(Severity::Error, 2),
            finding(Severity::Error, 0),
            finding(Severity::Error, 4),
            finding(Severity::Error, 5),
        ]);
        assert_eq!(findings.first().unwrap().line, Some(2));
        let told = findings.to_string();
        assert_eq!(told, "mjml, line 2: bad; mjml: bad; mjml, line 4: bad; and 1 more");
    }

    #[test]
    fn not_more_is_told_than_fits() {
        let findings = Findings::new(vec![finding(Severity::Error, 1); 5_000]);
        assert_eq!(findings.into_vec().len(), MOST_FINDINGS);
    }
}
