//! Which three to five segments should remain: the closest are merged until what is left really behaves differently.
//!
//! This explores: the proposal is chosen by the data it is judged by, and says so.

use cursus_statistics::Alpha;

use super::judgement::{Difference, Verdict, judge};
use super::{Cells, Set};

/// Segments with this much in common are one.
const SAME_PEOPLE: f64 = 0.8;
/// More segments than this nobody keeps apart.
const MOST: usize = 5;
/// Fewer than this are said to be few.
const FEW: usize = 3;

/// What should remain.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Portfolio {
    /// Largest first.
    pub(crate) groups: Vec<Set>,
    pub(crate) merges: Vec<Merge>,
    /// Segments without members.
    pub(crate) empty: Vec<usize>,
}

/// Two groups that should be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Merge {
    pub(crate) first: Set,
    pub(crate) second: Set,
    pub(crate) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    SamePeople { jaccard: f64 },
    TooSmall { contacts: u64 },
    NotShownDifferent { p: f64 },
    Closest { standardized: f64 },
}

/// Two groups as candidates for a merge.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    second: usize,
    jaccard: f64,
    /// The smallest adjusted p-value and the largest standardized difference of any outcome that can be judged.
    judged: Option<(f64, f64)>,
    is_different: bool,
}

/// Proposes what should remain of the segments of the cells.
pub(crate) fn propose(cells: &Cells, alpha: Alpha) -> Portfolio {
    let has_members = |segment: &usize| cells.union(Set::of(*segment)).contacts > 0;
    let (kept, empty): (Vec<usize>, Vec<usize>) = (0..cells.segments()).partition(has_members);
    let mut groups: Vec<Set> = kept.into_iter().map(Set::of).collect();
    let mut merges = Vec::new();
    while let Some(merge) = next_merge(cells, &groups, alpha) {
        groups.retain(|group| *group != merge.first && *group != merge.second);
        groups.push(merge.first.union(merge.second));
        merges.push(merge);
    }
    groups.sort_by_key(|group| std::cmp::Reverse(cells.union(*group).contacts));
    Portfolio { groups, merges, empty }
}

impl Portfolio {
    /// The proposal in a sentence.
    pub(crate) fn summary(&self) -> String {
        match self.groups.len() {
            0 => "no segment has members, so there is nothing to keep".to_owned(),
            1 => "no two segments were shown to behave differently: keep one, or define them by something else"
                .to_owned(),
            few if few < FEW => {
                format!("only {few} segments behave differently; more would be labels without a difference")
            }
            some => format!("{some} segments behave differently and are worth keeping apart"),
        }
    }
}

fn next_merge(cells: &Cells, groups: &[Set], alpha: Alpha) -> Option<Merge> {
    let pairs = pairs(cells, groups, alpha);
    let merge =
        |pair: &Pair, why| Merge { first: groups[pair.first], second: groups[pair.second], why };
    let closest = |chosen: &dyn Fn(&Pair) -> bool| {
        let chosen = pairs.iter().filter(|pair| chosen(pair));
        chosen.min_by(|one, other| one.distance().total_cmp(&other.distance())).copied()
    };
    let most_alike = pairs.iter().max_by(|one, other| one.jaccard.total_cmp(&other.jaccard));
    if let Some(pair) = most_alike.filter(|pair| pair.jaccard >= SAME_PEOPLE) {
        return Some(merge(pair, Why::SamePeople { jaccard: pair.jaccard }));
    }
    if let Some(pair) = closest(&|pair| pair.judged.is_some() && !pair.is_different) {
        let p = pair.judged.map_or(1.0, |(p, _)| p);
        return Some(merge(&pair, Why::NotShownDifferent { p }));
    }
    if let Some(pair) = closest(&|pair| pair.judged.is_none()) {
        let contacts = |group: usize| cells.union(groups[group]).contacts;
        let contacts = contacts(pair.first).min(contacts(pair.second));
        return Some(merge(&pair, Why::TooSmall { contacts }));
    }
    let pair = closest(&|_| groups.len() > MOST)?;
    Some(merge(&pair, Why::Closest { standardized: pair.distance() }))
}

