//! Whether segments behave differently: first whether they do at all, then which pairs, adjusted for how many were asked.

use cursus_statistics::contingency::{self, ChiSquare};
use cursus_statistics::effect::{Comparison, Sample, welch};
use cursus_statistics::{Alpha, Interval, Proportion, multiplicity};

use super::{Cells, Kind, Set, Sums, Tally, real, sample};

/// Below this an outcome is not judged: Cochran's rule (1954) for the expected numbers of those who did and did not.
const LEAST_EXPECTED: f64 = 5.0;
/// A mean of amounts, most of which are zero, is near enough to normal with this many that are not.
const LEAST_AMOUNTS: u64 = 30;
/// `Alpha` is two-sided: an upper tail of a fifth, for a power of four in five.
const POWER: f64 = 0.4;

/// What is known of two groups in one outcome: the second minus the first, where they are not the same people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) first: usize,
    pub(crate) second: usize,
    pub(crate) outcome: usize,
    pub(crate) first_only: u64,
    pub(crate) second_only: u64,
    pub(crate) found: Option<Found>,
    pub(crate) verdict: Verdict,
}

/// What the data say where they are enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) value: f64,
    /// All intervals of a judgement together cover with `1 - alpha`.
    pub(crate) interval: Interval,
    /// Adjusted (Holm 1979).
    pub(crate) p: f64,
    /// The difference that would be shown in four of five cases at the unadjusted alpha.
    pub(crate) minimum_detectable: f64,
    /// The difference in standard deviations, without a sign.
    pub(crate) standardized: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Different,
    NotShown,
    TooSmall,
}

/// Everything that can be said of some groups.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// By outcome, with adjusted p-values; `None` when fewer than two groups are large enough.
    pub(crate) heterogeneity: Vec<Option<ChiSquare>>,
    /// Every pair and every outcome.
    pub(crate) differences: Vec<Difference>,
}

/// Two groups in one outcome, before anything is adjusted for how many were asked.
struct Asked {
    first: usize,
    second: usize,
    outcome: usize,
    kind: Kind,
    pair: (Tally, Tally),
    raw: Option<Raw>,
}

/// What one comparison says by itself.
#[derive(Clone, Copy)]
struct Raw {
    value: f64,
    p: f64,
    /// Standard error if nothing differed.
    error: f64,
    deviation: f64,
}

/// Judges groups, each a union of segments.
pub(crate) fn judge(cells: &Cells, groups: &[Set], alpha: Alpha) -> Judgement {
    let heterogeneity = heterogeneity(cells, groups);
    let asked = ask(cells, groups);
    let p: Vec<f64> = asked.iter().filter_map(|asked| Some(asked.raw?.p)).collect();
    let each = Alpha::new(alpha.get() / real(p.len().max(1) as u64)).unwrap_or(alpha);
    let mut adjusted = multiplicity::holm(&p).into_iter();
    let mut differences = Vec::with_capacity(asked.len());
    for asked in asked {
        let found = asked.raw.map(|raw| Found {
            value: raw.value,
            interval: interval(&asked, each),
            p: adjusted.next().unwrap_or(1.0),
            minimum_detectable: (alpha.critical() + power().critical()) * raw.error,
            standardized: if raw.deviation > 0.0 { (raw.value / raw.deviation).abs() } else { 0.0 },
        });
        let differ_at_all = heterogeneity[asked.outcome].is_some_and(|test| test.p <= alpha.get());
        let verdict = match &found {
            None => Verdict::TooSmall,
            Some(found) if differ_at_all && found.p <= alpha.get() => Verdict::Different,
            Some(_) => Verdict::NotShown,
        };
        differences.push(Difference {
            first: asked.first,
            second: asked.second,
            outcome: asked.outcome,
            first_only: asked.pair.0.contacts,
            second_only: asked.pair.1.contacts,
            found,
            verdict,
        });
    }
    Judgement { heterogeneity, differences }
}

fn ask(cells: &Cells, groups: &[Set]) -> Vec<Asked> {
    let mut asked = Vec::new();
    for (first, one) in groups.iter().enumerate() {
        for (second, other) in groups.iter().enumerate().skip(first + 1) {
            let pair = (cells.only(*one, *other), cells.only(*other, *one));
            for (outcome, kind) in cells.kinds().iter().copied().enumerate() {
                let raw = compare(&pair, outcome, kind);
                asked.push(Asked { first, second, outcome, kind, pair: pair.clone(), raw });
            }
        }
    }
    asked
}

