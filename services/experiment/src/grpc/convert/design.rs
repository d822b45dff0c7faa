//! Designs, what is expected of them and what they can find.

use cursus_api::experiment as proto;
use prost_types::Duration;

use super::{arm_id, number, parsed};
use crate::design::{
    Arm, Bandit, Design, Direction, Kind, Method, Metric, Role, Rule, WhenInconclusive, usual_gate,
};
use crate::error::Error;
use crate::sizing::{Expectation, Size, Sizing};

const USUAL_ALPHA: f64 = 0.05;
const USUAL_RESPONSE: Duration = Duration { seconds: 9_000, nanos: 0 };
const USUAL_LOG_SD: f64 = 1.5;
const USUAL_EVENTS: u32 = 1_000;
const USUAL_FLOOR: f64 = 0.05;
const USUAL_PERIOD: Duration = Duration { seconds: 86_400, nanos: 0 };
/// More than mailboxes that are read.
const MOST_UNITS: i64 = 4_000_000_000;

pub(super) fn design(design: proto::Design) -> Result<Design, Error> {
    let arm = |(index, arm): (usize, proto::Arm)| {
        let field = format!("experiment.design.arms[{index}].arm_id");
        Ok(Arm {
            id: parsed(&field, &arm.arm_id)?,
            display_name: arm.display_name,
            weight: arm.weight,
        })
    };
    let arms = design.arms.into_iter().enumerate().map(arm).collect::<Result<Vec<Arm>, Error>>()?;
    let control = match design.control_arm.as_str() {
        "" => None,
        id => {
            let place = arms.iter().position(|arm| arm.id.as_ref() == id);
            let field = "experiment.design.control_arm";
            Some(place.ok_or_else(|| Error::invalid(field, "there is no such arm"))?)
        }
    };
    let metrics = design.metrics.into_iter().enumerate().map(metric).collect::<Result<_, _>>()?;
    let method = method(design.method, design.expected_event_count)?;
    if design.bandit.is_some() && design.expected_event_count != 0 {
        let why = "the evidence of a bandit is not tuned: leave it empty";
        return Err(Error::invalid("experiment.design.expected_event_count", why));
    }
    let policy = proto::InconclusivePolicy::try_from(design.inconclusive_policy);
    Ok(Design {
        arms,
        control,
        // A negative zero would be stored as another one, with another digest.
        holdout_share: design.holdout_share + 0.0,
        test_share: design.test_share,
        metrics,
        alpha: or_usual(design.alpha, USUAL_ALPHA),
        decision_seconds: seconds(design.decision_window.unwrap_or_default()),
        response_median_seconds: seconds(design.response_median.unwrap_or(USUAL_RESPONSE)),
        response_log_sd: or_usual(design.response_log_sd, USUAL_LOG_SD),
        method,
        maturity_gate: or_usual(design.maturity_gate, usual_gate()),
        layer: design.layer,
        layer_share: Some(design.layer_share).filter(|share| *share != 0.0),
        holdout_period: design.holdout_period,
        aggregated: design.aggregated,
        bandit: design.bandit.map(bandit).transpose()?,
        when_inconclusive: match policy {
            Ok(proto::InconclusivePolicy::Unspecified | proto::InconclusivePolicy::Hold) => {
                WhenInconclusive::Hold
            }
            Ok(proto::InconclusivePolicy::PosteriorBest) => WhenInconclusive::PosteriorBest,
            Ok(proto::InconclusivePolicy::Control) => WhenInconclusive::Control,
            Err(error) => {
                return Err(Error::invalid("experiment.design.inconclusive_policy", error));
            }
        },
    })
}

fn method(method: i32, expected_events: i64) -> Result<Method, Error> {
    let field = |name: &str| format!("experiment.design.{name}");
    match proto::Method::try_from(method) {
        Ok(proto::Method::Unspecified | proto::Method::GroupSequential) if expected_events == 0 => {
            Ok(Method::GroupSequential)
        }
        Ok(proto::Method::Unspecified | proto::Method::GroupSequential) => {
            let why = "only a test without a deadline is tuned: leave it empty";
            Err(Error::invalid(field("expected_event_count"), why))
        }
        Ok(proto::Method::Anytime) => {
            let events = if expected_events == 0 { USUAL_EVENTS.into() } else { expected_events };
            let expected_events = u32::try_from(events).ok().filter(|events| *events > 0);
            let why = "it must be positive, and at most 4,294,967,295";
            let expected_events = expected_events
                .ok_or_else(|| Error::invalid(field("expected_event_count"), why))?;
            Ok(Method::Anytime { expected_events })
        }
        Err(error) => Err(Error::invalid(field("method"), error)),
    }
}

