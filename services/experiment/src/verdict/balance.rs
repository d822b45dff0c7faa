//! Whether the arms, and the holdout beside them, got the numbers of units that they should have.

use cursus_statistics::monitor::Sending;
use cursus_statistics::{Alpha, Error, sample_ratio as numbers};

use super::{Stage, adaptive};
use crate::design::Design;
use crate::look::{Look, Sight, real};

/// Of ten mails not more than one fails: a campaign with more is stopped for other reasons.
const FAILED_IN: u64 = 10;
/// Below this it deserves a look.
const SUSPICION: f64 = 0.01;

/// How likely the numbers of units are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SampleRatio {
    pub(crate) p: f64,
    /// Against the intended shares; the strongest at any look.
    pub(crate) ln_evidence: f64,
    pub(crate) alarm: Alarm,
}

/// How worrying that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    None,
    Suspicious,
    Broken,
}

/// While units are being exposed the evidence may be looked at all the time; the test of the end may not.
pub(crate) fn sample_ratio(
    design: &Design,
    looks: &[Look],
    stage: Stage,
) -> Result<SampleRatio, Error> {
    let weights = design.weights()?;
    let units = |look: &Look| -> Vec<u64> { look.sight.arms.iter().map(|arm| arm.units).collect() };
    let strongest = if design.bandit.is_some() {
        adaptive::ln_against_shares(design, looks)?
    } else {
        let evidence = looks.iter().map(|look| numbers::ln_evidence(&units(look), &weights));
        evidence.collect::<Result<Vec<f64>, Error>>()?.into_iter().fold(0.0, f64::max)
    };
    let p = match (stage.sending(), looks.last()) {
        // The holdout is exposed when a mailing is planned, the arms while it is sent.
        (Sending::InProgress, _) | (_, None) => (-strongest).exp(),
        (Sending::Complete, Some(present)) => {
            // Where the shares changed, evidence that may be looked at all the time is all there is.
            let of_arms = if design.bandit.is_some() {
                (-strongest).exp()
            } else {
                numbers::chi_square(&units(present), &weights)?.p
            };
            of_arms.min(of_holdout(design, &present.sight)?)
        }
    };
    let alarm = if p < Alpha::ONE_PER_MILLE.get() {
        Alarm::Broken
    } else if p < SUSPICION {
        Alarm::Suspicious
    } else {
        Alarm::None
    };
    Ok(SampleRatio { p, ln_evidence: strongest, alarm })
}

/// How likely the number of those held out is beside that of all arms. A mail that fails exposes nobody, and who in the
/// holdout would have been so unlucky is not known, so as many may be missing from the arms.
fn of_holdout(design: &Design, sight: &Sight) -> Result<f64, Error> {
    if !design.has_holdout() {
        return Ok(1.0);
    }
    let shares = design.tested_and_held_out()?;
    let held_out = sight.holdout_units;
    let tested: u64 = sight.arms.iter().map(|arm| arm.units).sum::<u64>() + sight.strays;
    let with_failed = tested + tested / (FAILED_IN - 1);
    let is_many = |tested: u64| {
        let share = shares.shares().last().unwrap_or_default();
        real(held_out) > share * real(tested + held_out)
    };
    let tested = match (is_many(tested), is_many(with_failed)) {
        (true, true) => with_failed,
        (true, false) => return Ok(1.0),
        (false, _) => tested,
    };
    Ok(numbers::chi_square(&[tested, held_out], &shares)?.p)
}
