//! The one transaction between two waves: what came of the last, and the intent of the next.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

use super::Sending;
use super::batch::Mailing;
use super::settle::{Settled, Written};
use crate::broadcast::gate;
use crate::message::Key;
use crate::outcome::{Kind, Outcome};
use crate::store::sending::Leased;
use crate::suppression::Reason;
use crate::{facts, metrics, store};

/// Records what came of some messages and declares the intent to send others. Says which of those may be sent, and when
/// their attempts began.
pub(super) async fn commit(
    conn: &mut PgConnection,
    sending: &Sending,
    mailing: &Mailing,
    (settled, intents): (Vec<Settled>, &[Key]),
) -> anyhow::Result<(HashSet<Key>, DateTime<Utc>)> {
    let now = sending.ambient.now();
    if settled.is_empty() && intents.is_empty() {
        return Ok((HashSet::new(), now));
    }
    let mut tx = conn.begin().await?;
    store::share_gate(&mut tx, gate(&mailing.name)).await?;
    let mut moved = Vec::new();
    if !settled.is_empty() {
        moved = record(&mut tx, sending, mailing, (&settled, now)).await?;
    }
    let mut intended = HashSet::new();
    if !intents.is_empty() {
        intended = store::sending::intend(&mut tx, &mailing.name, intents, now).await?;
    }
    tx.commit().await?;
    for state in moved {
        metrics::MESSAGES.with_label_values(&[state]).inc();
    }
    Ok((intended, now))
}

/// Makes known that nobody knows.
pub(super) async fn append_doubts(
    conn: &mut PgConnection,
    mailing: &Mailing,
    doubtful: &[Leased],
    now: DateTime<Utc>,
) -> Result<(), cursus_feed::Error> {
    let outcomes: Vec<Outcome> = doubtful
        .iter()
        .map(|leased| Outcome { kind: Kind::Ambiguous, time: now, about: mailing.about(leased) })
        .collect();
    facts::append(conn, &outcomes).await
}

/// Says where the messages went for which this was news.
async fn record(
    conn: &mut PgConnection,
    sending: &Sending,
    mailing: &Mailing,
    (settled, now): (&[Settled], DateTime<Utc>),
) -> anyhow::Result<Vec<&'static str>> {
    let mut rng = sending.ambient.rng();
    let written: Vec<Written> =
        settled.iter().map(|it| it.written(now, sending.first_wait, &mut rng)).collect();
    let changes: Vec<_> = written.iter().map(|it| it.change.clone()).collect();
    let workspace = &mailing.name.workspace;
    let news = store::sending::record(conn, workspace, &changes, now).await?;

    let mut outcomes = Vec::new();
    let mut bounced = Vec::new();
    let mut moved = Vec::new();
    for (settled, written) in settled.iter().zip(written) {
        if !news.contains(&settled.leased.key) {
            continue;
        }
        moved.push(written.change.to.as_str());
        if written.is_bounce {
            bounced.push(settled.leased.key);
        }
        if let Some((kind, time)) = written.fact {
            outcomes.push(Outcome { kind, time, about: mailing.about(&settled.leased) });
        }
    }
    if !bounced.is_empty() {
        let addresses = store::sending::address_hashes(conn, workspace, &bounced).await?;
        let why = (Reason::HardBounce, now);
        store::suppressions::insert(conn, workspace, &addresses, why).await?;
    }
    facts::append(conn, &outcomes).await?;
    Ok(moved)
}
