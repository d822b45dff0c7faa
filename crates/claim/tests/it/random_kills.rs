//! Three replicas whose connections are cut off at random: a partition is never held twice.

use cursus_claim::Claim;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::error::DatabaseError;
use sqlx::{Connection, PgPool};
use tokio::sync::mpsc;

use crate::{Replica, cut_off};

const PARTITIONS: u16 = 4;
const KILLS: usize = 30;

/// What a unit of work tells: the partition it was done on, or how it was prevented.
type Told = Result<u16, sqlx::Error>;

/// Takes the next number of its partition without a row lock. Two holders at once would take the same one, and the
/// second to write it would break the primary key.
async fn unit(claim: &mut Claim) -> Result<(), sqlx::Error> {
    let partition = i32::from(claim.partition.index());
    let mut tx = claim.conn.begin().await?;
    let next: i32 = sqlx::query_scalar("select count(*)::int from units where partition = $1")
        .bind(partition)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query("select pg_sleep(0.005)").execute(&mut *tx).await?;
    sqlx::query("insert into units (partition, number) values ($1, $2)")
        .bind(partition)
        .bind(next)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

async fn work(mut claim: Claim, told: mpsc::UnboundedSender<Told>) -> anyhow::Result<()> {
    while !claim.yielding.is_cancelled() {
        let done = unit(&mut claim).await;
        let failed = done.is_err();
        told.send(done.map(|()| claim.partition.index()))?;
        if failed {
            return Ok(());
        }
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_partition_is_never_held_twice(pool: PgPool) -> anyhow::Result<()> {
    sqlx::raw_sql(
        "create table units (partition int, number int, primary key (partition, number))",
    )
    .execute(&pool)
    .await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let start = || {
        let tell = tell.clone();
        Replica::start_with(&pool, PARTITIONS, move |claim| work(claim, tell.clone()))
    };
    let mut replicas = vec![start(), start(), start()];
    let mut rng = StdRng::seed_from_u64(7);
    let mut acknowledged = vec![0; usize::from(PARTITIONS)];

    for kill in 0..KILLS {
        if kill % 10 == 9 {
            replicas.swap_remove(rng.random_range(0..replicas.len())).kill().await;
            replicas.push(start());
        } else {
            let victim = ["replica", "0", "1", "2", "3"].choose(&mut rng).expect("not empty");
            cut_off(&pool, &format!("test/{victim}")).await?;
        }
        // Every partition is worked on again after each kill.
        let goal: Vec<i32> = acknowledged.iter().map(|count| count + 3).collect();
        while acknowledged.iter().zip(&goal).any(|(count, goal)| count < goal) {
            match told.recv().await.expect("replicas hold the other end") {
                Ok(partition) => acknowledged[usize::from(partition)] += 1,
                Err(error) => assert_cut_off(&error),
            }
        }
    }
    for replica in replicas {
        replica.stop().await;
    }
    drop(tell);
    while let Some(last) = told.recv().await {
        if let Err(error) = last {
            assert_cut_off(&error);
        }
    }
    Ok(())
}

fn assert_cut_off(error: &sqlx::Error) {
    let broken = error.as_database_error().is_some_and(DatabaseError::is_unique_violation);
    assert!(!broken, "two held a partition at once: {error}");
}
