//! Lets people react while the campaign runs: a mailed person's visit is a request to the link in the
//! message that arrived, a visit of somebody left alone is a site event, a purchase is an event.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use cursus_api::delivery::{ListMessagesRequest, message};
use cursus_api::experiment::{ArmResult, GetResultsRequest, Results, verdict};
use cursus_api::orchestrator::{Campaign, RequestApprovalRequest, approval, campaign::State};
use cursus_api::segmentation::{Event, Value, value};
use cursus_testkit::sink::{Delivery, Sink};
use futures::{StreamExt, TryStreamExt, stream};
use prost_types::Timestamp;

use crate::figures::rate;
use crate::surface::{name, persist, request_id};
use crate::world::Person;
use crate::{Figures, Narrator, Surface, World, campaign, setup};

const POLL: Duration = Duration::from_millis(200);
/// How long nothing may happen: decision windows are shorter.
const PATIENCE: Duration = Duration::from_mins(5);
const READERS: usize = 32;
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// What happened so far, seen from outside.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// How many messages were read.
    pub read: usize,
    /// Which arm's message each person read, by person.
    pub arms: HashMap<usize, usize>,
    /// Who was left alone on purpose.
    pub alone: HashSet<usize>,
}

struct Replay<'a> {
    world: &'a World,
    surface: &'a Surface,
    sink: &'a Sink,
    browser: reqwest::Client,
    by_email: HashMap<&'a str, usize>,
    by_name: HashMap<String, usize>,
    behaviour: Behaviour,
    clicks: usize,
    clicking: Duration,
}

/// Follows the campaign until it is complete.
pub(crate) async fn follow(
    world: &World,
    surface: &Surface,
    sink: &Sink,
    narrator: &dyn Narrator,
    figures: &mut Figures,
) -> anyhow::Result<Behaviour> {
    let mut replay = Replay::new(world, surface, sink)?;
    narrator.step("Send, and let people react");
    let (mut state, mut asked, mut tested) = (State::Unspecified, false, false);
    let started = Instant::now();
    let mut moved = started;
    loop {
        let campaign = campaign::get(surface).await?;
        if campaign.state() != state {
            state = campaign.state();
            moved = Instant::now();
            narrator.fact(&told(&campaign, started));
        }
        if state >= State::AwaitingDecision && !tested {
            replay.leave_alone().await?;
            tested = true;
        }
        if replay.read_new().await? {
            moved = Instant::now();
        }
        narrator.progress(&format!(
            "{} messages arrived, {} links followed",
            sink.count(),
            replay.clicks
        ));
        match state {
            State::Complete => break,
            State::Failed | State::Cancelled => {
                bail!("the campaign ended: {}", campaign.state_reason)
            }
            State::AwaitingDecision if !asked => {
                asked = choose(surface, &campaign, narrator).await?;
            }
            _ => {}
        }
        ensure!(
            moved.elapsed() < PATIENCE,
            "nothing happens any more: {}",
            told(&campaign, started)
        );
        tokio::time::sleep(POLL).await;
    }
    figures.clicks_per_second = rate(replay.clicks, replay.clicking);
    Ok(replay.behaviour)
}

fn told(campaign: &Campaign, started: Instant) -> String {
    let state = campaign.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
    let reason = match campaign.state_reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("after {:>5.1} s {state}{reason}", started.elapsed().as_secs_f64())
}

/// At the deadline a winner that is not significant is never promoted without asking: the editor asks for the arm that
/// is recommended, or else for the one that leads, and the approver allows it. Says whether that was necessary.
async fn choose(
    surface: &Surface,
    campaign: &Campaign,
    narrator: &dyn Narrator,
) -> anyhow::Result<bool> {
    let request = GetResultsRequest { name: name("experiments", campaign::ID) };
    let results =
        persist(async || surface.experiment.clone().get_results(request.clone()).await).await?;
    let verdict = results.verdict.clone().unwrap_or_default();
    if !verdict.r#final || verdict.action() == verdict::Action::Promote {
        return Ok(false);
    }
    let leads = || leader(&results).context("results without arms");
    let arm = if verdict.arm.is_empty() { leads()? } else { verdict.arm };
    let request = RequestApprovalRequest {
        campaign: campaign.name.clone(),
        action: approval::Action::Promote.into(),
        arm,
        reason: verdict.reason_text,
        request_id: request_id(),
    };
    let approval =
        persist(async || surface.orchestrator.clone().request_approval(request.clone()).await)
            .await?;
    let approved = campaign::give(&approval, surface).await?;
    narrator.fact(&format!("{} approves the promotion of {}", approved.decider, approved.arm));
    Ok(true)
}

/// The arm with the most of the first metric, if only by chance.
fn leader(results: &Results) -> Option<String> {
    let value = |arm: &ArmResult| {
        arm.metrics.first().map_or(0.0, |metric| metric.rate.unwrap_or_default().value)
    };
    let arms = results.arms.iter().filter(|arm| !arm.arm.is_empty());
    arms.max_by(|one, other| value(one).total_cmp(&value(other))).map(|arm| arm.arm.clone())
}