fn bandit(told: proto::Bandit) -> Result<Bandit, Error> {
    use proto::bandit::Rule as Told;
    Ok(Bandit {
        rule: match Told::try_from(told.rule) {
            Ok(Told::Unspecified | Told::Thompson) => Rule::Thompson,
            Ok(Told::TopTwo) => Rule::TopTwo,
            Err(error) => return Err(Error::invalid("experiment.design.bandit.rule", error)),
        },
        floor: or_usual(told.floor, USUAL_FLOOR),
        period_seconds: seconds(told.period.unwrap_or(USUAL_PERIOD)),
    })
}

pub(super) fn expectation(told: proto::Expectation) -> Result<Expectation, Error> {
    let field = |name: &str| format!("experiment.expectation.{name}");
    if !(1..=MOST_UNITS).contains(&told.audience_size) {
        let why = "it must be positive, and at most 4,000 million";
        return Err(Error::invalid(field("audience_size"), why));
    }
    if !(told.rate > 0.0 && told.rate < 1.0) {
        return Err(Error::invalid(field("rate"), "it must be above 0 and below 1"));
    }
    let audience = u32::try_from(told.audience_size).unwrap_or(u32::MAX);
    Ok(Expectation { audience, rate: told.rate })
}

fn metric((index, metric): (usize, proto::Metric)) -> Result<Metric, Error> {
    let field = |name: &str| format!("experiment.design.metrics[{index}].{name}");
    let kind = match metric.kind() {
        proto::metric::Kind::Conversion if metric.property.is_empty() => Kind::Conversion,
        proto::metric::Kind::Conversion => {
            let why = "a conversion sums nothing: leave it empty";
            return Err(Error::invalid(field("property"), why));
        }
        proto::metric::Kind::Revenue => Kind::Revenue { property: metric.property },
        proto::metric::Kind::Unspecified => {
            return Err(Error::invalid(field("kind"), "say what is computed"));
        }
    };
    let role = role(&field("role"), index, metric.role)?;
    Ok(Metric {
        id: parsed(&field("metric_id"), &metric.metric_id)?,
        display_name: metric.display_name,
        direction: direction(&field("direction"), metric.direction, role, &kind)?,
        kind,
        events: metric.events,
        window_seconds: seconds(metric.window.unwrap_or_default()),
        role,
        ceiling: metric.ceiling,
        covariate_seconds: metric.covariate_window.map(seconds),
    })
}

fn role(field: &str, index: usize, role: i32) -> Result<Role, Error> {
    use proto::metric::Role::{Guardrail, Primary, Secondary, Unspecified};
    match proto::metric::Role::try_from(role) {
        Ok(Primary) if index > 0 => {
            Err(Error::invalid(field, "the first metric decides, and no other"))
        }
        Ok(Secondary) if index == 0 => {
            Err(Error::invalid(field, "the first metric decides: put another one first"))
        }
        Ok(Unspecified | Primary | Secondary) => Ok(Role::Shown),
        Ok(Guardrail) => Ok(Role::Guardrail),
        Err(error) => Err(Error::invalid(field, error)),
    }
}

/// What is guarded against is too much of something, as a rule; else the more the better.
fn direction(field: &str, told: i32, role: Role, kind: &Kind) -> Result<Direction, Error> {
    use proto::metric::Direction::{HigherIsBetter, LowerIsBetter, Unspecified};
    match proto::metric::Direction::try_from(told) {
        Ok(Unspecified) if role == Role::Guardrail && *kind == Kind::Conversion => {
            Ok(Direction::Lower)
        }
        Ok(Unspecified | HigherIsBetter) => Ok(Direction::Higher),
        Ok(LowerIsBetter) => Ok(Direction::Lower),
        Err(error) => Err(Error::invalid(field, error)),
    }
}

fn or_usual(value: f64, usual: f64) -> f64 {
    if value == 0.0 { usual } else { value }
}

