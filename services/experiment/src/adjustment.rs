//! Sharper estimates of how arms differ: what units did before their exposure explains a part of what they do after it.
//! Estimates only, nothing is decided by them.

use cursus_statistics::cuped::adjust;
use cursus_statistics::effect::{Comparison, Sample, welch};
use cursus_statistics::pairs::{Pairs, Sums};
use cursus_statistics::{Alpha, Error, Interval, Proportion};

use crate::counts::{Counts, Group};
use crate::design::{Design, Kind};
use crate::look::real;
use crate::results::{Estimate, FEWEST_ANSWERS};

/// One metric of one arm against the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Adjustment {
    pub(crate) baseline: usize,
    pub(crate) plain: Estimate,
    pub(crate) adjusted: Estimate,
    pub(crate) variance_reduction: f64,
}

/// Of an arm; `critical` is how many standard errors an interval is wide on either side, if it may be shown.
pub(crate) fn adjustment(
    design: &Design,
    counts: &Counts,
    (arm, metric): (usize, usize),
    critical: Option<f64>,
) -> Result<Option<Adjustment>, Error> {
    let place = design.control.unwrap_or(0);
    let kind = &design.metrics[metric].kind;
    let is_wanted = design.metrics[metric].covariate_seconds.is_some() && arm != place;
    let (Some(baseline), Some(own)) = (counts.arms.get(place), counts.arms.get(arm)) else {
        return Ok(None);
    };
    let sides = pairs(kind, baseline, metric).zip(pairs(kind, own, metric));
    let Some((before, after)) = sides.filter(|_| is_wanted) else { return Ok(None) };
    let found = adjust(&before, &after)?;
    let answered = |group: &Group| group.metrics[metric].answered;
    let critical = critical.filter(|_| answered(baseline) + answered(own) >= FEWEST_ANSWERS);
    let around = |value: f64, error: f64| Estimate {
        value,
        interval: critical.map(|critical| Interval {
            low: value - critical * error,
            high: value + critical * error,
        }),
    };
    let (value, error) = plain(kind, baseline, own, metric)?;
    Ok(Some(Adjustment {
        baseline: place,
        plain: around(value, error),
        adjusted: around(found.difference, found.standard_error),
        variance_reduction: found.variance_reduction,
    }))
}

/// The difference as it was counted, and its standard error.
fn plain(kind: &Kind, baseline: &Group, arm: &Group, metric: usize) -> Result<(f64, f64), Error> {
    match kind {
        Kind::Conversion => {
            let rate =
                |it: &Group| Proportion::new(it.metrics[metric].answered, it.counted(metric));
            let comparison = Comparison { baseline: rate(baseline)?, arm: rate(arm)? };
            let value = comparison.arm.rate() - comparison.baseline.rate();
            Ok((value, comparison.unpooled_error()))
        }
        Kind::Revenue { .. } => {
            let sample = |it: &Group| {
                let tally = &it.metrics[metric];
                Sample::from_sums(it.counted(metric), tally.total, tally.squares)
            };
            let found = welch(&sample(baseline)?, &sample(arm)?, Alpha::FIVE_PERCENT);
            Ok((found.difference.value, found.standard_error))
        }
    }
}

/// What units did after and before their exposure, side by side; nothing where there are too few of them.
fn pairs(kind: &Kind, group: &Group, metric: usize) -> Option<Pairs> {
    let (tally, past) = (group.metrics.get(metric)?, group.pasts.get(metric)?);
    let (y, yy) = match kind {
        Kind::Conversion => (real(tally.answered), real(tally.answered)),
        Kind::Revenue { .. } => (tally.total, tally.squares),
    };
    let sums = Sums { y, x: past.total, yy, xx: past.squares, yx: past.products };
    Pairs::from_sums(group.counted(metric), sums).ok()
}
