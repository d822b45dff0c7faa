//! What speaks against a verdict: answers that merely come sooner, and what would make the recommendation void.

use super::{Action, Verdict, ladder};
use crate::design::{Design, Kind};
use crate::look::{Look, Sight};

/// Whether the leader is merely answered at another speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timing {
    pub(crate) state: TimingState,
    pub(crate) z: f64,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimingState {
    Ok,
    Shifted,
    Settled,
}

/// How the leader's speed differs most from another arm's.
pub(crate) fn timing(design: &Design, sight: &Sight, is_settled: bool) -> Timing {
    if design.bandit.is_some() {
        // Arms that got their units at different times are not compared, and the answers of those that count are in.
        return Timing { state: TimingState::Settled, z: 0.0 };
    }
    let leader = sight.leader(design.primary());
    let mut z: f64 = 0.0;
    for other in sight.others(leader) {
        let found = ladder::timing_z(sight, leader, other);
        if found.abs() > z.abs() {
            z = found;
        }
    }
    let state = if is_settled {
        TimingState::Settled
    } else if z.abs() >= ladder::TIMING_LIMIT {
        TimingState::Shifted
    } else {
        TimingState::Ok
    };
    Timing { state, z }
}

/// What would make the recommendation void, in a sentence.
pub(crate) fn invalidated_by(design: &Design, present: &Look, verdict: &Verdict) -> String {
    let name = |arm: usize| design.arms.get(arm).map_or("", |arm| arm.title());
    let harm = "or if an arm turns out to do harm or to have the wrong number of contacts";
    match (verdict.action, verdict.arm) {
        (Action::Promote, Some(arm)) => match reversing(design, &present.sight, verdict, arm) {
            Some(answers) => format!(
                "It is void if {answers} or more of the answers to {} turn out to be a machine's, {harm}",
                name(arm)
            ),
            None => format!("It is void if the lead of {} shrinks, {harm}", name(arm)),
        },
        (Action::PromoteNotSignificant | Action::PromoteControl, Some(arm)) => {
            format!("It is void if late answers put another arm before {}, {harm}", name(arm))
        }
        (Action::Continue, _) => match verdict.boundary {
            Some(boundary) if design.bandit.is_some() => format!(
                "An arm is recommended once the evidence for its lead over every other is worth {boundary:.2} standard errors; now it is worth {:.2}",
                verdict.statistic
            ),
            Some(boundary) => format!(
                "An arm is recommended once it leads every other by {boundary:.2} standard errors; now it is {:.2}",
                verdict.statistic
            ),
            None => "An arm may be recommended once enough answers are in".to_owned(),
        },
        (Action::Hold, _) => "It holds until a person has found out why and decides".to_owned(),
        _ => String::new(),
    }
}

/// How few of an arm's answers would have to be discounted for it not to be significantly ahead any more.
fn reversing(design: &Design, sight: &Sight, verdict: &Verdict, arm: usize) -> Option<u64> {
    let metric = design.primary();
    let is_counted = metric.kind == Kind::Conversion && design.bandit.is_none();
    let boundary = verdict.boundary.filter(|_| is_counted)?;
    let answered = sight.arms.get(arm)?.tally.answered;
    let still_leads = |discounted: u64| {
        let mut sight = sight.clone();
        sight.arms[arm].tally.answered = answered - discounted;
        let closest = sight.closest(metric, arm);
        closest.is_some_and(|other| sight.statistic(metric, arm, other) >= boundary)
    };
    if !still_leads(0) || still_leads(answered) {
        return None;
    }
    let (mut enough, mut few) = (answered, 0);
    while enough - few > 1 {
        let middle = few + (enough - few) / 2;
        if still_leads(middle) {
            few = middle;
        } else {
            enough = middle;
        }
    }
    Some(enough)
}