/// `None` if the data cannot support an answer.
fn compare((first, second): &(Tally, Tally), outcome: usize, kind: Kind) -> Option<Raw> {
    let (one, other) = (&first.outcomes[outcome], &second.outcomes[outcome]);
    match kind {
        Kind::Happened => {
            let comparison = shares(first, one, second, other)?;
            let (n, m) = (real(first.contacts), real(second.contacts));
            let pooled = real(one.responders + other.responders) / (n + m);
            let variance = pooled * (1.0 - pooled);
            if n.min(m) * pooled.min(1.0 - pooled) < LEAST_EXPECTED {
                return None;
            }
            Some(Raw {
                value: comparison.arm.rate() - comparison.baseline.rate(),
                p: comparison.p_two_sided(),
                error: (variance * (1.0 / n + 1.0 / m)).sqrt(),
                deviation: variance.sqrt(),
            })
        }
        Kind::Amount => {
            let (baseline, arm) = means(first, one, second, other)?;
            let test = welch(&baseline, &arm, Alpha::FIVE_PERCENT);
            let deviation = (0.5 * (baseline.variance() + arm.variance())).sqrt();
            Some(Raw {
                value: test.difference.value,
                p: test.p_two_sided,
                error: test.standard_error,
                deviation,
            })
        }
    }
}

fn interval(asked: &Asked, alpha: Alpha) -> Interval {
    let (first, second) = &asked.pair;
    let (one, other) = (&first.outcomes[asked.outcome], &second.outcomes[asked.outcome]);
    let interval = match asked.kind {
        Kind::Happened => shares(first, one, second, other).map(|it| it.newcombe(alpha)),
        Kind::Amount => means(first, one, second, other)
            .map(|(baseline, arm)| welch(&baseline, &arm, alpha).difference.interval),
    };
    interval.unwrap_or(Interval { low: f64::NEG_INFINITY, high: f64::INFINITY })
}

fn shares(first: &Tally, one: &Sums, second: &Tally, other: &Sums) -> Option<Comparison> {
    Some(Comparison {
        baseline: Proportion::new(one.responders, first.contacts).ok()?,
        arm: Proportion::new(other.responders, second.contacts).ok()?,
    })
}

fn means(first: &Tally, one: &Sums, second: &Tally, other: &Sums) -> Option<(Sample, Sample)> {
    let enough = one.responders.min(other.responders) >= LEAST_AMOUNTS;
    let pair = (sample(first.contacts, one)?, sample(second.contacts, other)?);
    enough.then_some(pair)
}

/// Whether groups differ at all, outcome by outcome, adjusted for how many outcomes there are. So that nobody counts
/// twice, everybody counts in the smallest group.
fn heterogeneity(cells: &Cells, groups: &[Set]) -> Vec<Option<ChiSquare>> {
    let mut order: Vec<Set> = groups.to_vec();
    order.sort_by_key(|group| cells.union(*group).contacts);
    let mut taken = Set::default();
    let mut apart = Vec::new();
    for group in order {
        apart.push(cells.only(group, taken));
        taken = taken.union(group);
    }
    let mut tests: Vec<Option<ChiSquare>> =
        (0..cells.kinds().len()).map(|outcome| differ(&apart, outcome, cells.kinds())).collect();
    let p: Vec<f64> = tests.iter().flatten().map(|test| test.p).collect();
    for (test, p) in tests.iter_mut().flatten().zip(multiplicity::holm(&p)) {
        test.p = p;
    }
    tests
}

fn differ(apart: &[Tally], outcome: usize, kinds: &[Kind]) -> Option<ChiSquare> {
    let judged = apart.iter().map(|tally| (tally.contacts, &tally.outcomes[outcome]));
    match kinds[outcome] {
        Kind::Happened => {
            let (contacts, responders) = apart.iter().fold((0, 0), |(contacts, responders), it| {
                (contacts + it.contacts, responders + it.outcomes[outcome].responders)
            });
            let pooled = real(responders) / real(contacts.max(1));
            let is_enough =
                |contacts: u64| real(contacts) * pooled.min(1.0 - pooled) >= LEAST_EXPECTED;
            let shares: Vec<Proportion> = judged
                .filter(|(contacts, _)| is_enough(*contacts))
                .filter_map(|(contacts, sums)| Proportion::new(sums.responders, contacts).ok())
                .collect();
            contingency::homogeneity(&shares).ok()
        }
        Kind::Amount => {
            let means: Vec<Sample> = judged
                .filter(|(_, sums)| sums.responders >= LEAST_AMOUNTS)
                .filter_map(|(contacts, sums)| sample(contacts, sums))
                .collect();
            contingency::equal_means(&means).ok()
        }
    }
}

