//! Bandits: arms that seem better get more of the new units, and only units of the same time are compared.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::experiment as proto;
use cursus_api::experiment::audit_entry::Kind;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use tonic::Code::{FailedPrecondition, InvalidArgument};

use crate::world::{
    DAY, Fault, Replica, SPRING, World, contact, create_request, design, exposure, hours, moment,
    outcome, refused, until,
};

const MINUTE: Duration = Duration::from_mins(1);

fn bandit() -> proto::Design {
    let mut design =
        proto::Design { decision_window: None, bandit: Some(proto::Bandit::default()), ..design() };
    design.set_method(proto::Method::Anytime);
    for metric in &mut design.metrics {
        metric.window = Some(hours(12));
    }
    design
}

/// Asks for the arms of so many new units and exposes them; those of an arm answer as often as is said, in percent.
async fn day(
    world: &World,
    service: &Replica,
    (number, units): (usize, usize),
    percent: [usize; 2],
) -> Vec<proto::Assignment> {
    let ids: Vec<String> = (0..units).map(|unit| format!("d{number}u{unit}")).collect();
    let assigned = service.assign(&ids).await.unwrap();
    let now = world.ambient.now();
    let told = ids.iter().zip(&assigned).map(|(id, it)| exposure(id, &it.arm, now));
    service.expose(told.collect()).await.unwrap();
    let mut seen = [0, 0];
    let mut answers = Vec::new();
    for (id, assignment) in ids.iter().zip(&assigned) {
        let arm = usize::from(assignment.arm == "b");
        // Spread evenly, so that any stretch of units answers as often.
        let before = seen[arm] * percent[arm] / 100;
        seen[arm] += 1;
        if seen[arm] * percent[arm] / 100 > before {
            answers.push(outcome(id, id, "site.visited", now + TimeDelta::minutes(5)));
        }
    }
    service.record(answers).await.unwrap();
    assigned
}

/// Lets a day pass, and waits for the next allocation.
async fn next_day(world: &World, service: &Replica, number: usize) -> Vec<f64> {
    world.ambient.advance(DAY + MINUTE);
    until(&format!("allocation {number}"), async || {
        let entries = service.audit().await;
        let shares: Vec<Vec<f64>> = (entries.into_iter())
            .filter(|it| it.kind() == Kind::Reallocated)
            .map(|it| it.shares)
            .collect();
        if shares.len() + 1 >= number { Ok(shares.last().cloned().unwrap()) } else { Err(shares) }
    })
    .await
}

fn arms(assigned: &[proto::Assignment]) -> BTreeMap<(String, i32), usize> {
    let mut counts = BTreeMap::new();
    for it in assigned {
        *counts.entry((it.arm.clone(), it.allocation_number)).or_default() += 1;
    }
    counts
}

fn warned(results: &proto::Results, code: &str) -> Option<String> {
    results.warnings.iter().find(|it| it.code == code).map(|it| it.text.clone())
}

#[tokio::test]
async fn the_better_arm_gets_more_of_the_new_units_and_the_others_stay_where_they_are() {
    let world = World::new().await;
    let (service, other) = (world.start().await, world.start().await);
    service.started(bandit()).await;
    let first = day(&world, &service, (1, 600), [10, 30]).await;
    let counts = arms(&first);
    assert_eq!(counts.keys().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 1]);
    // Five standard errors; and as the hash is what it is, this can never fail by chance.
    assert!(counts.values().all(|count| count.abs_diff(300) < 62), "{counts:?}");
    let shares = next_day(&world, &service, 2).await;
    assert!(shares[1] > 0.94 && shares[0] > 0.049, "{shares:?}");
    let told: Vec<Option<f64>> = service.results().await.arms.iter().map(|it| it.share).collect();
    assert_eq!(told, [Some(shares[0]), Some(shares[1])]);
    let second = day(&world, &service, (2, 600), [10, 30]).await;
    let counts = arms(&second);
    assert!(counts[&("b".to_owned(), 2)] > 530, "{counts:?}");
    // Whoever asks, wherever and whenever: a unit keeps its arm.
    let ids = |number: usize| (0..600).map(move |unit| format!("d{number}u{unit}"));
    assert_eq!(other.assign(&ids(1).collect::<Vec<_>>()).await.unwrap(), first);
    assert_eq!(other.assign(&ids(2).collect::<Vec<_>>()).await.unwrap(), second);
    let request = proto::AssignUnitsRequest {
        experiment: SPRING.to_owned(),
        units: vec![contact("d1u0"), contact("d2u0")],
        explain: true,
    };
    let explained = other.client("orchestrator").assign_units(request).await.unwrap().into_inner();
    let numbers: Vec<i32> = explained.assignments.iter().map(|it| it.allocation_number).collect();
    assert_eq!(numbers, [1, 2]);
    let text = &explained.assignments[1].explanation.as_ref().unwrap().text;
    assert!(text.contains("allocation"), "{text}");
}