impl<'a> Replay<'a> {
    fn new(world: &'a World, surface: &'a Surface, sink: &'a Sink) -> anyhow::Result<Self> {
        let browser = reqwest::Client::builder()
            .user_agent(BROWSER)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()?;
        let people = || world.people.iter().enumerate();
        Ok(Self {
            world,
            surface,
            sink,
            browser,
            by_email: people().map(|(index, person)| (person.email.as_str(), index)).collect(),
            by_name: people().map(|(index, p)| (name("contacts", &p.id), index)).collect(),
            behaviour: Behaviour::default(),
            clicks: 0,
            clicking: Duration::ZERO,
        })
    }

    /// Reads the messages that arrived since the last time, if any.
    async fn read_new(&mut self) -> anyhow::Result<bool> {
        let new = self.sink.deliveries_from(self.behaviour.read);
        if new.is_empty() {
            return Ok(false);
        }
        let started = Instant::now();
        let this = &*self;
        let read: Vec<_> = stream::iter(&new)
            .map(|delivery| this.read(delivery))
            .buffer_unordered(READERS)
            .try_collect()
            .await?;
        let mut purchases = Vec::new();
        for (person, arm) in read {
            let reaction = self.world.people[person].reactions[arm];
            self.behaviour.arms.insert(person, arm);
            self.clicks += usize::from(reaction.visits);
            purchases.extend(purchase(&self.world.people[person], reaction.spend_cents));
        }
        self.clicking += started.elapsed();
        self.behaviour.read += new.len();
        setup::record(self.surface, &purchases).await?;
        Ok(true)
    }

    /// One person gets one message: who, and which arm's.
    async fn read(&self, delivery: &Delivery) -> anyhow::Result<(usize, usize)> {
        let recipient = delivery.recipients.first().context("a message without a recipient")?;
        let person = *self.by_email.get(recipient.as_str()).context("mail to a stranger")?;
        let message = self.sink.message(delivery)?;
        let html = message.html().context("no HTML part")?;
        let arm = self
            .world
            .variants
            .iter()
            .position(|variant| html.contains(variant.mark))
            .context("a message of no arm")?;
        if let Some(assigned) = self.world.people[person].assigned_arm {
            ensure!(arm == assigned, "{recipient} got the message of another arm");
        }
        let reaction = self.world.people[person].reactions[arm];
        let links = message.links();
        let link =
            |kind: &str| links.iter().find(|link| link.contains(kind)).context("a link is missing");
        if reaction.opens {
            self.fetch(link("/o/")?, 200).await?;
        }
        if reaction.visits {
            self.fetch(link("/c/")?, 302).await?;
        }
        Ok((person, arm))
    }

    async fn fetch(&self, url: &str, expected: u16) -> anyhow::Result<()> {
        for _ in 0..240 {
            match self.browser.get(url).send().await {
                Ok(answer) if answer.status().as_u16() == expected => return Ok(()),
                Ok(answer) if !answer.status().is_server_error() => {
                    bail!("a link answered {}", answer.status())
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
        bail!("the tracking server did not come back")
    }

    /// The people who were left alone come by or not.
    async fn leave_alone(&mut self) -> anyhow::Result<()> {
        let mut page_token = String::new();
        loop {
            let request = ListMessagesRequest {
                parent: name("broadcasts", campaign::ID),
                state: message::State::Holdout.into(),
                page_size: 1_000,
                page_token,
            };
            let page = persist(async || {
                self.surface.delivery.clone().list_messages(request.clone()).await
            })
            .await?;
            for message in &page.messages {
                let person =
                    self.by_name.get(&message.contact).context("a stranger is left alone")?;
                self.behaviour.alone.insert(*person);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let mut events = Vec::new();
        for person in self.behaviour.alone.iter().map(|index| &self.world.people[*index]) {
            let reaction = person.reactions[self.world.alone()];
            if reaction.visits {
                events.push(event(person, "site.visited", [].into()));
            }
            events.extend(purchase(person, reaction.spend_cents));
        }
        setup::record(self.surface, &events).await
    }
}

fn purchase(person: &Person, cents: i64) -> Option<Event> {
    #[expect(clippy::cast_precision_loss, reason = "an amount of money far below 2^53 cents")]
    let amount = Value { kind: Some(value::Kind::Number(cents as f64 / 100.0)) };
    (cents > 0).then(|| event(person, "purchase", [("amount".to_owned(), amount)].into()))
}

fn event(person: &Person, event_name: &str, properties: BTreeMap<String, Value>) -> Event {
    Event {
        event_id: format!("{}-{event_name}", person.id),
        contact: person.id.clone(),
        event_name: event_name.to_owned(),
        event_time: Some(now()),
        properties,
    }
}

#[expect(clippy::disallowed_methods, reason = "the demo lives in real time, as its services do")]
fn now() -> Timestamp {
    let now = Utc::now();
    Timestamp {
        seconds: now.timestamp(),
        nanos: i32::try_from(now.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}
