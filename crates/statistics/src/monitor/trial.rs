//! The test at one look: how far the leader is ahead of every other arm, and what that must be held against.

use super::design::{Design, Method, TimingGuard};
use super::evidence::Admitted;
use super::verdict::{AgainstControl, Statistic, Test};
use crate::error::Error;
use crate::group_sequential::{Boundary, Schedule};
use crate::multiplicity;

/// The admitted looks, with the test at the last of them.
pub(super) struct Trial<'a> {
    pub(super) design: &'a Design,
    pub(super) looks: &'a [Admitted],
    pub(super) present: &'a Admitted,
    pub(super) boundary: Boundary,
    pub(super) statistic: Statistic,
}

impl<'a> Trial<'a> {
    /// None without an admitted look.
    pub(super) fn new(
        design: &'a Design,
        looks: &'a [Admitted],
        boundary: Boundary,
    ) -> Option<Self> {
        let present = looks.last()?;
        let leader = present.leader();
        let leads = present.others(leader).map(|other| present.z(leader, other));
        let statistic = Statistic {
            information: present.time.information,
            boundary: boundary.z,
            leader,
            smallest_z: leads.fold(f64::INFINITY, f64::min),
        };
        Some(Self { design, looks, present, boundary, statistic })
    }

    pub(super) fn is_crossed(&self) -> bool {
        self.statistic.smallest_z >= self.statistic.boundary
    }

    pub(super) fn is_timing_suspicious(&self) -> bool {
        let leader = self.statistic.leader;
        let is_suspicious = |other| self.present.is_timing_suspicious(leader, other);
        self.design.timing_guard == TimingGuard::On
            && self.present.others(leader).any(is_suspicious)
    }

    /// The arms that the leader has not beaten.
    pub(super) fn tied(&self) -> Vec<usize> {
        let Statistic { leader, boundary, .. } = self.statistic;
        let is_unbeaten = |other: &usize| self.present.z(leader, *other) < boundary;
        self.present.others(leader).filter(is_unbeaten).collect()
    }

    /// The test with its p-value.
    pub(super) fn test(&self) -> Result<Test, Error> {
        let Statistic { information, boundary, leader, smallest_z } = self.statistic;
        Ok(Test {
            number: self.looks.len(),
            information,
            spending_time: self.present.time.spending_time,
            alpha_spent: self.boundary.cumulative_alpha,
            boundary,
            leader,
            smallest_z,
            sequential_p: self.sequential_p(leader, |look| look.others(leader).collect())?,
            timing_z: self.present.worst_timing_z(leader),
        })
    }

    /// The sequential p-value of `arm` being ahead of all `others` at once. A lead that may be speed does not count.
    fn sequential_p(
        &self,
        arm: usize,
        others: impl Fn(&Admitted) -> Vec<usize>,
    ) -> Result<f64, Error> {
        let guarded = self.design.timing_guard == TimingGuard::On;
        let lead = |look: &Admitted| {
            let lead = |other: usize| {
                let suspicious = guarded && look.is_timing_suspicious(arm, other);
                if suspicious { f64::NEG_INFINITY } else { look.z(arm, other) }
            };
            others(look).into_iter().map(lead).fold(f64::INFINITY, f64::min)
        };
        let leads = self.looks.iter().map(lead);
        match self.design.method {
            Method::GroupSequential(spending) => {
                let schedule = Schedule::new(self.looks.iter().map(|look| look.time).collect())?;
                schedule.sequential_p(spending, &leads.collect::<Vec<f64>>())
            }
            Method::Anytime(mixture) => {
                let ahead = self.looks.iter().zip(leads).filter(|(_, lead)| *lead > 0.0);
                let p = ahead.map(|(look, lead)| mixture.p(lead, look.time.information));
                Ok(p.fold(1.0, f64::min))
            }
        }
    }

    /// Every variant against the control, when a variant leads.
    pub(super) fn against_control(&self) -> Result<Vec<AgainstControl>, Error> {
        let leader = self.statistic.leader;
        let Some(control) = self.design.control.filter(|control| *control != leader) else {
            return Ok(Vec::new());
        };
        let mut variants = Vec::new();
        for arm in self.present.others(control) {
            let sequential_p = self.sequential_p(arm, |_| vec![control])?;
            variants.push(AgainstControl { arm, sequential_p, holm_p: 1.0 });
        }
        let p: Vec<f64> = variants.iter().map(|variant| variant.sequential_p).collect();
        for (variant, adjusted) in variants.iter_mut().zip(multiplicity::holm(&p)) {
            variant.holm_p = adjusted;
        }
        Ok(variants)
    }
}
