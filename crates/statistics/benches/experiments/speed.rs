//! How long judging takes.

use std::time::Instant;

use cursus_statistics::assignment::Weights;
use cursus_statistics::monitor::{Design, Evidence, Sending, assess, replay};
use cursus_statistics::{Error, Fraction};
use rand::SeedableRng;

use crate::campaign::{Arrival, Campaign, Clock};
use crate::crowd::Dice;
use crate::table::Row;

const RUNS: u32 = 15;

pub(crate) fn print(rows: &[Row]) -> Result<(), Error> {
    let looks: f64 = rows.iter().map(|row| real(row.looks)).sum();
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    let campaigns: f64 =
        rows.iter().filter(|row| row.looks > 0).map(|row| real(row.replicates)).sum();
    if seconds > 0.0 {
        println!(
            "\n{looks:.0} looks at {campaigns:.0} campaigns: {:.0} looks per second and core",
            looks / seconds
        );
    }
    for (arms, looks) in [(2, 20), (2, 50), (5, 50), (10, 50)] {
        let campaign = Campaign {
            design: Design {
                maturity_gate: Fraction::ZERO,
                ..Design::standard(Weights::equal(arms)?)
            },
            rates: vec![0.2; arms],
            sent: vec![5_000; arms],
            exponent: 1.0,
            arrival: Arrival::AtOnce,
            looks,
        };
        let looks = campaign.looks(&Clock::new(looks)?, &mut Dice::seed_from_u64(1));
        let evidence = Evidence { looks: &looks, sending: Sending::Complete, guardrails: &[] };
        let (mut whole, mut replayed) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let began = Instant::now();
            assess(&campaign.design, &evidence)?;
            whole.push(began.elapsed());
            let began = Instant::now();
            replay(&campaign.design, &evidence)?;
            replayed.push(began.elapsed());
        }
        whole.sort_unstable();
        replayed.sort_unstable();
        let middle = whole.len() / 2;
        println!(
            "{arms:>2} arms at look {:<3} the whole verdict {:>8.2} ms, all decisions so far {:>7.2} ms",
            looks.len(),
            whole[middle].as_secs_f64() * 1e3,
            replayed[middle].as_secs_f64() * 1e3
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
