//! What the services stand on goes away while a campaign is sent, and comes back.

use std::sync::atomic::{AtomicUsize, Ordering};

use cursus_demo::World;
use cursus_testkit::cluster::Cluster;
use cursus_testkit::servers::{Durability, Installation, Postgres, Redis};
use cursus_testkit::sink::{Answer, Sink, Step};

use crate::campaign::{Moments, surface};
use crate::cluster;

#[tokio::test]
async fn a_campaign_survives_the_loss_of_postgres() {
    let installation = Installation::find().unwrap();
    let mut postgres = Postgres::start(&installation, Durability::Durable).await.unwrap();
    let world = World::synthetic(3, 1_200);
    let sink = cursus_demo::sink(&world).await.unwrap();
    let cluster = cluster::start_on(&sink, &postgres.url(), None).await;
    let surface = surface(&cluster);
    let (moments, mut happened) = Moments::new();
    let outage = async {
        // While messages are being sent, and once more while people react.
        for arrived in [50, 400] {
            while sink.count() < arrived {
                happened.recv().await;
            }
            postgres.stop().await.unwrap();
            postgres.resume().await.unwrap();
        }
        while happened.recv().await.is_some() {}
    };
    let outcome = tokio::select! {
        outcome = cursus_demo::run(&world, &surface, &sink, &moments) => outcome.unwrap(),
        () = outage => unreachable!("the run goes on until its end"),
    };
    assert!(outcome.compared > 0);
}

#[tokio::test]
async fn a_campaign_does_not_need_redis() {
    let installation = Installation::find().unwrap();
    let mut redis = Redis::start(&installation).await.unwrap();
    let world = World::synthetic(4, 600);
    let sink = cursus_demo::sink(&world).await.unwrap();
    let cluster = cluster::start_on(&sink, &cluster::database_url(), Some(&redis.url())).await;
    redis.stop().await.unwrap();
    let (moments, _) = Moments::new();
    let outcome = cursus_demo::run(&world, &surface(&cluster), &sink, &moments).await.unwrap();
    assert!(outcome.compared > 0);
}

#[tokio::test]
async fn a_reply_that_is_lost_is_counted_as_ambiguous_and_not_sent_again() {
    let accepted = AtomicUsize::new(0);
    let sink = Sink::scripted(move |step: &Step<'_>| match step {
        // Every hundredth message is kept, and its reply never sent.
        Step::Message { .. } if accepted.fetch_add(1, Ordering::Relaxed) % 100 == 99 => {
            Answer::AcceptThenHangUp
        }
        _ => Answer::Accept,
    })
    .await
    .unwrap();
    let world = World { unknown_addresses: Vec::new(), ..World::synthetic(5, 1_000) };
    let cluster: Cluster = cluster::start(&sink).await;
    let (moments, _) = Moments::new();
    let outcome = cursus_demo::run(&world, &surface(&cluster), &sink, &moments).await.unwrap();
    let ledger = outcome.report.ledger.unwrap();
    let lost = i64::try_from(outcome.mailed).unwrap() - ledger.accepted_count;
    assert!(lost > 0);
    assert_eq!(ledger.ambiguous_count, lost);
}
