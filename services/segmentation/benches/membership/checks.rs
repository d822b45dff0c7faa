//! Checks of membership: one by one at a constant rate, and as many as possible at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cursus_api::segmentation as proto;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::audience::{name, segment};
use crate::figures::{Figures, Times};
use crate::pace::{Kept, Pace};
use crate::service::Client;
use crate::{Arguments, Bench};

/// As many as one call takes.
const BATCH: u32 = 1_000;
/// How many such calls are under way, on each connection.
const AT_ONCE: usize = 2;
/// How long, at first, nothing is counted, and how long it then is.
const WARM_UP: u32 = 5;
const BATCHES_FOR: Duration = Duration::from_secs(10);

pub(crate) async fn measure(bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
    let Arguments { checks, visitors, seconds, .. } = bench.arguments;
    meet(bench).await?;
    single(bench, WARM_UP).await?;
    let single = single(bench, seconds).await?;
    figures.tell_failed("single checks", &single.failed);
    let times = Times::new(single.answered.into_iter().map(|(took, ())| took));
    let is_met = times.quantile(990) < Duration::from_millis(2);
    figures.judge(
        &format!(
            "single checks of {visitors} contacts at {checks}/s on {} connections",
            bench.clients.len()
        ),
        times,
        ("p99 2 ms", is_met),
    );
    let rate = batches(bench).await?;
    figures.judge(
        &format!("checks in calls of {BATCH}"),
        format!("{rate}/s"),
        ("1,000,000/s", rate >= 1_000_000),
    );
    Ok(())
}

/// Asks about every visitor once, so that the service has met them.
async fn meet(bench: &Bench) -> anyhow::Result<()> {
    for start in (0..bench.arguments.visitors).step_by(usize::try_from(BATCH)?) {
        bench.client.clone().check_membership(about(0, start..start + BATCH)).await?;
    }
    Ok(())
}

async fn single(bench: &Bench, seconds: u32) -> anyhow::Result<Kept<()>> {
    let Arguments { checks, visitors, .. } = bench.arguments;
    let segments = bench.arguments.common_segments();
    let clients = bench.clients.clone();
    let call = move |n: u32| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(n.into());
        let contact = rng.random_range(0..visitors);
        let request = about(rng.random_range(0..segments), contact..contact + 1);
        let mut client = clients[usize::try_from(n).unwrap_or_default() % clients.len()].clone();
        async move {
            client.check_membership(request).await?;
            anyhow::Ok(())
        }
    };
    Pace { rate: checks, seconds }.keep(call).await
}

/// Checks each second, when every answer is followed by the next question at once.
async fn batches(bench: &Bench) -> anyhow::Result<u64> {
    let checked = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for (n, client) in
        (0..).zip(bench.clients.iter().flat_map(|it| std::iter::repeat_n(it, AT_ONCE)))
    {
        let (client, checked) = (client.clone(), Arc::clone(&checked));
        let runs = (bench.arguments.visitors / BATCH).max(1);
        let requests = (0..runs).map(|run| {
            let start = (n + run) % runs * BATCH;
            about(run % bench.arguments.common_segments(), start..start + BATCH)
        });
        asking.spawn(ask(client, requests.collect(), begun + BATCHES_FOR, checked));
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    let millis = u64::try_from(begun.elapsed().as_millis())?;
    Ok(checked.load(Ordering::Relaxed) * 1_000 / millis)
}

async fn ask(
    mut client: Client,
    requests: Vec<proto::CheckMembershipRequest>,
    until: Instant,
    checked: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    for request in requests.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        let answer = client.check_membership(request.clone()).await?.into_inner();
        checked.fetch_add(u64::try_from(answer.members.len())?, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether some contacts are in one of the segments.
fn about(common: u32, contacts: std::ops::Range<u32>) -> proto::CheckMembershipRequest {
    proto::CheckMembershipRequest {
        segment: segment(&format!("s{common}")),
        contacts: contacts.map(name).collect(),
    }
}
