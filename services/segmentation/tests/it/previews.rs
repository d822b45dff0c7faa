//! Previews and forecasts are exact at once, whether the blocks that they look at are in memory or not.

use std::collections::BTreeSet;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;

use crate::rules::{all, did, is};
use crate::world::{Replica, World, id_of, noon, text};

async fn previewed(replica: &Replica, rule: proto::Rule) -> BTreeSet<String> {
    let request = proto::PreviewSegmentRequest {
        parent: replica.parent(),
        rule: Some(rule),
        sample_size: 10,
        rule_text: String::new(),
    };
    let preview = replica.client().preview_segment(request).await.unwrap().into_inner();
    let sample: BTreeSet<String> = preview.sample.iter().map(|it| id_of(&it.name)).collect();
    assert_eq!(preview.member_count, i64::try_from(sample.len()).unwrap());
    sample
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

async fn with_three(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    let pro = [("plan", text("pro"))];
    let contacts = ["ana", "ben", "cleo"].map(|id| replica.contact(id, &pro));
    replica.write(contacts.to_vec()).await.unwrap();
    replica.ready_segment("pros", is("plan", text("pro"))).await;
    replica
}

#[tokio::test]
async fn what_no_segment_asks_about_is_read_for_a_preview_and_stays_true_afterwards() {
    let world = World::new().await;
    let replica = with_three(&world).await;
    let event = |id: &str, contact| replica.event(id, contact, "login", noon());
    let rule = || all(vec![is("plan", text("pro")), did("login", Some(7), 1)]);

    replica.record(vec![event("e1", "ana")]).await.unwrap();
    assert_eq!(previewed(&replica, rule()).await, ids(&["ana"]));
    // Every answer has what was acknowledged before it was asked for.
    for (n, contact) in ["ben", "cleo"].into_iter().enumerate() {
        replica.record(vec![event(&format!("f{n}"), contact)]).await.unwrap();
        assert_eq!(previewed(&replica, rule()).await.len(), n + 2);
    }
    replica.write(vec![replica.contact("ben", &[("plan", text("free"))])]).await.unwrap();
    assert_eq!(previewed(&replica, rule()).await, ids(&["ana", "cleo"]));
    // A segment that asks about the same finds nothing else.
    let segment = replica.ready_segment("active", rule()).await;
    assert_eq!(segment.member_count, 2);
    replica.until_members("active", &["ana", "ben", "cleo"], &[true, false, true]).await;
}

#[tokio::test]
async fn an_attribute_that_was_declared_after_its_block_was_read_is_found() {
    let world = World::new().await;
    let replica = with_three(&world).await;
    assert_eq!(previewed(&replica, is("plan", text("pro"))).await.len(), 3);
    replica.declare(&[("city", AttributeKind::Text)]).await;
    replica.write(vec![replica.contact("ana", &[("city", text("Rome"))])]).await.unwrap();
    assert_eq!(previewed(&replica, is("city", text("Rome"))).await, ids(&["ana"]));
}

#[tokio::test]
async fn another_replica_has_the_blocks_and_the_answers_are_the_same() {
    let world = World::new().await;
    let one = with_three(&world).await;
    let other = world.start().await;
    for n in 0..5 {
        let event = one.event(&format!("e{n}"), "ana", "login", noon());
        one.record(vec![event]).await.unwrap();
        for replica in [&one, &other] {
            let members = previewed(replica, did("login", Some(7), n + 1)).await;
            assert_eq!(members, ids(&["ana"]));
            let forecast =
                proto::ForecastSegmentRequest { name: replica.segment_name("pros"), days: 2 };
            let forecast = replica.insight().forecast_segment(forecast).await.unwrap().into_inner();
            assert_eq!(forecast.size.unwrap().member_count, 3);
        }
    }
}