fn pairs(cells: &Cells, groups: &[Set], alpha: Alpha) -> Vec<Pair> {
    let judgement = judge(cells, groups, alpha);
    // Outcomes of a pair follow each other.
    let outcomes = cells.kinds().len().max(1);
    let pair = |of: &[Difference]| {
        let (first, second) = (of[0].first, of[0].second);
        let judged = of.iter().filter_map(|difference| difference.found);
        let judged = judged
            .map(|found| (found.p, found.standardized))
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        Pair {
            first,
            second,
            jaccard: cells.overlap(groups[first], groups[second]).jaccard,
            judged,
            is_different: of.iter().any(|it| it.verdict == Verdict::Different),
        }
    };
    judgement.differences.chunks(outcomes).map(pair).collect()
}

impl Pair {
    /// How differently they behave; of pairs that cannot be judged, those with more in common are closer.
    fn distance(&self) -> f64 {
        self.judged.map_or(1.0 - self.jaccard, |(_, standardized)| standardized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Kind;

    /// Segments apart: of 1,000 contacts each, so many in a hundred did it.
    fn cells(percents: &[usize]) -> Cells {
        let mut cells = Cells::new(percents.len(), vec![Kind::Happened]);
        for (segment, percent) in percents.iter().enumerate() {
            for contact in 0..1_000 {
                let did = (contact % 100 < *percent).then_some(1.0);
                cells.count(Set::of(segment), &[did]);
            }
        }
        cells
    }

    fn set(segments: &[usize]) -> Set {
        segments.iter().fold(Set::default(), |set, segment| set.union(Set::of(*segment)))
    }

    #[test]
    fn segments_that_behave_alike_are_merged_and_those_that_differ_stay() {
        let portfolio = propose(&cells(&[10, 40, 11, 70, 41]), Alpha::FIVE_PERCENT);
        let mut groups = portfolio.groups.clone();
        groups.sort();
        assert_eq!(groups, [set(&[0, 2]), set(&[3]), set(&[1, 4])]);
        assert!(matches!(portfolio.merges[0].why, Why::NotShownDifferent { .. }));
        assert!(portfolio.summary().starts_with("3 segments behave differently"));
    }

    #[test]
    fn of_many_that_all_differ_the_closest_are_merged_until_five_remain() {
        let portfolio = propose(&cells(&[5, 20, 35, 50, 65, 80, 95]), Alpha::FIVE_PERCENT);
        assert_eq!(portfolio.groups.len(), 5);
        assert!(portfolio.merges.iter().all(|merge| matches!(merge.why, Why::Closest { .. })));
    }

    #[test]
    fn nothing_that_differs_leaves_one_and_says_so() {
        let portfolio = propose(&cells(&[10, 10, 10, 10]), Alpha::FIVE_PERCENT);
        assert_eq!(portfolio.groups, [set(&[0, 1, 2, 3])]);
        assert!(portfolio.summary().contains("no two segments"));
    }

    #[test]
    fn the_same_people_are_one_segment_and_nobody_is_none() {
        let mut cells = Cells::new(3, vec![Kind::Happened]);
        for contact in 0..1_000 {
            let both = set(&[0, 1]);
            cells.count(if contact < 50 { Set::of(0) } else { both }, &[None]);
        }
        let portfolio = propose(&cells, Alpha::FIVE_PERCENT);
        assert_eq!((portfolio.groups.len(), portfolio.empty.as_slice()), (1, &[2][..]));
        assert_eq!(portfolio.merges[0].why, Why::SamePeople { jaccard: 0.95 });
    }

    #[test]
    fn what_is_too_small_to_judge_joins_what_it_has_most_in_common_with() {
        // The fourth segment: eight contacts of the second.
        let mut cells = Cells::new(4, vec![Kind::Happened]);
        for (segment, percent) in [10, 40, 70].into_iter().enumerate() {
            for contact in 0..1_000 {
                let did = (contact % 100 < percent).then_some(1.0);
                let is_small = segment == 1 && contact < 8;
                let set = if is_small { set(&[1, 3]) } else { Set::of(segment) };
                cells.count(set, &[did]);
            }
        }
        let portfolio = propose(&cells, Alpha::FIVE_PERCENT);
        let merge = portfolio.merges[0];
        assert_eq!(
            (merge.first.union(merge.second), merge.why),
            (set(&[1, 3]), Why::TooSmall { contacts: 8 })
        );
        assert_eq!(portfolio.groups.len(), 3);
    }
}
