//! Scenarios that are not in the acceptance file: several arms, a sample ratio watched while sending, tests without an
//! end, mails that leave all the time, and a bandit.

use cursus_statistics::anytime::NormalMixture;
use cursus_statistics::assignment::{Weights, choose};
use cursus_statistics::monitor::{
    ArmCounts, Design, Evidence, Look, Reason, Sending, TimingGuard, replay,
};
use cursus_statistics::sample_ratio::chi_square;
use cursus_statistics::{Alpha, Error, Fraction};
use rand::RngExt;

use crate::acceptance::most_false_alarms;
use crate::campaign::{Arrival, Campaign};
use crate::table::{Allowed, Row};
use crate::{bandit, crowd};

/// A part by its name.
type Part = (&'static str, fn() -> Result<Vec<Row>, Error>);

pub(crate) const ALL: [Part; 5] = [
    ("arms", several_arms),
    ("streaming", streaming),
    ("open-ended", open_ended),
    ("sample-ratio", sample_ratio),
    ("bandit", bandit::all),
];

/// K1: no arm differs, and none may be declared best.
fn several_arms() -> Result<Vec<Row>, Error> {
    let designed = [(2, 0.05), (3, 0.011), (4, 0.005), (5, 0.002), (10, 0.001)];
    let row = |(arms, designed): (usize, f64)| {
        let replicates = if arms == 10 { 5_000 } else { 10_000 };
        let campaign = Campaign {
            design: Design::standard(Weights::equal(arms)?),
            rates: vec![0.2; arms],
            sent: vec![5_000; arms],
            exponent: 1.0,
            arrival: Arrival::AtOnce,
            looks: 50,
        };
        let mut row = measure(format!("K1 A/A of {arms} arms, 20% n=5000"), &campaign, replicates)?;
        row.designed = Some(designed);
        row.allowed = Allowed::AtMost(most_false_alarms(10_000));
        Ok(row)
    };
    designed.into_iter().map(row).collect()
}

/// The seventh of the acceptance scenarios as it would be in a flow: mails leave all the time, answers come at once.
fn streaming() -> Result<Vec<Row>, Error> {
    let campaign = |rate| -> Result<Campaign, Error> {
        Ok(Campaign {
            design: Design {
                maturity_gate: Fraction::ZERO,
                ..Design::standard(Weights::equal(2)?)
            },
            rates: vec![0.2, rate],
            sent: vec![5_000; 2],
            exponent: 1.0,
            arrival: Arrival::Streaming,
            looks: 50,
        })
    };
    let mut none = measure("streaming A/A 20% n=5000 gate 0".into(), &campaign(0.2)?, 10_000)?;
    none.allowed = Allowed::AtMost(most_false_alarms(10_000));
    let mut some = measure("streaming 20->23% n=5000 gate 0".into(), &campaign(0.23)?, 2_000)?;
    some.allowed = Allowed::AtLeast(0.901);
    some.decided_at = some.decided_at.map(|(at, ..)| (at, None, Some(0.681)));
    Ok(vec![none, some])
}

/// N1: a test that may be looked at for ever, on a maturing cohort and without the help of gate or guard.
fn open_ended() -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (rate, sent, title) in [
        (0.2, [5_000, 5_000], "20% n=5000"),
        (0.2, [9_000, 1_000], "20% 9000:1000"),
        (0.02, [9_000, 1_000], "2% 9000:1000"),
        (0.02, [500, 500], "2% n=500"),
    ] {
        for looks in [50, 400] {
            let whole: u32 = sent.iter().sum();
            let expected = f64::from(whole) * rate / (1.0 - rate);
            let mixture = NormalMixture::sharpest_at(expected, Alpha::FIVE_PERCENT)?;
            let weights = Weights::new(sent.iter().map(|sent| f64::from(*sent)).collect())?;
            let campaign = Campaign {
                design: Design {
                    maturity_gate: Fraction::ZERO,
                    timing_guard: TimingGuard::Off,
                    ..Design::open_ended(weights, mixture)
                },
                rates: vec![rate; 2],
                sent: sent.iter().map(|sent| u64::from(*sent)).collect(),
                exponent: 1.0,
                arrival: Arrival::AtOnce,
                looks,
            };
            let mut row =
                measure(format!("N1 open-ended A/A {title}, {looks} looks"), &campaign, 10_000)?;
            row.allowed = Allowed::AtMost(0.05);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// S1: the shares of two arms are watched at a hundred looks while twenty thousand mails leave, and tested once at the
/// end.
fn sample_ratio() -> Result<Vec<Row>, Error> {
    const MAILS: u64 = 20_000;
    const LOOKS: u64 = 100;
    let alarms = |first: f64, replicates: u32| -> Result<[f64; 2], Error> {
        let design = Design::standard(Weights::equal(2)?);
        let real = Weights::new(vec![first, 1.0 - first])?;
        let of = |dice: &mut crowd::Dice, _| -> Result<[bool; 2], Error> {
            let mut sent = [0; 2];
            let mut looks = Vec::new();
            for mail in 1..=MAILS {
                sent[choose(dice.random(), &real)] += 1;
                if mail % (MAILS / LOOKS) == 0 {
                    let arm = |sent| ArmCounts { sent, responders: 0, early_responders: 0 };
                    looks.push(Look { spending_time: Fraction::ZERO, arms: sent.map(arm).into() });
                }
            }
            let evidence =
                Evidence { looks: &looks, sending: Sending::InProgress, guardrails: &[] };
            let decisions = replay(&design, &evidence)?;
            let is_alarm = |reason: &Reason| *reason == Reason::SampleRatioMismatch;
            let watched = decisions.iter().any(|decision| is_alarm(&decision.reason));
            let p = chi_square(&sent, &design.weights)?.p;
            Ok([watched, p < design.sample_ratio_alarm.get()])
        };
        let mut shares = [0.0; 2];
        for alarms in crowd::run(9, replicates.into(), of) {
            for (share, alarm) in shares.iter_mut().zip(alarms?) {
                *share += f64::from(u8::from(alarm)) / f64::from(replicates);
            }
        }
        Ok(shares)
    };
    let [watched, tested] = alarms(0.5, 10_000)?;
    let [found, found_at_end] = alarms(0.48, 1_000)?;
    let row = |name: &str, measured, designed, allowed| Row {
        name: name.into(),
        measured,
        designed: Some(designed),
        allowed,
        decided_at: None,
        replicates: 0,
        looks: 0,
        seconds: 0.0,
    };
    Ok(vec![
        row("S1 false sample-ratio alarms, 100 looks", watched, 0.0003, Allowed::AtMost(0.002)),
        row("   false alarms of the one test at the end", tested, 0.001, Allowed::AtMost(0.002)),
        row("   48:52 of 20,000 found while sending", found, 0.93, Allowed::Anywhere),
        row("   and by the one test at the end", found_at_end, 0.99, Allowed::Anywhere),
    ])
}

/// Promotions of any arm, or of the last when its rate is higher.
fn measure(name: String, campaign: &Campaign, replicates: u32) -> Result<Row, Error> {
    let seed = name.bytes().fold(3_u64, |seed, byte| seed * 31 % 65_521 + u64::from(byte));
    let outcomes = campaign.run(seed, replicates.into())?;
    let is_better = campaign.rates.last() > campaign.rates.first();
    let right = outcomes.promoted.last().copied().unwrap_or_default();
    Ok(Row {
        name,
        measured: if is_better { right } else { outcomes.promoted.iter().sum() },
        designed: None,
        allowed: Allowed::Anywhere,
        decided_at: Some((outcomes.decided_at, None, None)),
        replicates: replicates.into(),
        looks: outcomes.looks,
        seconds: outcomes.judging.as_secs_f64(),
    })
}
