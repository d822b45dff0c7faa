//! Many writers that commit in any order, or not at all, and one consumer that fails now and then.

use std::collections::BTreeMap;

use cursus_feed::{Cursor, append, load_cursor, read, store_cursor};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;

use crate::{TOPIC, entry, publish, read_until, tables};

const WRITERS: u64 = 6;
const TRANSACTIONS: u64 = 25;
const END: &str = "end";

#[sqlx::test(migrations = false)]
async fn every_committed_fact_takes_effect_once_and_in_order(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    sqlx::raw_sql("create table effects (n bigint generated always as identity, payload text)")
        .execute(&pool)
        .await?;
    for seed in 0..8 {
        sqlx::raw_sql("truncate facts, cursors, effects").execute(&pool).await?;
        let mut consumer = JoinSet::new();
        consumer.spawn(consume(pool.clone(), StdRng::seed_from_u64(seed)));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let rng = StdRng::seed_from_u64(seed * 1000 + writer);
            let conn = PgConnection::connect_with(&pool.connect_options()).await?;
            writers.spawn(write(conn, writer, rng));
        }
        let mut committed = BTreeMap::new();
        while let Some(written) = writers.join_next().await {
            committed.extend(written??);
        }
        publish(&mut *pool.acquire().await?, &[END]).await?;
        consumer.join_next().await.expect("there is one")??;
        check(&pool, &committed, seed).await?;
    }
    Ok(())
}

/// A transaction's facts are `writer/transaction/position`. Says how many facts each committed transaction has.
async fn write(
    mut conn: PgConnection,
    writer: u64,
    mut rng: StdRng,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut committed = BTreeMap::new();
    for transaction in 0..TRANSACTIONS {
        let name = format!("{writer}/{transaction}");
        let mut tx = conn.begin().await?;
        let mut count = 0;
        for _ in 0..rng.random_range(1..4) {
            let batch: Vec<_> = (0..rng.random_range(0..4))
                .map(|n| entry("acme", &format!("{name}/{:03}", count + n)))
                .collect();
            let mut savepoint = tx.begin().await?;
            append(&mut savepoint, TOPIC, &batch).await?;
            dawdle(&mut savepoint, &mut rng).await?;
            if rng.random_bool(0.2) {
                savepoint.rollback().await?;
            } else {
                savepoint.commit().await?;
                count += batch.len();
            }
        }
        if rng.random_bool(0.2) {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
            committed.insert(name, count);
        }
    }
    conn.close().await?;
    Ok(committed)
}

/// Lets transactions overlap and end in another order than they began.
async fn dawdle(conn: &mut PgConnection, rng: &mut StdRng) -> sqlx::Result<()> {
    let seconds = if rng.random_bool(0.1) { 0.03 } else { rng.random_range(0.0..0.004) };
    sqlx::query("select pg_sleep($1)").bind(seconds).execute(conn).await?;
    Ok(())
}

async fn consume(pool: PgPool, mut rng: StdRng) -> anyhow::Result<()> {
    loop {
        let mut tx = pool.begin().await?;
        let loaded = load_cursor(&mut tx, "outcomes").await?;
        let page = read(&mut tx, TOPIC, None, loaded, rng.random_range(1..20)).await?;
        for fact in &page.facts {
            sqlx::query("insert into effects (payload) values (convert_from($1, 'UTF8'))")
                .bind(&fact.payload)
                .execute(&mut *tx)
                .await?;
        }
        store_cursor(&mut tx, "outcomes", loaded, page.next).await?;
        if rng.random_bool(0.3) {
            tx.rollback().await?;
            continue;
        }
        tx.commit().await?;
        if page.facts.iter().any(|fact| fact.payload == END.as_bytes()) {
            return Ok(());
        }
    }
}

async fn check(
    pool: &PgPool,
    committed: &BTreeMap<String, usize>,
    seed: u64,
) -> anyhow::Result<()> {
    let effects: Vec<String> =
        sqlx::query_scalar("select payload from effects order by n").fetch_all(pool).await?;
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| *effect != END) {
        let (transaction, position) = effect.rsplit_once('/').expect("that is how they are named");
        let count = taken.entry(transaction.to_owned()).or_default();
        assert_eq!(position, format!("{count:03}"), "seed {seed}: {effect}");
        *count += 1;
    }
    let expected: BTreeMap<_, _> =
        committed.iter().filter(|(_, count)| **count > 0).map(|(n, c)| (n.clone(), *c)).collect();
    assert_eq!(taken, expected, "seed {seed}");
    let total: usize = expected.values().sum();
    let last = read_until(pool, total + 1).await?.facts.pop().expect("the end").cursor;
    assert_eq!(load_cursor(&mut *pool.acquire().await?, "outcomes").await?, last);
    assert_ne!(last, Cursor::START);
    Ok(())
}
