//! Partitions made ahead, and dropped without anybody losing a fact unawares.

use std::time::Duration;

use cursus_feed::{Cursor, Error, append, load_cursor, maintain, read, store_cursor};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::{TOPIC, entry, payloads, publish, read_all, read_until, tables};

const MONTH: Duration = Duration::from_hours(30 * 24);

async fn partitions(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits
         where inhparent = 'facts'::regclass order by 1",
    )
    .fetch_all(pool)
    .await?)
}

async fn old_partition(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql(
        "create table facts_20200106 partition of facts
         for values from ('2020-01-06 00:00:00+00') to ('2020-01-13 00:00:00+00')",
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn publish_in_2020(pool: &PgPool, payload: &str) -> anyhow::Result<()> {
    sqlx::query(
        "insert into facts (topic, workspace_id, kind, payload, time)
         values ('outcomes', 'acme', 'happened', $1, '2020-01-08 00:00:00+00')",
    )
    .bind(payload.as_bytes())
    .execute(pool)
    .await?;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_coming_weeks_have_partitions_and_facts_go_there(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    maintain(&mut *pool.acquire().await?, MONTH).await?;
    let made = partitions(&pool).await?;
    maintain(&mut *pool.acquire().await?, MONTH).await?;
    publish(&mut *pool.acquire().await?, &["a"]).await?;

    assert_eq!(made.len(), 6, "{made:?}");
    assert_eq!(partitions(&pool).await?, made);
    let by_default: i64 =
        sqlx::query_scalar("select count(*) from facts_default").fetch_one(&pool).await?;
    assert_eq!(by_default, 0);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn replicas_may_maintain_at_the_same_time(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    old_partition(&pool).await?;
    publish_in_2020(&pool, "old").await?;
    let mut replicas = JoinSet::new();
    for _ in 0..4 {
        let pool = pool.clone();
        replicas.spawn(async move { maintain(&mut *pool.acquire().await?, MONTH).await });
    }
    for maintained in replicas.join_all().await {
        maintained?;
    }
    assert_eq!(partitions(&pool).await?.len(), 6);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_week_that_began_in_the_default_partition_stays_there(
    pool: PgPool,
) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish(&mut *pool.acquire().await?, &["before"]).await?;
    maintain(&mut *pool.acquire().await?, MONTH).await?;
    publish(&mut *pool.acquire().await?, &["after"]).await?;

    assert_eq!(partitions(&pool).await?.len(), 5);
    assert_eq!(payloads(&read_until(&pool, 2).await?.facts), ["before", "after"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn expired_facts_go_and_a_cursor_left_behind_is_told(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    old_partition(&pool).await?;
    for payload in ["1", "2"] {
        publish_in_2020(&pool, payload).await?;
    }
    publish(&mut *pool.acquire().await?, &["new"]).await?;
    let before: Vec<_> = read_until(&pool, 3).await?.facts.iter().map(|f| f.cursor).collect();

    maintain(&mut *pool.acquire().await?, MONTH).await?;

    assert!(!partitions(&pool).await?.contains(&"facts_20200106".to_owned()));
    let behind = read(&mut *pool.acquire().await?, TOPIC, None, before[0], 10).await.unwrap_err();
    assert!(matches!(behind, Error::Expired), "{behind}");
    assert_eq!(payloads(&read_all(&pool, before[1]).await?.facts), ["new"]);
    assert_eq!(payloads(&read_all(&pool, Cursor::START).await?.facts), ["new"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_consumer_that_had_seen_everything_goes_on_after_all_of_it_expired(
    pool: PgPool,
) -> anyhow::Result<()> {
    tables(&pool).await?;
    old_partition(&pool).await?;
    publish_in_2020(&pool, "old").await?;
    let seen = read_until(&pool, 1).await?.next;
    let mut conn = pool.acquire().await?;
    store_cursor(&mut conn, "outcomes", Cursor::START, seen).await?;

    maintain(&mut conn, MONTH).await?;

    let loaded = load_cursor(&mut conn, "outcomes").await?;
    let page = read(&mut conn, TOPIC, None, loaded, 10).await?;
    assert_eq!((page.facts, page.next), (vec![], seen));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_default_partition_is_cleared_too(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish_in_2020(&pool, "old").await?;
    publish_in_2020(&pool, "also old").await?;
    let cursor = read_until(&pool, 2).await?.facts[0].cursor;
    append(&mut *pool.acquire().await?, TOPIC, &[entry("acme", "new")]).await?;
    read_until(&pool, 3).await?;

    maintain(&mut *pool.acquire().await?, MONTH).await?;

    assert_eq!(payloads(&read_all(&pool, Cursor::START).await?.facts), ["new"]);
    let behind = read_all(&pool, cursor).await.unwrap_err();
    assert!(matches!(behind.downcast_ref(), Some(Error::Expired)), "{behind}");
    Ok(())
}
