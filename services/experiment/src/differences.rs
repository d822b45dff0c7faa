//! Whether an arm does better in some segments than in others. Exploratory: nothing is routed by it.

use cursus_statistics::Proportion;
use cursus_statistics::effect::Comparison;
use cursus_statistics::segment::{Heterogeneity, heterogeneity};

use crate::counts::{Census, Counts, Group};
use crate::design::{Design, Kind};

/// More would be fishing.
const MOST_SEGMENTS: usize = 10;
/// With fewer events in a cell its difference is noise.
const FEWEST_EVENTS: u64 = 30;

/// One arm against the baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    pub(crate) arm: usize,
    pub(crate) baseline: usize,
    /// In the order of the heterogeneity's.
    pub(crate) segments: Vec<String>,
    pub(crate) found: Heterogeneity,
}

/// For each arm but the baseline, if two segments have enough events.
pub(crate) fn differences(design: &Design, census: &Census) -> Vec<Difference> {
    if design.primary().kind != Kind::Conversion {
        return Vec::new();
    }
    let baseline = design.control.unwrap_or(0);
    let arms = (0..design.arms.len()).filter(|arm| *arm != baseline);
    arms.filter_map(|arm| difference(census, arm, baseline)).collect()
}

fn difference(census: &Census, arm: usize, baseline: usize) -> Option<Difference> {
    let compare = |(segment, counts): (&String, &Counts)| {
        let comparison = Comparison {
            baseline: rate(counts.arms.get(baseline)?)?,
            arm: rate(counts.arms.get(arm)?)?,
        };
        Some((segment.clone(), counts.units(), comparison))
    };
    let mut cells: Vec<_> = census.segments.iter().filter_map(compare).collect();
    cells.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    cells.truncate(MOST_SEGMENTS);
    let comparisons: Vec<Comparison> = cells.iter().map(|(_, _, it)| *it).collect();
    let found = heterogeneity(&comparisons).ok()?;
    Some(Difference {
        arm,
        baseline,
        segments: cells.into_iter().map(|(segment, ..)| segment).collect(),
        found,
    })
}

fn rate(group: &Group) -> Option<Proportion> {
    let tally = group.metrics.first()?;
    let enough = tally.answered >= FEWEST_EVENTS;
    Proportion::new(tally.answered, group.units.saturating_sub(tally.excluded))
        .ok()
        .filter(|_| enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Part, Tally};
    use crate::design::tests::design;

    fn census(cells: &[(&str, [(u64, u64); 2])]) -> Census {
        let mut census = Census::empty(2, 2);
        for (segment, arms) in cells {
            for (arm, (answered, units)) in arms.iter().enumerate() {
                let group = census.group(segment, Part::Arm(arm)).unwrap();
                group.units = *units;
                group.metrics[0] = Tally { answered: *answered, ..Tally::default() };
            }
        }
        census
    }

    #[test]
    fn segments_that_disagree_are_told_apart_and_small_ones_are_left_out() {
        let cells = [
            ("north", [(100, 1_000), (200, 1_000)]),
            ("south", [(150, 1_000), (100, 1_000)]),
            ("tiny", [(2, 10), (3, 10)]),
        ];
        let found = differences(&design(), &census(&cells));
        assert_eq!((found.len(), found[0].arm, found[0].baseline), (1, 1, 0));
        assert_eq!(found[0].segments, ["north", "south"]);
        assert!(found[0].found.interaction.p < 1e-6, "{found:?}");
    }

    #[test]
    fn one_segment_differs_from_nothing() {
        assert_eq!(differences(&design(), &census(&[("all", [(100, 1_000); 2])])), []);
    }
}
