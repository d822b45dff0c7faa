//! A verdict in words that a marketer understands, with the numbers in it.

use cursus_statistics::monitor::{Action, Reason};

use super::Finding;
use crate::design::{Design, Kind};
use crate::look::Look;

/// What there is to tell.
pub(super) struct Facts<'a> {
    pub(super) design: &'a Design,
    pub(super) present: &'a Look,
    /// Nothing where there is one arm.
    pub(super) finding: Option<&'a Finding>,
    /// The arm it is about, or else the one with the most per unit.
    pub(super) leader: usize,
    pub(super) closest: Option<usize>,
    /// By how much per unit the leader is ahead of it.
    pub(super) lead: f64,
    pub(super) sample_ratio_p: f64,
}

impl Facts<'_> {
    pub(super) fn tell(&self) -> String {
        let Some(finding) = self.finding else {
            return "There is one arm, so there is nothing to decide".to_owned();
        };
        match &finding.reason {
            Reason::SampleRatioMismatch => format!(
                "The arms did not get the numbers of contacts they should have ({}): find out why before you trust any result",
                self.numbers(),
            ),
            Reason::ImmatureOrTooFewEvents => self.too_early(),
            Reason::TimingShift => format!(
                "{}, but they are answered at a different speed, so the lead may be speed and nothing else",
                self.lead(),
            ),
            Reason::Guardrail(id) => {
                let named = self.design.metrics.iter().find(|it| it.id.as_ref() == id);
                harm(self.design, self.leader, named.map_or(id, |metric| metric.title()))
            }
            Reason::SignificantBest => {
                format!("{}; that is more than chance explains", self.lead())
            }
            Reason::NotSignificantYet => {
                format!("{} so far; that may still be chance", self.lead())
            }
            Reason::BeatsControlTiedWithVariant => {
                let tied: Vec<&str> = finding.tied_with.iter().map(|arm| self.arm(*arm)).collect();
                format!(
                    "{} beats the present choice, {}, by more than chance explains, but cannot be told from {}",
                    self.arm(self.leader),
                    self.design.control.map_or("", |control| self.arm(control)),
                    tied.join(" and "),
                )
            }
            Reason::InconclusiveAtDeadline => self.inconclusive(finding.action),
        }
    }

    fn inconclusive(&self, action: Action) -> String {
        match action {
            Action::PromoteControl => format!(
                "Nothing beat {}, the present choice, by more than chance explains",
                self.arm(self.leader)
            ),
            Action::PromoteNotSignificant => format!(
                "{} at the deadline, which is not significant; it is most likely the best all the same",
                self.lead()
            ),
            _ => format!(
                "{} at the deadline, which chance may explain: a person must choose",
                self.lead()
            ),
        }
    }

    fn too_early(&self) -> String {
        let answered = self.present.sight.answered();
        let percent = 100.0 * self.present.spending_time.get();
        if self.design.is_open_ended() {
            return format!(
                "It is too early to say: {percent:.0} % of the first week is over, with answers from {answered} contacts",
            );
        }
        format!(
            "It is too early to say: {percent:.0} % of the expected answers are in, from {answered} contacts",
        )
    }

    /// Who leads whom by how much.
    fn lead(&self) -> String {
        let (metric, gap) = (self.design.primary(), self.lead);
        let Some(other) = self.closest else { return self.arm(self.leader).to_owned() };
        if gap.abs() <= 0.0 {
            let (one, two) = (self.arm(self.leader), self.arm(other));
            return format!("{one} and {two} are level in {}", metric.title());
        }
        let by = match metric.kind {
            Kind::Conversion => format!("{} points of {}", places(100.0 * gap), metric.title()),
            Kind::Revenue { .. } => format!("{} of {} per contact", places(gap), metric.title()),
        };
        let among = match self.design.bandit {
            Some(_) => " among contacts of the same time",
            None => "",
        };
        format!("{} leads {} by {by}{among}", self.arm(self.leader), self.arm(other))
    }

    fn numbers(&self) -> String {
        let sight = &self.present.sight;
        let arms = self.design.arms.iter().zip(&sight.arms);
        let mut told: Vec<String> =
            arms.map(|(arm, seen)| format!("{}: {}", arm.title(), seen.units)).collect();
        if self.design.has_holdout() {
            told.push(format!("held out: {}", sight.holdout_units));
        }
        told.push(format!("p = {:.1e}", self.sample_ratio_p));
        told.join(", ")
    }

    fn arm(&self, arm: usize) -> &str {
        self.design.arms.get(arm).map_or("", |arm| arm.title())
    }
}

/// Why an arm that harms is not recommended.
pub(super) fn harm(design: &Design, arm: usize, guardrail: &str) -> String {
    let arm = design.arms.get(arm).map_or("", |arm| arm.title());
    format!("{arm} may do harm to {guardrail}, so it is not recommended before a person has looked")
}

/// As many decimal places as it takes to see something.
fn places(number: f64) -> String {
    if number.abs() < 0.095 { format!("{number:.3}") } else { format!("{number:.1}") }
}
