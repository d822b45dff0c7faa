//! The whole ladder, from counts to verdict.

use cursus_statistics::assignment::Weights;
use cursus_statistics::monitor::{
    ArmCounts, Design, Evidence, GuardrailCounts, Look, Sending, TimingGuard, WhenInconclusive,
    assess,
};
use cursus_statistics::{Alpha, Fraction};
use serde::Deserialize;
use serde_json::json;

use crate::vectors::check;

#[derive(Deserialize)]
struct Input {
    config: Config,
    looks: Vec<Counted>,
}

#[derive(Deserialize)]
struct Config {
    alpha: f64,
    maturity_gate: f64,
    min_sent: u64,
    min_events: u64,
    timing_guard: bool,
    control: Option<usize>,
    on_inconclusive: Policy,
    srm_block_p: f64,
    weights: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Policy {
    PosteriorBest,
    Control,
    Human,
}

#[derive(Deserialize)]
struct Counted {
    u: f64,
    n: Vec<u64>,
    x: Vec<u64>,
    early: Vec<u64>,
    r#final: bool,
    #[serde(default)]
    guardrails: Vec<Guarded>,
}

#[derive(Deserialize)]
struct Guarded {
    name: String,
    x: Vec<u64>,
    ceiling: Option<f64>,
}

impl Config {
    fn design(self) -> Design {
        Design {
            control: self.control,
            alpha: Alpha::new(self.alpha).unwrap(),
            maturity_gate: Fraction::new(self.maturity_gate).unwrap(),
            minimum_sent_per_arm: self.min_sent,
            minimum_events: self.min_events,
            timing_guard: if self.timing_guard { TimingGuard::On } else { TimingGuard::Off },
            when_inconclusive: match self.on_inconclusive {
                Policy::PosteriorBest => WhenInconclusive::PosteriorBest,
                Policy::Control => WhenInconclusive::Control,
                Policy::Human => WhenInconclusive::Human,
            },
            sample_ratio_alarm: Alpha::new(self.srm_block_p).unwrap(),
            ..Design::standard(Weights::new(self.weights).unwrap())
        }
    }
}

impl Counted {
    fn look(&self) -> Look {
        let arm = |((sent, responders), early): ((&u64, &u64), &u64)| ArmCounts {
            sent: *sent,
            responders: *responders,
            early_responders: *early,
        };
        let look = Look {
            spending_time: Fraction::new(self.u).unwrap(),
            arms: self.n.iter().zip(&self.x).zip(&self.early).map(arm).collect(),
        };
        assert_eq!(look.is_mature(), self.r#final);
        look
    }
}

#[test]
fn decisions_agree() {
    check("decision", |input: Input| {
        let design = input.config.design();
        let looks: Vec<Look> = input.looks.iter().map(Counted::look).collect();
        let guardrail = |guarded: &Guarded| GuardrailCounts {
            name: guarded.name.clone(),
            events: guarded.x.clone(),
            ceiling: guarded.ceiling,
        };
        let guardrails: Vec<_> =
            input.looks.last().unwrap().guardrails.iter().map(guardrail).collect();
        let evidence =
            Evidence { looks: &looks, sending: Sending::Complete, guardrails: &guardrails };
        let verdict = assess(&design, &evidence).unwrap();
        let holm: Vec<f64> = verdict.against_control.iter().map(|variant| variant.holm_p).collect();
        let winner = verdict.winner.and_then(|winner| verdict.arms[winner].posterior);
        json!({
            "action": verdict.action.code(),
            "reason": verdict.reason.to_string(),
            "winner": verdict.winner,
            "leader": verdict.test.map(|test| test.leader),
            "z_min": verdict.test.map(|test| test.smallest_z),
            "boundary": verdict.test.map(|test| test.boundary),
            "info": verdict.test.map(|test| test.information),
            "timing_z": verdict.test.map(|test| test.timing_z),
            "srm_p": verdict.sample_ratio.chi_square.p,
            "p_vs_control_holm": holm,
            "p_best": winner.map(|winner| winner.probability_best),
            "expected_loss": winner.map(|winner| winner.expected_loss),
        })
    });
}
