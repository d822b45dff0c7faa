//! What was measured of the segments, beside the other engines and the targets.

use std::fmt;

use anyhow::bail;

use super::engines::{Answer, Engine};
use super::loading::Loaded;
use super::segments::Report;

const MEDIAN_RATIO: f64 = 10.0;
const LEAST_RATIO: f64 = 5.0;
const LOAD_SECONDS: f64 = 40.0;
const RESIDENT_BYTES: f64 = 1.5e9;

/// Everything about one run.
pub(crate) struct Comparison<'a> {
    pub(crate) rows: Vec<Row>,
    pub(crate) loaded: Loaded,
    pub(crate) report: &'a Report,
}

/// One segment.
pub(crate) struct Row {
    pub(crate) name: String,
    /// As the service says, and as evaluating the rule says.
    pub(crate) members: i64,
    pub(crate) evaluated: i64,
    pub(crate) expected: Option<i64>,
    pub(crate) median_millis: f64,
    pub(crate) least_millis: f64,
    /// What each thread ran for it: on a busy machine less than it took.
    pub(crate) busy_millis: f64,
    pub(crate) peers: Vec<(Engine, Answer)>,
}

impl Row {
    /// How many times faster than the faster of the others, median by median.
    fn ratio(&self) -> Option<f64> {
        let others = self.peers.iter().map(|(_, answer)| answer.median_millis);
        Some(others.reduce(f64::min)? / self.median_millis)
    }

    fn peer(&self, engine: Engine) -> Option<f64> {
        let found = self.peers.iter().find(|(peer, _)| *peer == engine);
        found.map(|(_, answer)| answer.median_millis)
    }

    /// Everybody who says something else about the members.
    fn objections(&self) -> Vec<String> {
        let peers = self.peers.iter().map(|(engine, it)| (engine.to_string(), it.members));
        let others = std::iter::once(("evaluation".to_owned(), self.evaluated))
            .chain(self.expected.map(|expected| ("known".to_owned(), expected)))
            .chain(peers);
        others
            .filter(|(_, members)| *members != self.members)
            .map(|(who, members)| {
                format!("{}: {} members, {who}: {members}", self.name, self.members)
            })
            .collect()
    }

    /// Who else was asked about the members.
    fn is_confirmed(&self) -> bool {
        self.expected.is_some() || !self.peers.is_empty()
    }
}

impl Comparison<'_> {
    /// Fails when a count is wrong.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let objections: Vec<String> = self.rows.iter().flat_map(Row::objections).collect();
        if objections.is_empty() {
            return Ok(());
        }
        bail!("counts differ:\n{}", objections.join("\n"))
    }

    /// The median of the ratios and the least of them.
    fn ratios(&self) -> Option<(f64, f64)> {
        let mut ratios: Vec<f64> = self.rows.iter().filter_map(Row::ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let middle = ratios.len() / 2;
        let median = match ratios.len() {
            0 => return None,
            count if count % 2 == 0 => f64::midpoint(ratios[middle - 1], ratios[middle]),
            _ => ratios[middle],
        };
        Some((median, ratios[0]))
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, loaded, report } = self;
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default().max(16);
        write!(f, "\n{:<width$}{:>10}{:>12}{:>10}", "segment", "members", "Cursus ms", "min ms")?;
        writeln!(f, "{:>11}{:>15}{:>10}", "DuckDB ms", "ClickHouse ms", "faster")?;
        for row in rows {
            write!(f, "{:<width$}{:>10}", row.name, row.members)?;
            write!(f, "{:>12.3}{:>10.3}", row.median_millis, row.least_millis)?;
            write!(f, "{:>10.3}", row.busy_millis)?;
            for (engine, width) in Engine::ALL.into_iter().zip([11, 15]) {
                write!(f, "{:>width$}", or_dash(row.peer(engine), 2))?;
            }
            let ratio = row.ratio().map_or_else(|| "-".to_owned(), |it| format!("{it:.1}x"));
            writeln!(f, "{ratio:>10}")?;
        }
        if let Some((median, least)) = self.ratios() {
            let is_met = verdict(median >= MEDIAN_RATIO && least >= LEAST_RATIO);
            writeln!(
                f,
                "\nFaster than the faster of the two: {median:.1}x in the median, {least:.1}x at least \
                 (target {MEDIAN_RATIO}x and {LEAST_RATIO}x: {is_met})."
            )?;
        }
        let seconds = loaded.events_took.as_secs_f64();
        let rate = float(loaded.events) / seconds;
        writeln!(
            f,
            "{} contacts and {} events, filled into Postgres at {rate:.0} events/s with their index.",
            loaded.contacts, loaded.events
        )?;
        let load = report.load_seconds;
        writeln!(
            f,
            "From creation until all are ready: {load:.1} s (target under {LOAD_SECONDS} s: {}).",
            verdict(load < LOAD_SECONDS)
        )?;
        let resident = float(report.resident_bytes);
        writeln!(
            f,
            "Resident memory then: {:.0} MB (target under {:.0} MB: {}), at most {:.0} MB until then; the columns: {:.0} MB.",
            resident / 1e6,
            RESIDENT_BYTES / 1e6,
            verdict(resident < RESIDENT_BYTES),
            float(report.peak_bytes) / 1e6,
            float(report.column_bytes) / 1e6,
        )?;
        if !rows.iter().all(Row::is_confirmed) {
            writeln!(f, "Nobody else counted: the counts are not confirmed.")?;
        }
        Ok(())
    }
}

fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with few digits")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(median_millis: f64, peers: &[(Engine, f64)]) -> Row {
        let answer = |(engine, median_millis): &(Engine, f64)| {
            (*engine, Answer { members: 7, median_millis: *median_millis })
        };
        Row {
            name: "S".to_owned(),
            members: 7,
            evaluated: 7,
            expected: None,
            median_millis,
            least_millis: median_millis,
            busy_millis: median_millis,
            peers: peers.iter().map(answer).collect(),
        }
    }

    #[test]
    fn we_are_compared_with_the_faster_of_the_others() {
        let peers = [(Engine::DuckDb, 30.0), (Engine::ClickHouse, 20.0)];
        assert_eq!(row(2.0, &peers).ratio(), Some(10.0));
        assert_eq!(row(2.0, &[]).ratio(), None);
    }

    #[test]
    fn whoever_counts_otherwise_objects() {
        let mut row = row(2.0, &[(Engine::DuckDb, 30.0)]);
        assert!(row.objections().is_empty() && row.is_confirmed());
        row.expected = Some(8);
        row.evaluated = 6;
        assert_eq!(row.objections(), ["S: 7 members, evaluation: 6", "S: 7 members, known: 8"]);
    }
}
