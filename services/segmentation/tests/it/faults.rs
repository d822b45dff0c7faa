//! What happens when the database goes, or a replica does.

use std::time::Duration;

use cursus_api::segmentation::AttributeKind;
use cursus_testkit::servers::{Durability, Installation, Postgres};
use tonic::Code;

use crate::rules::{did, has, is};
use crate::world::{World, noon, refused, text, until};

#[tokio::test]
async fn while_the_database_is_gone_nothing_is_answered_that_may_be_wrong() {
    let installation = Installation::find().unwrap();
    let mut postgres = Postgres::start(&installation, Durability::Fast).await.unwrap();
    let world = World::new().await.on(postgres.url());
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    replica.write(vec![replica.contact("ana", &[("plan", text("pro"))])]).await.unwrap();
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    assert_eq!(replica.check("pros", &["ana"]).await.unwrap().members, [true]);

    postgres.stop().await.unwrap();
    let outcome = replica.segment("pros").await;
    refused(outcome, Code::Unavailable, "DATABASE_UNAVAILABLE", "");
    // For a moment the last answer is still believed, and then no longer.
    let status =
        until("membership is uncertain", async || replica.check("pros", &["ana"]).await.err())
            .await;
    refused::<()>(Err(status), Code::Unavailable, "DATABASE_UNAVAILABLE", "");

    postgres.resume().await.unwrap();
    until("writing works again", async || {
        replica.write(vec![replica.contact("ana", &[("plan", text("free"))])]).await.ok()
    })
    .await;
    replica.until_members("pros", &["ana"], &[false]).await;
}

#[tokio::test]
async fn two_replicas_share_the_partitions_and_one_takes_over_from_the_other() {
    let world = World::new().await;
    let first = world.start().await;
    let second = world.start().await;
    first.write(vec![first.contact("ana", &[])]).await.unwrap();
    let owners = async || -> Vec<i64> {
        let query = sqlx::query_scalar(
            "select count(*) from pg_locks join pg_stat_activity using (pid)
             where locktype = 'advisory' and granted and objsubid = 2
                 and database = (select oid from pg_database where datname = current_database())
                 and application_name like 'segmentation.blocks/%'
                 and application_name <> 'segmentation.blocks/replica'
             group by client_port
             order by 1",
        );
        query.fetch_all(&world.database.pool).await.unwrap()
    };
    let replicas = async || -> i64 {
        let query = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where application_name = 'segmentation.blocks/replica'
                 and datname = current_database()",
        );
        query.fetch_one(&world.database.pool).await.unwrap()
    };
    until("both own partitions", async || {
        (replicas().await == 2 && owners().await.len() == 16).then_some(())
    })
    .await;
    first.ready_segment("active", did("login", Some(1), 1)).await;
    second.record(vec![second.event("1", "ana", "login", noon())]).await.unwrap();
    first.until_members("active", &["ana"], &[true]).await;
    second.until_members("active", &["ana"], &[true]).await;

    first.kill();
    world.ambient.advance(Duration::from_hours(24));
    second.until_members("active", &["ana"], &[false]).await;
    second.ready_segment("all", has("email")).await;
    second.until_members("all", &["ana"], &[true]).await;
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_takes_effect_after_it() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.create_segment("active", did("login", Some(1), 1)).await.unwrap();
    replica.record(vec![replica.event("1", "ana", "login", noon())]).await.unwrap();
    replica.kill();
    let replica = world.start().await;
    assert_eq!(replica.ready("active").await.member_count, 1);
    let again = replica.record(vec![replica.event("1", "ana", "login", noon())]).await.unwrap();
    assert_eq!((again.recorded_count, again.duplicate_count), (0, 1));
}
