//! The looks of a test one after the other. What a look needs of those before it is carried along within one call, so
//! that judging fifty looks costs little more than judging the last.

use super::design::{Design, Method};
use super::evidence::{Admitted, Look, Sending, admit};
use super::trial::Trial;
use super::verdict::{Admission, SampleRatio};
use crate::error::Error;
use crate::group_sequential::{Boundary, LookTime, Spender};
use crate::sample_ratio;
use crate::spending::Spending;

/// Below this the sample ratio deserves a warning.
const SUSPICION: f64 = 0.01;

pub(super) struct Course<'a> {
    design: &'a Design,
    admitted: Vec<Admitted>,
    /// Of the last look.
    admission: Admission,
    spender: Spender,
    /// At the last admitted look.
    boundary: Boundary,
    /// The strongest so far.
    ln_evidence: f64,
}

impl<'a> Course<'a> {
    pub(super) fn new(design: &'a Design) -> Self {
        let spending = match design.method {
            Method::GroupSequential(spending) => spending,
            Method::Anytime(_) => Spending::OBrienFleming,
        };
        Self {
            design,
            admitted: Vec::new(),
            admission: Admission::Immature,
            spender: Spender::two_sided(spending, design.alpha),
            boundary: Boundary { z: f64::INFINITY, cumulative_alpha: 0.0 },
            ln_evidence: f64::NEG_INFINITY,
        }
    }

    /// Moves on to the next look.
    pub(super) fn take(&mut self, look: &Look, sending: Sending) -> Result<SampleRatio, Error> {
        let before = self.admitted.last().map_or(0.0, |look| look.time.information);
        match admit(self.design, look, before) {
            Ok(look) => {
                self.boundary = self.boundary(&look.time);
                self.admitted.push(look);
                self.admission = Admission::Admitted;
            }
            Err(admission) => self.admission = admission,
        }
        self.balance(look, sending)
    }

    pub(super) fn admission(&self) -> Admission {
        self.admission
    }

    /// The test at the last look, if that was admitted.
    pub(super) fn trial(&self) -> Option<Trial<'_>> {
        let is_admitted = self.admission == Admission::Admitted;
        Trial::new(self.design, &self.admitted, self.boundary).filter(|_| is_admitted)
    }

    fn boundary(&mut self, time: &LookTime) -> Boundary {
        match self.design.method {
            Method::GroupSequential(_) => self.spender.next(time),
            // Nothing is spent bit by bit: the whole is promised at any time.
            Method::Anytime(mixture) => Boundary {
                z: mixture.boundary(time.information, self.design.alpha),
                cumulative_alpha: self.design.alpha.get(),
            },
        }
    }

    fn balance(&mut self, look: &Look, sending: Sending) -> Result<SampleRatio, Error> {
        let Design { weights, sample_ratio_alarm, .. } = self.design;
        let sent: Vec<u64> = look.arms.iter().map(|arm| arm.sent).collect();
        self.ln_evidence = self.ln_evidence.max(sample_ratio::ln_evidence(&sent, weights)?);
        let chi_square = sample_ratio::chi_square(&sent, weights)?;
        let p = match sending {
            Sending::InProgress => (-self.ln_evidence).exp(),
            Sending::Complete => chi_square.p,
        };
        Ok(SampleRatio {
            chi_square,
            ln_evidence: self.ln_evidence,
            is_broken: p < sample_ratio_alarm.get(),
            is_suspicious: p < SUSPICION,
        })
    }
}
