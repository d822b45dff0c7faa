//! The engines that we are compared with, on the same data and the same machine, one after another.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Context;
use cursus_testkit::directory::Directory;
use tokio::process::Command;

use super::data::DataSet;
use crate::workspace::Workspace;
use crate::{command, screen, tools};

/// As many as we do ourselves.
const RUNS: &str = "--runs=31";

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    DuckDb,
    ClickHouse,
}

/// What one says about a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) members: i64,
    pub(crate) median_millis: f64,
}

/// Answers by the segments' names.
pub(crate) type Answers = BTreeMap<String, Answer>;

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::DuckDb, Self::ClickHouse];
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DuckDb => "DuckDB",
            Self::ClickHouse => "ClickHouse",
        })
    }
}

/// Has `baseline.py` load the data into an engine and time the eight segments there.
pub(crate) async fn answers(
    workspace: &Workspace,
    (scripts, data): (&Path, &DataSet),
    engine: Engine,
) -> anyhow::Result<Answers> {
    let modules = tools::python_engines(workspace).await?;
    let scratch = Directory::create()?;
    let step = screen::step(format!("timing the segments on {engine}"));
    let mut baseline = Command::new("python3");
    baseline.arg(scripts.join("baseline.py")).arg(engine.to_string().to_lowercase());
    baseline.arg(&data.folder).arg(RUNS).current_dir(scratch.path());
    baseline.env("PYTHONPATH", modules).env("TMPDIR", scratch.path());
    // They say what the processor is not, and are of no concern to the engines' own code.
    baseline.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
    let answers = read(&command::read(&mut baseline).await?)?;
    step.done();
    Ok(answers)
}

/// Reads lines of a name, a count, a median and a minimum; others are remarks.
fn read(output: &str) -> anyhow::Result<Answers> {
    let lines = output.lines().filter(|line| !line.starts_with('#') && line.contains('\t'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, members, median, _least] = fields[..] else {
                anyhow::bail!("`{line}` is no answer")
            };
            let answer = Answer { members: members.parse()?, median_millis: median.parse()? };
            Ok((name.to_owned(), answer))
        })
        .collect::<anyhow::Result<_>>()
        .context("what `baseline.py` printed makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_remarks_are_not() {
        let read = read("# duckdb ready in 5.2 s\nS1 attribute\t49393\t8.31\t7.90\n").unwrap();
        let answer = Answer { members: 49_393, median_millis: 8.31 };
        assert_eq!(read, Answers::from([("S1 attribute".to_owned(), answer)]));
    }

    #[test]
    fn a_line_that_is_no_answer_is_an_error() {
        assert!(read("S1 attribute\tmany").is_err());
    }
}
