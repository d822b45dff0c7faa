//! The contacts, what they did, and the segments that follow them.

use chrono::{DateTime, Utc};
use cursus_api::segmentation as proto;
use rand::{Rng, RngExt};

use crate::Bench;
use crate::service::{self, parent};

/// What contacts do: `deed0` and so on.
pub(crate) const DEEDS: u32 = 5;
/// Neighbours in rank are so many contacts apart; a prime.
const SPREAD: u32 = 7_919;
/// The segment of those who were probed in the last day, and of those whose windows close together.
pub(crate) const PROBED: &str = "probed";
pub(crate) const BURST: &str = "burst";

/// Fills the database behind the service's back, because that is quick.
pub(crate) async fn fill(Bench { arguments, pool, .. }: &Bench) -> anyhow::Result<()> {
    let count = i32::try_from(arguments.contacts)?;
    sqlx::raw_sql(
        "insert into attributes (workspace_id, attribute_id, number, kind, description, create_time)
         values ('acme', 'plan', 1, 'text', '', now())",
    )
    .execute(pool)
    .await?;
    // The plan, packed: its number, the tag of texts, the length and the text.
    sqlx::query(
        r"insert into contacts
         select 'acme', n, 'c' || n, 'c' || n || '@example.com',
             case n % 2 when 0 then '\x0100000300'::bytea || 'pro'::bytea
                 else '\x0100000400'::bytea || 'free'::bytea end,
             now() - interval '90 days', now()
         from generate_series(0, $1 - 1) as n",
    )
    .bind(count)
    .execute(pool)
    .await?;
    for _ in 0..arguments.history {
        // By the same people as later: see `active`.
        sqlx::query(
            "insert into events
             select 'acme', 'deed' || (random() * 1000)::int % $2,
                 (floor(power(random(), 3) * $3)::bigint * $4 % $3)::int,
                 now() - random() * interval '40 days', 'h' || n, '', now()
             from generate_series(0, $1 - 1) as n",
        )
        .bind(count)
        .bind(i32::try_from(DEEDS)?)
        .bind(i64::from(arguments.first_probe()))
        .bind(i64::from(SPREAD))
        .execute(pool)
        .await?;
    }
    sqlx::query("insert into workspaces values ('acme', $1)").bind(count).execute(pool).await?;
    sqlx::raw_sql("vacuum (analyze) contacts, events").execute(pool).await?;
    Ok(())
}

/// Creates the segments and waits until they are ready.
pub(crate) async fn follow(Bench { arguments, client, .. }: &Bench) -> anyhow::Result<()> {
    let mut client = client.clone();
    let others = (0..arguments.common_segments()).map(|n| (format!("s{n}"), rule(n)));
    let watched = [(PROBED, "probe"), (BURST, BURST)];
    let watched = watched
        .map(|(id, name)| (id.to_owned(), format!(r#"events("{name}").within("1d").any()"#)));
    for (id, rule_text) in watched.into_iter().chain(others) {
        let segment = proto::Segment { rule_text, ..proto::Segment::default() };
        service::create(&mut client, &id, segment).await?;
    }
    service::ready(&mut client).await?;
    Ok(())
}

/// Windows of 1 to 30 days, alone, turned round, with an attribute and with another.
fn rule(n: u32) -> String {
    let days = 1 + n * 7 % 30;
    let count = |n: u32, least: u32| {
        format!(r#"events("deed{}").within("{days}d").count() >= {least}"#, n % DEEDS)
    };
    let did = count(n, 1 + n % 3);
    match n % 4 {
        0 => did,
        1 => format!("!({did})"),
        2 => format!(r#"contact.plan == "pro" && {did}"#),
        _ => format!("{did} || {}", count(n + 1, 1)),
    }
}

/// Who does something: as everywhere few do much, the most active tenth about half of all. They are spread over all
/// blocks.
pub(crate) fn active(rng: &mut impl Rng, contacts: u32) -> u32 {
    let rank = (f64::from(contacts) * rng.random::<f64>().powi(3)).floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a rank")]
    let rank = rank as u64;
    u32::try_from(rank * u64::from(SPREAD) % u64::from(contacts)).unwrap_or_default()
}

pub(crate) fn event(
    id: String,
    contact: u32,
    event_name: &str,
    time: DateTime<Utc>,
) -> proto::Event {
    proto::Event {
        event_id: id,
        contact: name(contact),
        event_name: event_name.to_owned(),
        event_time: Some(prost_types::Timestamp {
            seconds: time.timestamp(),
            nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
        }),
        ..proto::Event::default()
    }
}

pub(crate) fn name(contact: u32) -> String {
    format!("{}/contacts/c{contact}", parent())
}

pub(crate) fn segment(id: &str) -> String {
    format!("{}/segments/{id}", parent())
}
