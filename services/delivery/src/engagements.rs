//! What recipients do with a message: recorded once, in groups as large as the traffic makes them.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};

use crate::actor::Actor;
use crate::outcome::{Kind, Outcome};
use crate::store::engagements::{Engagement, Sent};
use crate::suppression::Reason;
use crate::token::{Purpose, Token};
use crate::{facts, metrics, store};

/// How many requests may wait to be recorded, and how many are recorded together.
const QUEUE: usize = 4_096;
const GROUP: usize = 512;
/// How long a reader is kept waiting for the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to have something recorded. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Engagements {
    queue: mpsc::Sender<Hit>,
    pool: PgPool,
    ambient: Ambient,
}

/// The other end, to be run as a task.
#[derive(Debug)]
pub(crate) struct Recorder {
    hits: mpsc::Receiver<Hit>,
    pool: PgPool,
    ambient: Ambient,
}

/// A pixel fetched or a link followed.
#[derive(Debug)]
struct Hit {
    token: Token,
    /// Nothing for a request that must leave no trace.
    actor: Option<Actor>,
    /// Told the destination, once everything is recorded.
    answer: oneshot::Sender<Option<String>>,
}

/// Nothing was recorded, and nobody knows where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

impl Engagements {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> (Self, Recorder) {
        let (queue, hits) = mpsc::channel(QUEUE);
        let recorder = Recorder { hits, pool: pool.clone(), ambient: ambient.clone() };
        (Self { queue, pool, ambient }, recorder)
    }

    /// Records an open or a click, and says where the link leads, if it leads anywhere.
    pub(crate) async fn record(
        &self,
        token: Token,
        actor: Option<Actor>,
    ) -> Result<Option<String>, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.queue.send(Hit { token, actor, answer }).await.map_err(|_| Unavailable)?;
            answered.await.map_err(|_| Unavailable)
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Unavailable))
    }

    /// Ends the subscription of the recipient of a message. Says whether there is such a message; asking again changes
    /// nothing.
    pub(crate) async fn unsubscribe(&self, token: &Token) -> Result<bool, anyhow::Error> {
        let now = self.ambient.now();
        let mut tx = self.pool.begin().await?;
        let named = [(token.workspace.clone(), token.message, 0)];
        let Some(sent) = store::engagements::sent(&mut tx, &named).await?.pop().flatten() else {
            return Ok(false);
        };
        let engagement = Engagement {
            workspace: token.workspace.clone(),
            key: token.message,
            kind: Kind::Unsubscribed.as_str(),
            link_number: 0,
            // A machine may follow a link, but does not press a button: whoever asks is taken at their word.
            actor: Actor::Unknown,
        };
        let news = store::engagements::insert(&mut tx, &[engagement], now).await?;
        let why = (Reason::Unsubscribed, now);
        store::suppressions::insert(&mut tx, &token.workspace, &[sent.address], why).await?;
        if !news.is_empty() {
            let outcome = Outcome { kind: Kind::Unsubscribed, time: now, about: sent.about };
            facts::append(&mut tx, &[outcome]).await?;
        }
        tx.commit().await?;
        if !news.is_empty() {
            metrics::ENGAGEMENTS.with_label_values(&["unsubscribed", "unknown"]).inc();
        }
        Ok(true)
    }
}

impl Recorder {
    /// Until nobody is left who could have something recorded.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut hits = Vec::with_capacity(GROUP);
        while self.hits.recv_many(&mut hits, GROUP).await > 0 {
            // Everybody in the group gets the same fate; an answer that is dropped says "unavailable".
            match self.record(&hits).await {
                Ok(urls) => {
                    for (hit, url) in hits.drain(..).zip(urls) {
                        let _ = hit.answer.send(url);
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "opens and clicks were not recorded"
                    );
                    hits.clear();
                }
            }
        }
        Ok(())
    }

    async fn record(&self, hits: &[Hit]) -> anyhow::Result<Vec<Option<String>>> {
        let now = self.ambient.now();
        let mut tx = self.pool.begin().await?;
        let named: Vec<_> = hits
            .iter()
            .map(|hit| (hit.token.workspace.clone(), hit.token.message, hit.token.link_number))
            .collect();
        let sent = store::engagements::sent(&mut tx, &named).await?;
        let done: Vec<(Engagement, &Sent)> = hits
            .iter()
            .zip(&sent)
            .filter_map(|(hit, sent)| Some((hit.engagement(sent.as_ref()?)?, sent.as_ref()?)))
            .collect();
        if !done.is_empty() {
            let (engagements, messages): (Vec<Engagement>, Vec<&Sent>) = done.into_iter().unzip();
            let recorded = store::engagements::insert(&mut tx, &engagements, now).await?;
            let mut news: HashSet<_> = recorded.iter().copied().collect();
            let outcomes: Vec<Outcome> = engagements
                .iter()
                .zip(messages)
                .filter(|(it, _)| news.remove(&(it.key, it.kind, it.link_number, it.actor)))
                .map(|(engagement, sent)| outcome(engagement, sent, now))
                .collect();
            remember_machines(&mut tx, &outcomes, now).await?;
            facts::append(&mut tx, &outcomes).await?;
            tx.commit().await?;
            for (_, kind, _, actor) in recorded {
                metrics::ENGAGEMENTS.with_label_values(&[kind, actor.as_str()]).inc();
            }
        }
        Ok(sent.into_iter().map(|sent| sent?.url).collect())
    }
}

impl Hit {
    /// What to record: nothing for a link that does not exist.
    fn engagement(&self, sent: &Sent) -> Option<Engagement> {
        let actor = self.actor?;
        let kind = match self.token.purpose {
            Purpose::Open => "opened",
            Purpose::Click if sent.url.is_some() => "clicked",
            Purpose::Click | Purpose::Unsubscribe => return None,
        };
        Some(Engagement {
            workspace: self.token.workspace.clone(),
            key: self.token.message,
            kind,
            link_number: self.token.link_number,
            actor,
        })
    }
}

async fn remember_machines(
    conn: &mut PgConnection,
    outcomes: &[Outcome],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let by_machines =
        outcomes.iter().filter(|it| it.kind == Kind::Opened { actor: Actor::Machine });
    let contacts: Vec<_> = by_machines
        .map(|it| (it.about.broadcast.workspace.to_string(), it.about.contact_id.clone()))
        .collect();
    if contacts.is_empty() {
        return Ok(());
    }
    store::engagements::remember_machines(conn, &contacts, now).await
}

fn outcome(engagement: &Engagement, sent: &Sent, now: DateTime<Utc>) -> Outcome {
    let Engagement { actor, link_number, .. } = *engagement;
    let kind = match &sent.url {
        Some(url) if engagement.kind == "clicked" => {
            Kind::Clicked { actor, link_number, url: url.clone() }
        }
        _ => Kind::Opened { actor },
    };
    Outcome { kind, time: now, about: sent.about.clone() }
}
