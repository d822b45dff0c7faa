//! A replay of real headline tests: what the pipeline would have decided, and what peeking would have.
//!
//! The archive has each arm's final counts only, so impressions are laid out evenly and clicks fall on them at random.
//! The same tests with clicks dealt out regardless of the arm show what is promoted where nothing differs.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use cursus_statistics::assignment::Weights;
use cursus_statistics::effect::Comparison;
use cursus_statistics::monitor::{ArmCounts, Design, Evidence, Look, Reason, Sending, replay};
use cursus_statistics::posterior::standing;
use cursus_statistics::{Fraction, Proportion};
use rand::RngExt;
use serde::Deserialize;

use crate::campaign::is_promotion;
use crate::crowd::{self, Dice};

const LOOKS: u32 = 50;
const SURE: f64 = 0.95;
const SIGNIFICANT: f64 = 1.96;

#[derive(Debug, Deserialize)]
struct Line {
    clickability_test_id: String,
    impressions: u32,
    clicks: u32,
}

/// Impressions and clicks of every arm.
type Counts = Vec<(u32, u32)>;

/// What each way of looking makes of a test: whether it is held, or an arm found best.
type Found = [bool; WAYS.len()];

const WAYS: [&str; 7] = [
    "held for a sample-ratio mismatch",
    "promoted by the standard design (gate .8)",
    "promoted in fast mode (gate .5)",
    "promoted without a gate",
    "peeking: leader over all others z > 1.96 at any look",
    "peeking: leader over any other z > 1.96 at any look",
    "peeking: P(best) > 95 % at any look",
];

pub(crate) fn print(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut tests: BTreeMap<String, Counts> = BTreeMap::new();
    for line in csv::Reader::from_path(path)?.deserialize() {
        let line: Line = line?;
        tests.entry(line.clickability_test_id).or_default().push((line.impressions, line.clicks));
    }
    let tests: Vec<Counts> = tests.into_values().collect();
    let observed = judge(&tests, |_, counts| counts.to_vec())?;
    let dealt = judge(&tests, deal)?;
    println!("\nUpworthy: {} tests, {LOOKS} looks each", tests.len());
    println!("{:<58}{:>9}{:>18}", "", "observed", "nothing differs");
    for (way, title) in WAYS.into_iter().enumerate() {
        let count = |found: &[Found]| found.iter().filter(|found| found[way]).count();
        println!("{title:<58}{:>9}{:>18}", count(&observed), count(&dealt));
    }
    Ok(())
}

fn judge(
    tests: &[Counts],
    counts: impl Fn(&mut Dice, &[(u32, u32)]) -> Counts + Sync,
) -> Result<Vec<Found>, cursus_statistics::Error> {
    let found = crowd::run(500, tests.len() as u64, |dice, number| {
        let number = usize::try_from(number).unwrap_or_default();
        let counts = counts(dice, &tests[number]);
        find(&looks(dice, &counts))
    });
    found.into_iter().collect()
}

/// The same clicks on impressions of any arm.
fn deal(dice: &mut Dice, counts: &[(u32, u32)]) -> Counts {
    let clicks: u32 = counts.iter().map(|(_, clicks)| clicks).sum();
    let whole: u32 = counts.iter().map(|(impressions, _)| impressions).sum();
    let mut dealt: Counts = counts.iter().map(|(impressions, _)| (*impressions, 0)).collect();
    for _ in 0..clicks {
        let mut place = dice.random_range(0..whole);
        for (impressions, clicks) in &mut dealt {
            if place < *impressions {
                // A second click on one impression is too rare to matter, but must not exceed them.
                *clicks = (*clicks + 1).min(*impressions);
                break;
            }
            place -= *impressions;
        }
    }
    dealt
}

fn looks(dice: &mut Dice, counts: &[(u32, u32)]) -> Vec<Look> {
    let arms: Vec<Vec<ArmCounts>> = counts
        .iter()
        .map(|(impressions, clicks)| {
            let sent = |look: u32| u64::from(*impressions) * u64::from(look) / u64::from(LOOKS);
            let mut seen = vec![0_u64; LOOKS as usize + 1];
            for _ in 0..*clicks {
                let place: u64 = dice.random_range(0..u64::from(*impressions));
                let look = (1..LOOKS).find(|look| place < sent(*look)).unwrap_or(LOOKS);
                seen[look as usize] += 1;
            }
            let mut responders = 0;
            let count = |look: u32| {
                responders += seen[look as usize];
                let responders = responders.min(sent(look));
                ArmCounts { sent: sent(look), responders, early_responders: responders }
            };
            (1..=LOOKS).map(count).collect()
        })
        .collect();
    let look = |number: u32| Look {
        spending_time: Fraction::saturating(f64::from(number) / f64::from(LOOKS)),
        arms: arms.iter().map(|counts| counts[number as usize - 1]).collect(),
    };
    (1..=LOOKS).map(look).collect()
}

fn find(looks: &[Look]) -> Result<Found, cursus_statistics::Error> {
    let arms = looks.last().map_or(0, |look| look.arms.len());
    let standard = Design::standard(Weights::equal(arms)?);
    let evidence = Evidence { looks, sending: Sending::Complete, guardrails: &[] };
    // Impressions came evenly, so the ratio at the end is the ratio; a test held then is held whatever came before.
    let last = replay(&standard, &evidence)?;
    let held = last.last().is_some_and(|it| it.reason == Reason::SampleRatioMismatch);
    let promotes = |maturity_gate: Fraction| -> Result<bool, cursus_statistics::Error> {
        let design = Design { maturity_gate, ..standard.clone() };
        Ok(!held && replay(&design, &evidence)?.iter().any(is_promotion))
    };
    let gates = [standard.maturity_gate, Fraction::HALF, Fraction::ZERO];
    let [by_standard, fast, ungated] = gates.map(promotes);
    let (mut over_all, mut over_any, mut probably) = (false, false, false);
    for look in looks {
        let rates: Vec<Proportion> = look
            .arms
            .iter()
            .map(|arm| Proportion::new(arm.responders, arm.sent))
            .collect::<Result<_, _>>()?;
        let Some(leader) =
            (0..arms).max_by(|one, other| rates[*one].rate().total_cmp(&rates[*other].rate()))
        else {
            continue;
        };
        let leads: Vec<f64> = (0..arms)
            .filter(|other| *other != leader)
            .map(|other| Comparison { baseline: rates[other], arm: rates[leader] }.pooled_z())
            .collect();
        over_all |= leads.iter().all(|z| *z > SIGNIFICANT);
        over_any |= leads.iter().any(|z| *z > SIGNIFICANT);
        probably = probably || standing(&rates).arms.iter().any(|arm| arm.probability_best > SURE);
    }
    Ok([held, by_standard?, fast?, ungated?, over_all, over_any, probably])
}
