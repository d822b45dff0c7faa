//! Holds the report against what people really did: every count and every cent, by arm and segment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cursus_api::delivery::{Ledger, ListMessagesRequest, message};
use cursus_api::experiment::{ArmResult, MetricResult};
use cursus_api::orchestrator::{CampaignReport, GetCampaignReportRequest};
use cursus_testkit::sink::Sink;

use crate::replay::Behaviour;
use crate::surface::{name, persist};
use crate::{Figures, Narrator, Outcome, Surface, World, campaign};

/// How long facts may take to reach the report.
const PATIENCE: Duration = Duration::from_mins(1);

/// What one group of people did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    people: i64,
    visits: i64,
    conversions: i64,
    cents: i64,
}

/// A group of the report: its segment (empty for all) and its arm.
type Group = (String, String);

const HOLDOUT: &str = "";
const REMAINDER: &str = "(remainder)";

pub(crate) async fn outcome(
    world: &World,
    surface: &Surface,
    sink: &Sink,
    behaviour: &Behaviour,
    narrator: &dyn Narrator,
) -> anyhow::Result<Outcome> {
    narrator.step("Check the report");
    let expected = expected(world, surface, behaviour).await?;
    let request = GetCampaignReportRequest { name: name("campaigns", campaign::ID) };
    let started = Instant::now();
    let report = loop {
        let report = persist(async || {
            surface.orchestrator.clone().get_campaign_report(request.clone()).await
        })
        .await?;
        let found = reported(&report)?;
        if found == expected {
            break report;
        }
        if started.elapsed() > PATIENCE {
            bail!(difference(&expected, &found));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let ledger = report.ledger.as_ref().context("the report has no ledger")?;
    let mailed = witness(world, sink, ledger)?;
    narrator.fact(&format!("{} groups of the report are exact", expected.len()));
    narrator.fact(&format!("{mailed} people mailed, nobody twice; the ledger balances"));
    Ok(Outcome { report, mailed, compared: expected.len() * 4, figures: Figures::default() })
}

/// Nobody is mailed twice, and the ledger's counts add up to the audience.
fn witness(world: &World, sink: &Sink, ledger: &Ledger) -> anyhow::Result<usize> {
    let mailed = sink.deliveries_by_recipient();
    if let Some((address, count)) = mailed.iter().find(|(_, count)| **count > 1) {
        bail!("{address} was mailed {count} times");
    }
    let sum = ledger.accepted_count
        + ledger.suppressed_counts.values().sum::<i64>()
        + ledger.failed_counts.values().sum::<i64>()
        + ledger.ambiguous_count
        + ledger.held_count
        + ledger.holdout_count
        + ledger.waiting_count
        + ledger.cancelled_count
        + ledger.unplanned_count;
    ensure!(sum == ledger.audience_count, "the ledger does not balance: {ledger:?}");
    ensure!(ledger.waiting_count + ledger.unplanned_count == 0, "not finished: {ledger:?}");
    ensure!(usize::try_from(ledger.audience_count)? == world.people.len(), "somebody is missing");
    let arrived = i64::try_from(mailed.len())?;
    // An ambiguous message is one that may have arrived.
    let certain = ledger.accepted_count..=ledger.accepted_count + ledger.ambiguous_count;
    ensure!(certain.contains(&arrived), "{arrived} arrived, but: {ledger:?}");
    Ok(mailed.len())
}

async fn expected(
    world: &World,
    surface: &Surface,
    behaviour: &Behaviour,
) -> anyhow::Result<BTreeMap<Group, Tally>> {
    let mut groups = BTreeMap::new();
    let released = accepted(world, surface).await?;
    for (person, released) in released {
        let arm = *behaviour.arms.get(&person).context("accepted, but it did not arrive")?;
        let label = if released { REMAINDER } else { world.variants[arm].arm };
        add(&mut groups, world, person, label, arm);
    }
    for person in &behaviour.alone {
        add(&mut groups, world, *person, HOLDOUT, world.alone());
    }
    Ok(groups)
}

fn add(groups: &mut BTreeMap<Group, Tally>, world: &World, person: usize, label: &str, arm: usize) {
    let person = &world.people[person];
    let reaction = person.reactions[arm];
    let whole = std::iter::once(String::new());
    let segments = world.segments.iter().zip(&person.in_segment).skip(1);
    let inside = segments.filter(|(_, inside)| **inside).map(|(s, _)| name("segments", s.id));
    for segment in whole.chain(inside) {
        let tally: &mut Tally = groups.entry((segment, label.to_owned())).or_default();
        tally.people += 1;
        tally.visits += i64::from(reaction.visits);
        tally.conversions += i64::from(reaction.spend_cents > 0);
        tally.cents += reaction.spend_cents;
    }
}

/// Whom the ledger says was mailed, and whether after the verdict.
async fn accepted(world: &World, surface: &Surface) -> anyhow::Result<Vec<(usize, bool)>> {
    let by_name: BTreeMap<_, _> =
        world.people.iter().enumerate().map(|(i, p)| (name("contacts", &p.id), i)).collect();
    let mut accepted = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest {
            parent: name("broadcasts", campaign::ID),
            state: message::State::Accepted.into(),
            page_size: 1_000,
            page_token,
        };
        let page =
            persist(async || surface.delivery.clone().list_messages(request.clone()).await).await?;
        for message in page.messages {
            accepted
                .push((*by_name.get(&message.contact).context("a stranger")?, message.released));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(accepted);
        }
    }
}

fn reported(report: &CampaignReport) -> anyhow::Result<BTreeMap<Group, Tally>> {
    let results = report.results.as_ref().context("the report has no results")?;
    let mut groups = BTreeMap::new();
    let mut take = |segment: &str, arms: &[ArmResult], remainder: Option<&ArmResult>| {
        let arms = arms.iter().map(|arm| (arm.arm.as_str(), arm));
        for (label, arm) in arms.chain(remainder.map(|arm| (REMAINDER, arm))) {
            if arm.unit_count > 0 {
                groups.insert((segment.to_owned(), label.to_owned()), tally(arm)?);
            }
        }
        anyhow::Ok(())
    };
    take("", &results.arms, results.remainder.as_ref())?;
    for segment in &results.segments {
        take(&segment.segment, &segment.arms, segment.remainder.as_ref())?;
    }
    Ok(groups)
}

fn tally(arm: &ArmResult) -> anyhow::Result<Tally> {
    let metric = |id: &str| -> anyhow::Result<&MetricResult> {
        arm.metrics.iter().find(|metric| metric.metric_id == id).context("a metric is missing")
    };
    #[expect(clippy::cast_possible_truncation, reason = "rounded to whole cents")]
    let cents = (metric("revenue")?.total * 100.0).round() as i64;
    Ok(Tally {
        people: arm.unit_count,
        visits: metric("visit")?.event_unit_count,
        conversions: metric("conversion")?.event_unit_count,
        cents,
    })
}

fn difference(expected: &BTreeMap<Group, Tally>, found: &BTreeMap<Group, Tally>) -> String {
    let groups = expected.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    let lines =
        groups.into_iter().filter(|group| expected.get(*group) != found.get(*group)).map(|group| {
            format!("  {group:?}: did {:?}, reported {:?}", expected.get(group), found.get(group))
        });
    format!("the report is not what people did:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
