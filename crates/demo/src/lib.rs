//! The main job, done from outside: a campaign from a contact list to its report, through the public
//! surface of the five services and a real SMTP server.
//!
//! [`World`] says who the people are; [`run`] imports them, builds and sends the campaign, lets them
//! react to the messages that arrived, and compares the report with what they really did.

mod campaign;
mod check;
mod figures;
mod outcome;
mod print;
mod replay;
mod setup;
mod surface;
mod world;

use std::collections::BTreeSet;
use std::time::Instant;

use cursus_testkit::sink::{Answer, Sink, Step};

pub use figures::Figures;
pub use outcome::Outcome;
pub use print::report;
pub use surface::{Surface, Tokens};
pub use world::World;

/// The workspace that everything happens in.
pub const WORKSPACE: &str = "demo";

/// Where the demo tells what it does: the beginning of a step, a fact seen, or progress within a step.
pub trait Narrator: Send + Sync {
    /// A step begins.
    fn step(&self, text: &str);
    /// Something was seen.
    fn fact(&self, text: &str);
    /// A step goes on.
    fn progress(&self, text: &str);
}

/// A mail server that knows everybody but those whose address the world says nobody has.
pub async fn sink(world: &World) -> anyhow::Result<Sink> {
    let unknown: BTreeSet<_> = world.unknown_addresses.iter().cloned().collect();
    Sink::scripted(move |step| match step {
        Step::Recipient { recipient, .. } if unknown.contains(*recipient) => {
            Answer::refuse(550, "5.1.1 no such user")
        }
        _ => Answer::Accept,
    })
    .await
}

/// Does the main job and returns what came out of it.
///
/// # Errors
///
/// When a step is refused, when the campaign does not complete, or when the report, the ledger and
/// the mail that arrived do not agree.
pub async fn run(
    world: &World,
    surface: &Surface,
    sink: &Sink,
    narrator: &dyn Narrator,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let mut figures = Figures::default();
    setup::fill(world, surface, narrator, &mut figures).await?;
    campaign::prepare(world, surface, narrator, &mut figures).await?;
    campaign::approve(surface, narrator).await?;
    let behaviour = replay::follow(world, surface, sink, narrator, &mut figures).await?;
    let outcome = check::outcome(world, surface, sink, &behaviour, narrator).await?;
    figures.delivered_per_second = delivered_per_second(&outcome, sink);
    figures.wall = started.elapsed();
    Ok(Outcome { figures, ..outcome })
}

/// The remainder comes after the test, so the test's messages are the first.
fn delivered_per_second(outcome: &Outcome, sink: &Sink) -> f64 {
    let arms = outcome.report.results.iter().flat_map(|results| &results.arms);
    let people: i64 = arms.filter(|arm| !arm.arm.is_empty()).map(|arm| arm.unit_count).sum();
    let deliveries = sink.deliveries();
    let test = &deliveries[..deliveries.len().min(usize::try_from(people).unwrap_or(0))];
    let [first, .., last] = test else { return 0.0 };
    figures::rate(test.len(), last.time - first.time)
}