fn power() -> Alpha {
    Alpha::new(POWER).unwrap_or(Alpha::FIVE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two segments apart: contacts, and how many of them did it, with an amount of ten times one to five.
    fn cells(groups: [(u64, u64); 2]) -> Cells {
        let mut cells = Cells::new(2, vec![Kind::Happened, Kind::Amount]);
        for (segment, (contacts, responders)) in groups.into_iter().enumerate() {
            for contact in 0..contacts {
                let amount = 10.0 * real(contact % 5 + 1);
                let did = (contact < responders).then_some(amount);
                cells.count(Set::of(segment), &[did, did]);
            }
        }
        cells
    }

    fn judged(groups: [(u64, u64); 2]) -> Judgement {
        judge(&cells(groups), &[Set::of(0), Set::of(1)], Alpha::FIVE_PERCENT)
    }

    #[test]
    fn segments_that_behave_differently_are_told_apart_in_every_outcome() {
        let judgement = judged([(1_000, 100), (1_000, 300)]);
        for difference in &judgement.differences {
            let found = difference.found.unwrap();
            assert_eq!(difference.verdict, Verdict::Different);
            assert!(found.value > 0.0 && found.interval.low > 0.0 && found.p < 1e-6);
            assert!(judgement.heterogeneity[difference.outcome].unwrap().p < 1e-6);
        }
        let shares = judgement.differences[0].found.unwrap();
        assert!((shares.value - 0.2).abs() < 1e-12 && shares.interval.contains(0.2));
    }

    #[test]
    fn segments_that_behave_alike_are_not_and_one_sees_what_would_have_been() {
        let judgement = judged([(1_000, 200), (1_000, 204)]);
        for difference in &judgement.differences {
            let found = difference.found.unwrap();
            assert_eq!(difference.verdict, Verdict::NotShown);
            assert!(found.interval.contains(0.0) && found.minimum_detectable > found.value);
        }
        // (1.96 + 0.8416) √(0.202 · 0.798 · 2 / 1,000)
        let shares = judgement.differences[0].found.unwrap();
        assert!((shares.minimum_detectable - 0.0503).abs() < 1e-4, "{shares:?}");
    }

    #[test]
    fn a_handful_of_contacts_is_not_judged() {
        let judgement = judged([(1_000, 200), (20, 10)]);
        assert!(judgement.differences.iter().all(|it| it.verdict == Verdict::TooSmall));
        assert_eq!(judgement.heterogeneity, [None, None]);
    }

    #[test]
    fn what_segments_have_in_common_is_not_compared() {
        let mut cells = cells([(1_000, 100), (1_000, 300)]);
        (0..5_000).for_each(|_| cells.count(Set::of(0).union(Set::of(1)), &[None, None]));
        let judgement = judge(&cells, &[Set::of(0), Set::of(1)], Alpha::FIVE_PERCENT);
        let shares = &judgement.differences[0];
        assert_eq!((shares.first_only, shares.second_only), (1_000, 1_000));
        assert!((shares.found.unwrap().value - 0.2).abs() < 1e-12);
    }

    #[test]
    fn many_segments_that_are_alike_are_rarely_called_different() {
        // 40 data sets of eight segments with one rate: at 5 % a couple of false alarms are to be expected.
        let mut random: u64 = 7;
        let mut uniform = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 33
        };
        let mut alarms = 0;
        for _ in 0..40 {
            let mut cells = Cells::new(8, vec![Kind::Happened]);
            for contact in 0..4_000 {
                let did = uniform() % 10 == 0;
                cells.count(Set::of(contact % 8), &[did.then_some(1.0)]);
            }
            let groups: Vec<Set> = (0..8).map(Set::of).collect();
            let judgement = judge(&cells, &groups, Alpha::FIVE_PERCENT);
            let is_different = |it: &Difference| it.verdict == Verdict::Different;
            alarms += usize::from(judgement.differences.iter().any(is_different));
        }
        assert!(alarms <= 6, "{alarms} of 40");
    }
}