#[tokio::test]
async fn the_winner_is_found_among_units_of_the_same_time() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    for number in 1..=8 {
        day(&world, &service, (number, 600), [20, 30]).await;
        next_day(&world, &service, number + 1).await;
    }
    let verdict = until("a verdict after the first week", async || {
        let verdict = service.verdict().await;
        if verdict.action() == Action::Promote { Ok(verdict) } else { Err(verdict) }
    })
    .await;
    assert_eq!((verdict.arm.as_str(), verdict.reason_code.as_str()), ("b", "SIGNIFICANT_BEST"));
    assert!(verdict.statistic >= verdict.boundary.unwrap(), "{verdict:?}");
    assert!(
        (verdict.boundary.unwrap() - 2.448).abs() < 1e-3 && verdict.sequential_p.unwrap() < 0.05
    );
    assert!(verdict.reason_text.contains("of the same time"), "{}", verdict.reason_text);
    // What would mislead is not shown.
    let results = service.results().await;
    assert!(warned(&results, "BANDIT").is_some() && results.segments.is_empty());
    for arm in &results.arms {
        let metric = &arm.metrics[0];
        assert!(metric.unit_count > 100 && metric.lift.is_none(), "{metric:?}");
        let rate = metric.rate.unwrap();
        assert!(rate.value > 0.1 && rate.low.is_none() && arm.probability_best.is_none());
    }
    let looks = service.listed_looks().await;
    let last = looks.last().unwrap();
    assert!((last.counts[0].statistic - verdict.statistic).abs() < 1e-9, "{last:?}");
    let decided = service.decide("b").await.unwrap();
    assert!(decided.decision.unwrap().significant);
}

#[tokio::test]
async fn an_arm_that_only_got_its_units_at_better_times_does_not_win() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    // Luck on the first day gives `b` nearly all units of the days on which everybody answers more.
    day(&world, &service, (1, 3_000), [8, 10]).await;
    next_day(&world, &service, 2).await;
    for number in 2..=9 {
        day(&world, &service, (number, 600), [50, 50]).await;
        next_day(&world, &service, number + 1).await;
    }
    let results = until("the last whole day counts", async || {
        let results = service.results().await;
        let units: i64 = results.arms.iter().map(|it| it.unit_count).sum();
        if units >= 7_200 { Ok(results) } else { Err(units) }
    })
    .await;
    let rate = |arm: usize| results.arms[arm].metrics[0].rate.unwrap().value;
    let units = |arm: usize| real(results.arms[arm].metrics[0].unit_count);
    let spread = (0.25 / units(0) + 0.25 / units(1)).sqrt();
    let naive = (rate(1) - rate(0)) / spread;
    assert!(naive > 2.5, "who compares the rates is misled: {naive}");
    let verdict = until("a look after the first week", async || {
        let verdict = service.verdict().await;
        if verdict.spending_time >= 1.0 { Ok(verdict) } else { Err(verdict) }
    })
    .await;
    assert_eq!(
        (verdict.action(), verdict.reason_code.as_str()),
        (Action::Continue, "NOT_SIGNIFICANT_YET"),
        "{verdict:?}"
    );
}

