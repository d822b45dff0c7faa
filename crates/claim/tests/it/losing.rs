//! What happens to a claim whose connection, work or server is lost.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cursus_testkit::servers::{Durability, Installation, Postgres};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::mpsc;

use crate::{Board, Replica, cut_off};

#[sqlx::test(migrations = false)]
async fn work_whose_connection_is_cut_off_is_dropped_and_the_claim_moves_on(pool: PgPool) {
    let (began, mut begun) = mpsc::unbounded_channel();
    let ended = Arc::new(AtomicU32::new(0));
    let count = ended.clone();
    let replica = Replica::start_with(&pool, 1, move |claim| {
        let (began, ended) = (began.clone(), Ended(count.clone()));
        async move {
            // It never looks at its connection, so only the replica can notice.
            began.send(())?;
            claim.yielding.cancelled().await;
            drop((ended, claim));
            Ok(())
        }
    });
    begun.recv().await.unwrap();
    assert_eq!(cut_off(&pool, "test/0").await.unwrap(), 1);

    begun.recv().await.unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    replica.stop().await;
}

/// Counts works that ended, however they did.
struct Ended(Arc<AtomicU32>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[sqlx::test(migrations = false)]
async fn the_connection_that_was_cut_off_can_no_longer_write(pool: PgPool) {
    sqlx::raw_sql("create table written (n int)").execute(&pool).await.unwrap();
    let (began, mut begun) = mpsc::unbounded_channel();
    let (wrote, mut written) = mpsc::unbounded_channel();
    let replica = Replica::start_with(&pool, 1, move |mut claim| {
        let (began, wrote) = (began.clone(), wrote.clone());
        async move {
            let (go, may_go) = tokio::sync::oneshot::channel();
            began.send(go)?;
            may_go.await?;
            let written = sqlx::query("insert into written values (1)").execute(&mut claim.conn);
            wrote.send(written.await.is_ok())?;
            claim.yielding.cancelled().await;
            Ok(())
        }
    });
    let go = begun.recv().await.unwrap();
    cut_off(&pool, "test/0").await.unwrap();
    go.send(()).unwrap();

    // Either its write fails, or it is dropped before it comes to write and another begins.
    tokio::select! {
        wrote = written.recv() => assert_eq!(wrote, Some(false)),
        _ = begun.recv() => {}
    }
    let rows: i64 =
        sqlx::query_scalar("select count(*) from written").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
    replica.stop().await;
}

#[sqlx::test(migrations = false)]
async fn a_claim_goes_to_whoever_lives_when_its_holder_is_killed(pool: PgPool) {
    let board = Board::default();
    let holder = Replica::start(&pool, 1, "holder", &board);
    board.wait_for_shares(&[("holder", 1)]).await;
    let heir = Replica::start(&pool, 1, "heir", &board);

    holder.kill().await;

    board.wait_for_shares(&[("heir", 1)]).await;
    heir.stop().await;
}

#[sqlx::test(migrations = false)]
async fn a_replica_that_cannot_look_around_starts_again(pool: PgPool) {
    let board = Board::default();
    let replica = Replica::start(&pool, 3, "a", &board);
    board.wait_for_shares(&[("a", 3)]).await;
    assert_eq!(cut_off(&pool, "test/replica").await.unwrap(), 1);
    board.wait_for_shares(&[]).await;
    board.wait_for_shares(&[("a", 3)]).await;
    replica.stop().await;
}

#[sqlx::test(migrations = false)]
async fn work_that_fails_or_panics_is_tried_again(pool: PgPool) {
    let (began, mut begun) = mpsc::unbounded_channel();
    let times = AtomicU32::new(0);
    let replica = Replica::start_with(&pool, 1, move |claim| {
        let time = times.fetch_add(1, Ordering::Relaxed);
        let began = began.clone();
        async move {
            began.send(time)?;
            match time {
                0 => anyhow::bail!("no"),
                1 => panic!("worse"),
                2 => Ok(()),
                _ => {
                    claim.yielding.cancelled().await;
                    Ok(())
                }
            }
        }
    });
    for time in 0..4 {
        assert_eq!(begun.recv().await, Some(time));
    }
    replica.stop().await;
}

#[tokio::test]
async fn a_restart_of_postgres_is_survived() {
    let installation = Installation::find().unwrap();
    let mut server = Postgres::start(&installation, Durability::Fast).await.unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let pool = PgPoolOptions::new().connect_lazy_with(options);
    let board = Board::default();
    let (a, b) = (Replica::start(&pool, 4, "a", &board), Replica::start(&pool, 4, "b", &board));
    board.wait_for_shares(&[("a", 2), ("b", 2)]).await;

    server.stop().await.unwrap();
    board.wait_for_shares(&[]).await;
    server.resume().await.unwrap();

    board.wait_for_shares(&[("a", 2), ("b", 2)]).await;
    a.stop().await;
    b.stop().await;
}
