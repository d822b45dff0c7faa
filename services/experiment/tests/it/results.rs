//! The estimates: money to the cent, groups side by side, and segments apart.

use std::time::Duration;

use cursus_api::experiment as proto;

use crate::world::{DAY, HALF_HOUR, World, design, exposure, noon, outcome, purchase};

const VIP: &str = "workspaces/acme/segments/vip";
const GERMAN: &str = "workspaces/acme/segments/german";

fn close_to(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 1e-9
}

#[tokio::test]
async fn money_adds_up_exactly_refunds_and_all() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let mut exposures = Vec::new();
    let mut orders = Vec::new();
    let mut cents = 0;
    for number in 0_u32..3_000 {
        let id = format!("c{number}");
        exposures.push(exposure(&id, "a", noon()));
        // Amounts that no binary fraction holds, large and small.
        let amount = [10, 20, 1_999, 100_000_001][number as usize % 4];
        cents += i64::from(amount);
        orders.push(purchase(&id, &id, f64::from(amount) / 100.0, noon() + HALF_HOUR));
    }
    orders.push(purchase("refund", "c3", -999_999.99, noon() + HALF_HOUR));
    cents -= 99_999_999;
    service.expose(exposures).await.unwrap();
    service.record(orders).await.unwrap();
    world.ambient.advance(DAY);
    let revenue = service.counted("a", 1).await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let exact = cents as f64 / 100.0;
    assert_eq!(revenue.total.to_bits(), exact.to_bits(), "{} {exact}", revenue.total);
    assert_eq!((revenue.unit_count, revenue.event_unit_count), (3_000, 3_000));
    assert!(close_to(revenue.rate.unwrap().value, exact / 3_000.0));
}

#[tokio::test]
async fn arms_are_measured_against_the_holdout() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { holdout_share: 0.5, ..design() }).await;
    let out = || (0..2_000).map(|number| format!("out{number}"));
    service.expose(out().map(|id| exposure(&id, "", noon())).collect()).await.unwrap();
    let visit = |id: String| outcome(&id, &id, "site.visited", noon() + HALF_HOUR);
    service.record(out().take(200).map(visit).collect()).await.unwrap();
    service.visits(noon(), 1_000, [150, 200]).await;
    service.close().await.unwrap();
    world.ambient.advance(Duration::from_hours(7));
    service.looked(1).await;
    let results = service.results().await;
    let names: Vec<&str> = results.arms.iter().map(|it| it.arm.as_str()).collect();
    assert_eq!(names, ["a", "b", ""], "the holdout comes last");
    let visits = &results.arms[0].metrics[0];
    assert!(close_to(visits.rate.unwrap().value, 0.15));
    let lift = visits.lift.unwrap();
    assert!(close_to(lift.value, 0.05) && lift.low.unwrap() < 0.05 && lift.high.unwrap() > 0.05);
    assert!(close_to(visits.relative_lift.unwrap().value, 0.5));
    assert!(close_to(visits.incremental.unwrap().value, 50.0));
    let holdout = &results.arms[2];
    assert!(holdout.metrics[0].lift.is_none() && holdout.probability_best.is_none());
    assert!(results.arms[1].probability_best.unwrap() > 0.99);
    assert!(results.remainder.is_none());
}

#[tokio::test]
async fn numbers_that_the_data_cannot_support_have_no_interval() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { holdout_share: 0.5, ..design() }).await;
    let nothing = service.results().await;
    let rateless = |arm: &proto::ArmResult| arm.metrics.iter().all(|it| it.rate.is_none());
    assert!(nothing.arms.iter().all(rateless), "{nothing:?}");
    service.visits(noon(), 100, [3, 4]).await;
    service.expose(vec![exposure("out", "", noon())]).await.unwrap();
    world.ambient.advance(DAY);
    let visits = service.counted("a", 0).await;
    let lift = visits.lift.unwrap();
    assert_eq!((lift.low, lift.high), (None, None));
    assert!(visits.relative_lift.is_none(), "nobody in the holdout visited");
}

#[tokio::test]
async fn segments_are_shown_apart_and_a_contact_counts_in_each_of_its_own() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let of = |id: &str, arm: &str, segments: &[&str]| proto::Exposure {
        // Told twice, as a careless caller may.
        segments: segments.iter().chain(segments).map(|it| (*it).to_owned()).collect(),
        ..exposure(id, arm, noon())
    };
    let exposures = vec![
        of("ana", "a", &[VIP, GERMAN]),
        of("ben", "a", &[VIP]),
        of("cat", "b", &[GERMAN]),
        of("dan", "b", &[]),
    ];
    service.expose(exposures).await.unwrap();
    let outcomes = vec![
        purchase("o1", "ana", 10.0, noon() + HALF_HOUR),
        purchase("o2", "ana", 2.5, noon() + HALF_HOUR),
        purchase("o3", "ben", 4.0, noon() + HALF_HOUR),
        purchase("o4", "dan", 7.0, noon() + HALF_HOUR),
    ];
    service.record(outcomes).await.unwrap();
    world.ambient.advance(DAY);
    let results = service.results().await;
    let told: Vec<_> = results
        .segments
        .iter()
        .map(|it| {
            let arm = |arm: &proto::ArmResult| (arm.unit_count, arm.metrics[1].total);
            (it.segment.as_str(), it.unit_count, it.arms.iter().map(arm).collect::<Vec<_>>())
        })
        .collect();
    let expected = [(GERMAN, 2, vec![(1, 12.5), (1, 0.0)]), (VIP, 2, vec![(2, 16.5), (0, 0.0)])];
    assert_eq!(told, expected);
    let whole: Vec<_> =
        results.arms.iter().map(|it| (it.unit_count, it.metrics[1].total)).collect();
    assert_eq!(whole, [(2, 16.5), (2, 7.0)]);
}

#[tokio::test]
async fn the_remainder_is_shown_after_it_was_sent_and_takes_no_part_in_the_comparison() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(proto::Design { test_share: 0.5, ..design() }).await;
    service.visits(noon(), 500, [50, 60]).await;
    service.close().await.unwrap();
    service.decide("b").await.unwrap();
    let before = service.results().await;
    let released = |id: &str| proto::Exposure { released: true, ..exposure(id, "b", noon()) };
    service.expose(vec![released("rest1"), released("rest2"), released("b0")]).await.unwrap();
    service.record(vec![outcome("o", "rest1", "site.visited", noon() + HALF_HOUR)]).await.unwrap();
    world.ambient.advance(DAY);
    let after = service.results().await;
    let remainder = after.remainder.unwrap();
    assert_eq!((remainder.unit_count, remainder.metrics[0].event_unit_count), (2, 1));
    assert_eq!(after.arms[1].unit_count, 500, "who was in the test is no remainder");
    assert_eq!(after.verdict, before.verdict);
}