fn real(count: i64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[tokio::test]
async fn closing_it_counts_the_last_units_too_and_ends_with_what_is_known() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    for number in 1..=8 {
        day(&world, &service, (number, 300), [20, 22]).await;
        next_day(&world, &service, number + 1).await;
    }
    day(&world, &service, (9, 300), [20, 22]).await;
    world.ambient.advance(MINUTE);
    let closed = service.close().await.unwrap();
    assert_eq!(closed.deadline, Some(moment(world.ambient.now() + TimeDelta::hours(12))));
    world.ambient.advance(Duration::from_hours(12) + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    assert_eq!(
        (verdict.action(), verdict.reason_code.as_str(), verdict.r#final),
        (Action::Hold, "INCONCLUSIVE_AT_DEADLINE", true),
        "{verdict:?}"
    );
    let results = service.results().await;
    assert_eq!(results.arms.iter().map(|it| it.unit_count).sum::<i64>(), 9 * 300);
    assert_eq!(warned(&results, "DATA_CHANGED"), None);
    let last = service.listed_looks().await.pop().unwrap();
    assert_eq!(last.counts.iter().map(|it| it.unit_count).sum::<i64>(), 9 * 300);
    // Nobody is divided anew, nor is it written down who is asked about afterwards, nor do they count.
    let late = service.assign(&["late".to_owned()]).await.unwrap();
    assert_eq!(service.assign(&["late".to_owned()]).await.unwrap(), late);
    service.expose(vec![exposure("late", &late[0].arm, world.ambient.now())]).await.unwrap();
    world.ambient.advance(DAY);
    assert_eq!(warned(&service.results().await, "NOT_ASSIGNED"), None);
    let kept: i64 = sqlx::query_scalar("select count(*) from allotments")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 9 * 300);
}

#[tokio::test]
async fn what_is_told_late_counts_and_an_exposure_stays_in_its_period() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    let start = world.ambient.now();
    day(&world, &service, (1, 600), [10, 30]).await;
    // Asked for on the first day, exposed on the second.
    let waiting = service.assign(&["w".to_owned()]).await.unwrap();
    next_day(&world, &service, 2).await;
    let second = world.ambient.now();
    service.expose(vec![exposure("w", &waiting[0].arm, second)]).await.unwrap();
    next_day(&world, &service, 3).await;
    let before = service.looked(1).await;
    let late = |unit: usize| {
        let id = format!("d1u{}", unit * 10);
        outcome(&format!("late {id}"), &id, "site.visited", start + TimeDelta::minutes(9))
    };
    service.record((0..60).map(late).collect()).await.unwrap();
    let earlier = start + TimeDelta::hours(1);
    service.expose(vec![exposure("w", &waiting[0].arm, earlier)]).await.unwrap();
    next_day(&world, &service, 4).await;
    let after = service.looked(2).await;
    assert!(before.information < after.information, "{before:?} {after:?}");
    let results = service.results().await;
    assert_eq!(results.arms.iter().map(|it| it.unit_count).sum::<i64>(), 601);
    let kept: DateTime<Utc> =
        sqlx::query_scalar("select exposure_time from exposures where contact_id = 'w'")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(kept, second, "it would be counted in both periods");
}

#[tokio::test]
async fn replicas_that_are_asked_at_once_agree_and_keep_what_was_given_before() {
    let world = World::new().await;
    let (one, two) = (world.start().await, world.start().await);
    let mut three = bandit();
    three.arms.push(crate::world::arm("c", 2.0));
    one.started(three).await;
    let ids: Vec<String> = (0..2_000).map(|unit| format!("u{unit}")).collect();
    let early = one.assign(&ids[..1_000]).await.unwrap();
    // Nobody was exposed, so nothing is known and the shares stay.
    let shares = next_day(&world, &one, 2).await;
    assert_eq!(shares, [0.25, 0.25, 0.5]);
    let mut backwards = ids.clone();
    backwards.reverse();
    let (first, second) = tokio::join!(one.assign(&ids), two.assign(&backwards));
    let mut second = second.unwrap();
    second.reverse();
    let first = first.unwrap();
    assert_eq!(first, second);
    assert_eq!(first[..1_000], early);
    assert!(first[..1_000].iter().all(|it| it.allocation_number == 1));
    assert!(first[1_000..].iter().all(|it| it.allocation_number == 2));
    let of = |arm: &str| first.iter().filter(|it| it.arm == arm).count();
    // Five standard errors; and as the hash is what it is, this can never fail by chance.
    assert!(of("c").abs_diff(1_000) < 112 && of("a").abs_diff(500) < 97, "{}", of("c"));
}

