//! Events at a rate that waits for nothing, and how soon memberships follow them.

use std::time::{Duration, Instant};

use cursus_ambient::Ambient;
use cursus_api::segmentation as proto;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::audience::{DEEDS, PROBED, active, event, name, segment};
use crate::figures::{Figures, Times};
use crate::pace::{Kept, Pace};
use crate::service::{Client, parent};
use crate::{Arguments, Bench, deadlines};

/// How soon a check is repeated: the longer it has been no, the later, or else the waiting would be the load.
const SOONEST: Duration = Duration::from_millis(1);
const SHARE: u32 = 20;
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn measure(bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
    let Bench { arguments, ambient, .. } = bench;
    let Arguments { rate, batch, segments, .. } = *arguments;
    let begun = ambient.now();
    let (recorded, probed) = tokio::try_join!(record(bench), probe(bench))?;
    let ended = ambient.now();

    let what = format!("at {rate} events/s in calls of {batch}, {segments} segments");
    let answered = Times::new(recorded.answered.into_iter().map(|(took, ())| took));
    figures.tell(&format!("{what}, a call answered"), answered);
    figures.tell_failed("calls of events", &recorded.failed);
    figures.tell_failed("probes", &probed.failed);
    let probed = probed.answered;
    let visible = Times::new(probed.iter().map(|(visible, _)| *visible));
    let is_met = visible.quantile(500) < Duration::from_millis(20)
        && visible.quantile(990) < Duration::from_millis(100);
    figures.judge(
        &format!("{what}, from an event to be sent to a membership seen through Redis"),
        visible,
        ("p50 20 ms, p99 100 ms", is_met),
    );
    figures.tell(
        &format!("{what}, from its commit acknowledged to the same"),
        Times::new(probed.into_iter().map(|(_, since)| since)),
    );
    let crossed = deadlines::crossed(bench, (begun, ended)).await?;
    let events = f64::from(rate * arguments.seconds);
    let each = format!("{:.1}", crossed / events);
    figures.tell("memberships that each event changed", each);
    deadlines::meanwhile(bench, (begun, ended), figures).await
}

/// Calls of events.
async fn record(bench: &Bench) -> anyhow::Result<Kept<()>> {
    let Bench { arguments, client, ambient, .. } = bench;
    let Arguments { rate, batch, seconds, .. } = *arguments;
    let (client, ambient, contacts) = (client.clone(), ambient.clone(), arguments.first_probe());
    let call = move |call: u32| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(call.into());
        let events = (0..batch).map(|n| {
            let deed = format!("deed{}", rng.random_range(0..DEEDS));
            event(format!("l{call}-{n}"), active(&mut rng, contacts), &deed, ambient.now())
        });
        let request =
            proto::BatchRecordEventsRequest { parent: parent(), events: events.collect() };
        let mut client = client.clone();
        async move {
            client.batch_record_events(request).await?;
            anyhow::Ok(())
        }
    };
    Pace { rate: rate / batch, seconds }.keep(call).await
}

/// Each probe is an event of a contact of its own, after which a check is repeated until it says yes: how long that took
/// from when the event was acknowledged, beside how long in all.
async fn probe(bench: &Bench) -> anyhow::Result<Kept<Duration>> {
    let Bench { arguments, ambient, .. } = bench;
    // Connections of its own: what waits behind the others' calls would not be the service's time.
    let (client, ambient, first) =
        (bench.clients[0].clone(), ambient.clone(), arguments.first_probe());
    let call = move |probe: u32| {
        let (client, ambient, contact) = (client.clone(), ambient.clone(), first + probe);
        async move { watch(client, contact, &ambient).await }
    };
    Pace { rate: arguments.probes, seconds: arguments.seconds }.keep(call).await
}

async fn watch(mut client: Client, contact: u32, ambient: &Ambient) -> anyhow::Result<Duration> {
    let request = proto::RecordEventRequest {
        parent: parent(),
        event: Some(event(format!("p{contact}"), contact, "probe", ambient.now())),
    };
    client.record_event(request).await?;
    let acknowledged = Instant::now();
    loop {
        let request = proto::CheckMembershipRequest {
            segment: segment(PROBED),
            contacts: vec![name(contact)],
        };
        // A check that is refused is tried again; the time runs on.
        let checked = client.check_membership(request).await;
        if checked.is_ok_and(|checked| checked.get_ref().members == [true]) {
            return Ok(acknowledged.elapsed());
        }
        if acknowledged.elapsed() > PATIENCE {
            anyhow::bail!("contact {contact} was not seen in the segment within {PATIENCE:?}");
        }
        tokio::time::sleep((acknowledged.elapsed() / SHARE).max(SOONEST)).await;
    }
}
