//! Replicas that come and go share all partitions, without being told of each other.

use std::sync::Arc;

use cursus_claim::{Claim, Claims};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Board, Replica};

#[sqlx::test(migrations = false)]
async fn one_replica_owns_everything(pool: PgPool) {
    let board = Board::default();
    let only = Replica::start(&pool, 5, "only", &board);
    board.wait_for_shares(&[("only", 5)]).await;
    only.stop().await;
    board.wait_for_shares(&[]).await;
}

#[sqlx::test(migrations = false)]
async fn replicas_rebalance_as_they_join_and_leave(pool: PgPool) {
    let board = Board::default();
    let a = Replica::start(&pool, 6, "a", &board);
    board.wait_for_shares(&[("a", 6)]).await;

    let b = Replica::start(&pool, 6, "b", &board);
    board.wait_for_shares(&[("a", 3), ("b", 3)]).await;

    let c = Replica::start(&pool, 6, "c", &board);
    board.wait_for_shares(&[("a", 2), ("b", 2), ("c", 2)]).await;

    b.stop().await;
    board.wait_for_shares(&[("a", 3), ("c", 3)]).await;

    a.kill().await;
    board.wait_for_shares(&[("c", 6)]).await;
    c.stop().await;
}

#[sqlx::test(migrations = false)]
async fn a_replica_too_many_stands_by(pool: PgPool) {
    let board = Board::default();
    let first = ["a", "b"].map(|name| Replica::start(&pool, 2, name, &board));
    board.wait_for_shares(&[("a", 1), ("b", 1)]).await;
    let spare = Replica::start(&pool, 2, "spare", &board);
    for replica in first {
        replica.stop().await;
    }
    board.wait_for_shares(&[("spare", 2)]).await;
    spare.stop().await;
}

#[sqlx::test(migrations = false)]
async fn a_partition_moves_only_between_units_of_work(pool: PgPool) {
    let board = Board::default();
    let unit = Arc::new(Semaphore::new(0));
    let (working, may_end) = (board.clone(), unit.clone());
    let busy = Replica::start_with(&pool, 2, move |claim| {
        let entry = working.enter(claim.partition, "busy");
        let may_end = may_end.clone();
        async move {
            claim.yielding.cancelled().await;
            may_end.acquire().await?.forget();
            drop(claim);
            drop(entry);
            Ok(())
        }
    });
    board.wait_for_shares(&[("busy", 2)]).await;
    let idle = Replica::start(&pool, 2, "idle", &board);
    wait_until_present(&pool, 2).await.unwrap();
    board.wait_for_shares(&[("busy", 2)]).await;

    unit.add_permits(1);
    board.wait_for_shares(&[("busy", 1), ("idle", 1)]).await;

    unit.add_permits(1);
    busy.stop().await;
    board.wait_for_shares(&[("idle", 2)]).await;
    idle.stop().await;
}

async fn wait_until_present(pool: &PgPool, replicas: i64) -> sqlx::Result<()> {
    let present = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'test/replica'";
    while sqlx::query_scalar::<_, i64>(present).fetch_one(pool).await? < replicas {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn kinds_of_work_do_not_get_in_each_others_way(pool: PgPool) {
    let board = Board::default();
    let ours = Replica::start(&pool, 3, "ours", &board);
    board.wait_for_shares(&[("ours", 3)]).await;
    let other = board.clone();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let theirs = Claims::new(&pool, "another kind", 2);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let work = move |claim: Claim| {
            let entry = other.enter(claim.partition, "theirs");
            async move {
                claim.yielding.cancelled().await;
                drop((claim, entry));
                Ok(())
            }
        };
        theirs.run(stop, work).await;
    });
    board.wait_for_shares(&[("ours", 3), ("theirs", 2)]).await;
    shutdown.cancel();
    tasks.join_all().await;
    ours.stop().await;
}