#[tokio::test]
async fn units_exposed_to_another_arm_or_never_asked_for_do_not_count() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    day(&world, &service, (1, 100), [10, 10]).await;
    let assigned = service.assign(&["x".to_owned()]).await.unwrap();
    let wrong = if assigned[0].arm == "a" { "b" } else { "a" };
    let now: DateTime<Utc> = world.ambient.now();
    service.expose(vec![exposure("x", wrong, now), exposure("y", "a", now)]).await.unwrap();
    next_day(&world, &service, 2).await;
    world.ambient.advance(DAY);
    let results = service.results().await;
    assert_eq!(results.arms.iter().map(|it| it.unit_count).sum::<i64>(), 100);
    let text = warned(&results, "NOT_ASSIGNED").unwrap();
    assert!(text.starts_with("2 contacts"), "{text}");
}

#[tokio::test]
async fn arms_that_lose_units_on_the_way_are_noticed_though_the_shares_change() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(bandit()).await;
    for number in 1..=9 {
        let ids: Vec<String> = (0..400).map(|unit| format!("d{number}u{unit}")).collect();
        let assigned = service.assign(&ids).await.unwrap();
        let now = world.ambient.now();
        let is_lost = |unit: usize, arm: &str| arm == "a" && !unit.is_multiple_of(3);
        let told = ids.iter().zip(&assigned).enumerate();
        let told = told.filter(|(unit, (_, it))| !is_lost(*unit, &it.arm));
        let exposures: Vec<_> = told.map(|(_, (id, it))| exposure(id, &it.arm, now)).collect();
        let answers = exposures.iter().step_by(5).map(|it| {
            let id = it.unit.rsplit('/').next().unwrap();
            outcome(id, id, "site.visited", now + TimeDelta::minutes(5))
        });
        let answers = answers.collect();
        service.expose(exposures).await.unwrap();
        service.record(answers).await.unwrap();
        next_day(&world, &service, number + 1).await;
    }
    let verdict = until("an alarm", async || {
        let verdict = service.verdict().await;
        if verdict.action() == Action::Hold { Ok(verdict) } else { Err(verdict) }
    })
    .await;
    assert_eq!(verdict.reason_code, "SRM");
    let found = service.results().await.sample_ratio.unwrap();
    assert_eq!(found.state(), proto::sample_ratio::State::Alarm);
    assert!(found.evidence > 1_000.0, "{found:?}");
}

#[tokio::test]
async fn what_a_bandit_cannot_be_is_refused_with_its_field() {
    let world = World::new().await;
    let service = world.start().await;
    let cases: [(&str, Fault<proto::Design>); 8] = [
        ("bandit", |it| {
            it.set_method(proto::Method::GroupSequential);
            it.decision_window = Some(hours(24));
        }),
        ("bandit.floor", |it| it.bandit = Some(proto::Bandit { floor: 0.6, ..Default::default() })),
        ("bandit.floor", |it| {
            it.bandit = Some(proto::Bandit { floor: 0.01, ..Default::default() });
        }),
        ("bandit.period", |it| {
            let period = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
            it.bandit = Some(proto::Bandit { period, ..Default::default() });
        }),
        ("bandit.rule", |it| it.bandit = Some(proto::Bandit { rule: 9, ..Default::default() })),
        ("expected_event_count", |it| it.expected_event_count = 500),
        ("metrics[0].kind", |it| it.metrics.swap(0, 1)),
        ("metrics[0].covariate_window", |it| it.metrics[0].covariate_window = Some(hours(24))),
    ];
    for (field, spoil) in cases {
        let mut design = bandit();
        spoil(&mut design);
        let request = create_request("spring", design);
        let outcome = service.client("ada").create_experiment(request).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", &format!("experiment.design.{field}"));
    }
    let created = service.create("spring", bandit()).await.unwrap();
    assert_eq!(created.design.unwrap().bandit.unwrap().period, Some(hours(24)));
    let import = proto::ImportAssignmentsRequest {
        experiment: SPRING.to_owned(),
        assignments: vec![proto::Assignment {
            unit: contact("ana"),
            group: proto::assignment::Group::Test.into(),
            arm: "a".to_owned(),
            ..proto::Assignment::default()
        }],
    };
    let parts = tokio_stream::iter([import]);
    let outcome = service.client("ada").import_assignments(parts).await;
    refused(outcome, FailedPrecondition, "BANDIT", "");
}
