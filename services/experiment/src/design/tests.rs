//! What designs may ask for, and that their digests are stable.

use super::*;

/// Two arms, a holdout, a conversion that decides and a revenue beside it.
pub(crate) fn design() -> Design {
    let arm = |id: &str, weight| Arm {
        id: id.parse().unwrap(),
        display_name: format!("{id}'s mail"),
        weight,
    };
    let metric = |id: &str, event: &str, kind| Metric {
        id: id.parse().unwrap(),
        display_name: String::new(),
        kind,
        events: vec![event.to_owned()],
        window_seconds: 1_209_600.0,
        role: Role::Shown,
        direction: Direction::Higher,
        ceiling: None,
        covariate_seconds: None,
    };
    let property = "amount".to_owned();
    Design {
        arms: vec![arm("men", 1.0), arm("women", 1.0)],
        control: None,
        holdout_share: 0.2,
        test_share: 1.0,
        metrics: vec![
            metric("visits", "site.visited", Kind::Conversion),
            metric("revenue", "purchase", Kind::Revenue { property }),
        ],
        alpha: 0.05,
        decision_seconds: 86_400.0,
        response_median_seconds: 9_000.0,
        response_log_sd: 1.5,
        when_inconclusive: WhenInconclusive::Hold,
        method: Method::GroupSequential,
        maturity_gate: usual_gate(),
        layer: String::new(),
        layer_share: None,
        holdout_period: String::new(),
        aggregated: false,
        bandit: None,
    }
}

/// The same without a deadline and a holdout, divided by a bandit.
pub(crate) fn bandit() -> Design {
    let bandit = Bandit { rule: Rule::Thompson, floor: 0.05, period_seconds: 86_400.0 };
    Design {
        holdout_share: 0.0,
        decision_seconds: 0.0,
        method: Method::Anytime { expected_events: 1_000 },
        bandit: Some(bandit),
        ..design()
    }
}

#[test]
fn a_sound_design_is_accepted() {
    assert_eq!(design().check(), Ok(()));
}

#[test]
fn each_fault_names_its_field() {
    type Fault = fn(&mut Design);
    let faults: [(&str, Fault); 28] = [
        ("arms", |it| it.arms.clear()),
        ("arms[1].arm_id", |it| it.arms[1].id = it.arms[0].id.clone()),
        ("arms[0].arm_id", |it| it.arms[0].id = "Men".parse().unwrap()),
        ("arms[1].weight", |it| it.arms[1].weight = 0.0),
        ("arms[0].weight", |it| it.arms[0].weight = f64::NAN),
        ("holdout_share", |it| it.holdout_share = 0.51),
        ("test_share", |it| it.test_share = 0.0),
        ("metrics", |it| it.metrics.clear()),
        ("metrics[1].metric_id", |it| it.metrics[1].id = it.metrics[0].id.clone()),
        ("metrics[0].events", |it| it.metrics[0].events.clear()),
        ("metrics[1].property", |it| {
            it.metrics[1].kind = Kind::Revenue { property: String::new() };
        }),
        ("metrics[0].window", |it| it.metrics[0].window_seconds = 0.0),
        ("alpha", |it| it.alpha = 1.0),
        ("decision_window", |it| it.decision_seconds = -1.0),
        ("inconclusive_policy", |it| it.when_inconclusive = WhenInconclusive::Control),
        ("metrics[0].role", |it| it.metrics[0].role = Role::Guardrail),
        ("metrics[0].ceiling", |it| it.metrics[0].ceiling = Some(0.1)),
        ("layer", |it| it.layer = "A layer".to_owned()),
        ("layer_share", |it| it.layer = "subjects".to_owned()),
        ("layer_share", |it| it.layer_share = Some(0.5)),
        ("layer_share", |it| {
            it.layer = "subjects".to_owned();
            it.layer_share = Some(1.1);
        }),
        ("layer_share", |it| {
            it.layer = "subjects".to_owned();
            it.layer_share = Some(f64::NAN);
        }),
        ("holdout_period", |it| it.holdout_period = "Q4 2026".to_owned()),
        ("holdout_period", |it| {
            it.holdout_period = "2026-q4".to_owned();
            it.holdout_share = 0.0;
        }),
        ("maturity_gate", |it| it.maturity_gate = 0.4),
        ("maturity_gate", |it| it.maturity_gate = f64::NAN),
        ("decision_window", |it| it.method = Method::Anytime { expected_events: 100 }),
        ("maturity_gate", |it| {
            it.method = Method::Anytime { expected_events: 100 };
            it.decision_seconds = 0.0;
            it.maturity_gate = 0.5;
        }),
    ];
    for (field, spoil) in faults {
        let mut design = design();
        spoil(&mut design);
        assert_eq!(design.check().unwrap_err().field, field);
    }
}

#[test]
fn the_digest_changes_with_the_design_and_with_what_was_imported() {
    let digest = design().digest(&[1; 32]);
    assert_eq!(digest, design().digest(&[1; 32]));
    assert_ne!(digest, design().digest(&[2; 32]));
    let mut other = design();
    other.arms[1].weight = 2.0;
    assert_ne!(digest, other.digest(&[1; 32]));
}

/// What was approved before there were roles, directions and methods must start as it was approved.
#[test]
fn what_is_as_usual_leaves_no_trace_in_the_digest() {
    let json = serde_json::to_string(&design()).unwrap();
    for later in
        ["role", "direction", "ceiling", "method", "maturity_gate", "layer", "period", "aggregated"]
    {
        assert!(!json.contains(later), "{later}: {json}");
    }
}

#[test]
fn a_design_survives_the_way_through_its_json() {
    let mut unusual = design();
    unusual.method = Method::Anytime { expected_events: 500 };
    unusual.metrics[1].role = Role::Guardrail;
    let json = serde_json::to_value(&unusual).unwrap();
    assert_eq!(serde_json::from_value::<Design>(json).unwrap(), unusual);
    let json = serde_json::to_value(design()).unwrap();
    assert_eq!(serde_json::from_value::<Design>(json).unwrap(), design());
}

#[test]
fn the_holdout_is_taken_from_everybody_and_the_test_from_the_others() {
    let design = Design { test_share: 0.25, ..design() };
    let shares: Vec<f64> = design.tested_and_held_out().unwrap().shares().collect();
    for (share, expected) in shares.iter().zip([0.5, 0.5]) {
        assert!((share - expected).abs() < 1e-12, "{shares:?}");
    }
}
