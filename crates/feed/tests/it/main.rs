//! The feed against a real Postgres: nothing skipped, nothing doubled, whatever commits late.

mod consuming;
mod following;
mod many_writers;
mod order;
mod retention;

use cursus_feed::{Cursor, Entry, Fact, Page, Topic, append, read};
use sqlx::{PgConnection, PgPool};

pub(crate) const TOPIC: Topic = Topic::new("outcomes");

pub(crate) async fn tables(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql(include_str!("../../schema/facts.sql")).execute(pool).await?;
    sqlx::raw_sql(include_str!("../../schema/cursors.sql")).execute(pool).await?;
    Ok(())
}

pub(crate) fn entry(workspace: &str, payload: &str) -> Entry {
    Entry { workspace_id: workspace.to_owned(), kind: "happened", payload: payload.into() }
}

pub(crate) async fn publish(conn: &mut PgConnection, payloads: &[&str]) -> anyhow::Result<()> {
    let entries: Vec<_> = payloads.iter().map(|payload| entry("acme", payload)).collect();
    Ok(append(conn, TOPIC, &entries).await?)
}

pub(crate) async fn read_all(pool: &PgPool, after: Cursor) -> anyhow::Result<Page> {
    Ok(read(&mut *pool.acquire().await?, TOPIC, None, after, 1000).await?)
}

/// Other tests write to the same server, and their transactions hold readers back for a moment.
pub(crate) async fn read_until(pool: &PgPool, count: usize) -> anyhow::Result<Page> {
    loop {
        let page = read_all(pool, Cursor::START).await?;
        if page.facts.len() >= count {
            return Ok(page);
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn payloads(facts: &[Fact]) -> Vec<&str> {
    facts
        .iter()
        .map(|fact| std::str::from_utf8(&fact.payload).expect("tests publish text"))
        .collect()
}
