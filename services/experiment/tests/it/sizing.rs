//! What is told before anybody is exposed: what an experiment can find, and how soon.

use cursus_api::experiment as proto;

use crate::world::{World, arm, create_request, design, hours};

async fn sized(
    design: proto::Design,
    expectation: Option<proto::Expectation>,
) -> (proto::Experiment, proto::Experiment) {
    let world = World::new().await;
    let service = world.start().await;
    let mut request = create_request("spring", design);
    request.experiment.as_mut().unwrap().expectation = expectation;
    let created = service.client("ada").create_experiment(request).await.unwrap().into_inner();
    (created, service.get().await.unwrap())
}

#[tokio::test]
async fn what_can_be_found_follows_from_the_audience_and_the_rate() {
    let expectation = proto::Expectation { audience_size: 50_000, rate: 0.2 };
    let tested = proto::Design { test_share: 0.2, ..design() };
    let (created, read) = sized(tested, Some(expectation)).await;
    assert_eq!(created, read);
    assert_eq!(created.expectation, Some(expectation));
    let sizing = created.sizing.unwrap();
    let size = sizing.design.unwrap();
    assert_eq!((size.arm_count, size.unit_count), (2, 5_000));
    // 2.4 points of 20 % with 5,000 in each arm.
    assert!((size.minimum_detectable_effect.unwrap() - 0.024).abs() < 0.001, "{size:?}");
    assert!((0.6..0.8).contains(&size.power), "{size:?}");
    let counts: Vec<i32> = sizing.by_arm_count.iter().map(|it| it.arm_count).collect();
    assert_eq!(counts, (2..=10).collect::<Vec<_>>());
    assert_eq!(sizing.by_arm_count[0], size);
    assert!(sizing.by_arm_count[8].minimum_detectable_effect > size.minimum_detectable_effect);
    // Four fifths of a day's answers, by the usual curve.
    assert!((400..420).contains(&sizing.minutes_to_maturity), "{}", sizing.minutes_to_maturity);
    assert!((100..25_000).contains(&sizing.test_and_roll_unit_count.unwrap()));
}

#[tokio::test]
async fn without_an_expectation_only_the_time_is_told_and_the_digest_is_the_same() {
    let (created, _) = sized(design(), None).await;
    let sizing = created.sizing.unwrap();
    assert_eq!((sizing.design, sizing.by_arm_count.len()), (None, 0));
    assert_eq!(sizing.test_and_roll_unit_count, None);
    assert!(sizing.minutes_to_maturity > 400);
    let expectation = proto::Expectation { audience_size: 7, rate: 0.5 };
    let (other, _) = sized(design(), Some(expectation)).await;
    assert_eq!(other.design_digest, created.design_digest);
    let hopeless = other.sizing.unwrap().design.unwrap();
    assert_eq!((hopeless.unit_count, hopeless.minimum_detectable_effect), (3, None));
}

#[tokio::test]
async fn a_fast_gate_matures_sooner_and_one_arm_finds_nothing() {
    let fast = proto::Design { maturity_gate: 0.5, ..design() };
    let (created, _) = sized(fast, None).await;
    assert!((125..140).contains(&created.sizing.unwrap().minutes_to_maturity));
    let single = proto::Design { arms: vec![arm("a", 1.0)], ..design() };
    let expectation = proto::Expectation { audience_size: 50_000, rate: 0.2 };
    let (created, _) = sized(single, Some(expectation)).await;
    assert_eq!(created.sizing.unwrap().design, None);
    let mut endless = proto::Design { decision_window: None, ..design() };
    endless.set_method(proto::Method::Anytime);
    endless.metrics[0].window = Some(hours(24));
    let (created, _) = sized(endless, None).await;
    assert_eq!(created.sizing.unwrap().minutes_to_maturity, 7 * 24 * 60);
}