#[expect(clippy::cast_precision_loss, reason = "what is longer than 2^53 seconds is refused")]
fn seconds(duration: Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

#[expect(clippy::cast_possible_truncation, reason = "a checked design's windows are short")]
pub(in crate::grpc) fn duration(seconds: f64) -> Duration {
    let nanos = (seconds.fract() * 1e9).round();
    Duration { seconds: seconds.trunc() as i64, nanos: nanos as i32 }
}

impl From<Design> for proto::Design {
    fn from(design: Design) -> Self {
        let policy = match design.when_inconclusive {
            WhenInconclusive::Hold => proto::InconclusivePolicy::Hold,
            WhenInconclusive::PosteriorBest => proto::InconclusivePolicy::PosteriorBest,
            WhenInconclusive::Control => proto::InconclusivePolicy::Control,
        };
        let arm = |arm: Arm| proto::Arm {
            arm_id: arm.id.to_string(),
            display_name: arm.display_name,
            weight: arm.weight,
        };
        let metric = |(index, metric): (usize, Metric)| proto::Metric {
            role: match metric.role {
                Role::Shown if index == 0 => proto::metric::Role::Primary,
                Role::Shown => proto::metric::Role::Secondary,
                Role::Guardrail => proto::metric::Role::Guardrail,
            }
            .into(),
            direction: match metric.direction {
                Direction::Higher => proto::metric::Direction::HigherIsBetter,
                Direction::Lower => proto::metric::Direction::LowerIsBetter,
            }
            .into(),
            ceiling: metric.ceiling,
            property: metric.property().to_owned(),
            kind: match metric.kind {
                Kind::Conversion => proto::metric::Kind::Conversion,
                Kind::Revenue { .. } => proto::metric::Kind::Revenue,
            }
            .into(),
            metric_id: metric.id.to_string(),
            display_name: metric.display_name,
            events: metric.events,
            window: Some(duration(metric.window_seconds)),
            covariate_window: metric.covariate_seconds.map(duration),
        };
        let (method, expected_event_count) = match design.method {
            Method::GroupSequential => (proto::Method::GroupSequential, 0),
            Method::Anytime { .. } if design.bandit.is_some() => (proto::Method::Anytime, 0),
            Method::Anytime { expected_events } => {
                (proto::Method::Anytime, i64::from(expected_events))
            }
        };
        let is_open_ended = design.is_open_ended();
        let decision_window = (!is_open_ended).then(|| duration(design.decision_seconds));
        Self {
            method: method.into(),
            expected_event_count,
            layer: design.layer.clone(),
            layer_share: design.layer_share.unwrap_or_default(),
            holdout_period: design.holdout_period.clone(),
            aggregated: design.aggregated,
            bandit: design.bandit.map(told_bandit),
            maturity_gate: if is_open_ended { 0.0 } else { design.maturity_gate },
            control_arm: arm_id(&design, design.control),
            holdout_share: design.holdout_share,
            test_share: design.test_share,
            alpha: design.alpha,
            decision_window,
            response_median: Some(duration(design.response_median_seconds)),
            response_log_sd: design.response_log_sd,
            inconclusive_policy: policy.into(),
            arms: design.arms.into_iter().map(arm).collect(),
            metrics: design.metrics.into_iter().enumerate().map(metric).collect(),
        }
    }
}

fn told_bandit(bandit: Bandit) -> proto::Bandit {
    let rule = match bandit.rule {
        Rule::Thompson => proto::bandit::Rule::Thompson,
        Rule::TopTwo => proto::bandit::Rule::TopTwo,
    };
    let period = Some(duration(bandit.period_seconds));
    proto::Bandit { rule: rule.into(), floor: bandit.floor, period }
}

impl From<Expectation> for proto::Expectation {
    fn from(expectation: Expectation) -> Self {
        Self { audience_size: expectation.audience.into(), rate: expectation.rate }
    }
}

impl From<Sizing> for proto::Sizing {
    fn from(sizing: Sizing) -> Self {
        Self {
            design: sizing.design.map(Into::into),
            minutes_to_maturity: number(sizing.minutes_to_maturity()),
            test_and_roll_unit_count: sizing.test_and_roll_units.map(number),
            by_arm_count: sizing.by_arm_count.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Size> for proto::Size {
    fn from(size: Size) -> Self {
        Self {
            arm_count: i32::try_from(size.arms).unwrap_or(i32::MAX),
            unit_count: number(size.units),
            minimum_detectable_effect: size.detectable,
            power: size.power,
        }
    }
}
