//! What units did before their exposure makes estimates sharper, and changes nothing else. The expected numbers are worked
//! out by hand in the comments.

use chrono::TimeDelta;
use cursus_api::delivery::Outcome;
use cursus_api::delivery::outcome::Kind;
use cursus_api::experiment as proto;
use cursus_api::experiment::Actor;

use crate::feeds::fact;
use crate::world::{
    DAY, HALF_HOUR, Replica, World, design, exposure, hours, noon, outcome, purchase, until,
};

const MONTH: i64 = 30 * 24;

/// Visits decide and are counted once more beside that; money too.
fn remembering() -> proto::Design {
    let mut design = design();
    let again = proto::Metric { metric_id: "again".to_owned(), ..design.metrics[0].clone() };
    design.metrics.push(again);
    for metric in &mut design.metrics {
        metric.covariate_window = Some(hours(MONTH));
    }
    design
}

#[track_caller]
fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
}

async fn difference(service: &Replica, metric: usize) -> proto::AdjustedDifference {
    service.counted("b", metric).await.adjusted_difference.unwrap()
}

/// Exposes units of an arm at noon, of which some did what is counted before, after, or both.
async fn visitors(service: &Replica, arm: &str, units: usize, before: usize, after: [usize; 2]) {
    let id = |number: usize| format!("{arm}{number}");
    let visit = |number: usize, what: &str, time| {
        outcome(&format!("{what}-{arm}{number}"), &id(number), "site.visited", time)
    };
    let exposures = (0..units).map(|number| exposure(&id(number), arm, noon()));
    service.expose(exposures.collect()).await.unwrap();
    let [those_before, others] = after;
    let came_back = (0..those_before).chain(before..before + others);
    let visits = (0..before)
        .map(|number| visit(number, "past", noon() - TimeDelta::days(3)))
        .chain(came_back.map(|number| visit(number, "now", noon() + HALF_HOUR)));
    service.record(visits.collect()).await.unwrap();
}

#[tokio::test]
async fn visits_before_the_exposure_explain_a_part_of_those_after_it() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(remembering()).await;
    // Of 20 in each arm: in a 10 were there before, of whom 8 came back, and 2 others came; in b 12, 11 and 1.
    visitors(&service, "a", 20, 10, [8, 2]).await;
    visitors(&service, "b", 20, 12, [11, 1]).await;
    // Neither long ago, nor a machine, nor who was not exposed.
    let long_ago = outcome("old", "a19", "site.visited", noon() - TimeDelta::hours(MONTH + 1));
    let machine = proto::OutcomeEvent {
        actor: Actor::Machine.into(),
        ..outcome("machine", "a18", "site.visited", noon() - TimeDelta::days(1))
    };
    let stranger = outcome("stranger", "zoe", "site.visited", noon() - TimeDelta::days(1));
    service.record(vec![long_ago, machine, stranger]).await.unwrap();
    world.ambient.advance(DAY);
    // Together: n = 40, Σy = Σx = Σxx = 22, Σxy = 19. cov : var = (19 - 12.1) : (22 - 12.1), so θ = 23/33, and of the
    // plain 12/20 - 10/20 = 0.1 remain 0.1 - θ (0.6 - 0.5) = 1/33.
    let theta: f64 = 23.0 / 33.0;
    let found = difference(&service, 2).await;
    assert_eq!(found.baseline, "a");
    let (plain, adjusted) = (found.plain.unwrap(), found.adjusted.unwrap());
    close(plain.value, 0.1);
    close(adjusted.value, 1.0 / 33.0);
    // With n - 1 = 19: var y = var x = 5/19 in a and 4.8/19 in b, cov = 3/19 and 3.8/19. The variance of a difference is
    // the sum of var (y - θx) = var y + θ² var x - 2θ cov over 20.
    let variance = (9.8 * (1.0 + theta * theta) - 13.6 * theta) / 19.0 / 20.0;
    close(found.variance_reduction, 1.0 - variance / (9.8 / 19.0 / 20.0));
    let critical = 1.959_963_984_540_054;
    close(adjusted.high.unwrap() - adjusted.value, critical * variance.sqrt());
    close(adjusted.value - adjusted.low.unwrap(), critical * variance.sqrt());
    // As Wald has it: p (1 - p) / n of each.
    let wald = (0.25_f64 / 20.0 + 0.24 / 20.0).sqrt();
    close(plain.high.unwrap() - plain.value, critical * wald);

    // The deciding metric has no interval before a look, and its statistic is as if nobody knew of the past: the pooled
    // z of 10 and 12 of 20.
    let deciding = difference(&service, 0).await;
    close(deciding.adjusted.unwrap().value, 1.0 / 33.0);
    assert_eq!((deciding.adjusted.unwrap().low, deciding.plain.unwrap().high), (None, None));
    let results = service.results().await;
    close(results.verdict.unwrap().statistic, 0.1 / (0.55_f64 * 0.45 * 0.1).sqrt());
    assert!(results.arms[0].metrics.iter().all(|it| it.adjusted_difference.is_none()));
}

#[tokio::test]
async fn money_before_the_exposure_explains_money_after_it() {
    let world = World::new().await;
    let service = world.start().await;
    let mut design = remembering();
    design.arms.swap(0, 1);
    design.control_arm = "a".to_owned();
    service.started(design).await;
    let mut orders = Vec::new();
    for (arm, spent) in [("a", [(1, 2), (2, 4), (3, 6)]), ("b", [(2, 7), (3, 9), (4, 11)])] {
        for (number, (before, after)) in spent.into_iter().enumerate() {
            let id = format!("{arm}{number}");
            service.expose(vec![exposure(&id, arm, noon())]).await.unwrap();
            let past = noon() - TimeDelta::days(20);
            // In two orders, of which the second was taken back in part.
            orders.push(purchase(&format!("p-{id}"), &id, f64::from(before) + 0.25, past));
            orders.push(purchase(&format!("q-{id}"), &id, -0.25, past + HALF_HOUR));
            orders.push(purchase(&format!("r-{id}"), &id, f64::from(after), noon()));
        }
    }
    service.record(orders).await.unwrap();
    world.ambient.advance(DAY);
    // x: 1 2 3 | 2 3 4 about 2.5, y: 2 4 6 | 7 9 11 about 6.5: θ = 15.5 / 5.5 = 31/11. Of 9 - 4 = 5 remain 5 - θ = 24/11.
    let found = difference(&service, 1).await;
    assert_eq!(found.baseline, "a", "the control, wherever it stands");
    close(found.plain.unwrap().value, 5.0);
    close(found.adjusted.unwrap().value, 24.0 / 11.0);
    // In each arm var y = 4, var x = 1, cov = 2, so var (y - θx) = (2 - θ)² = 81/121 of 4.
    close(found.variance_reduction, 1.0 - 81.0 / 484.0);
    // Six answers are too few for an interval.
    assert_eq!((found.adjusted.unwrap().low, found.plain.unwrap().low), (None, None));
}

#[tokio::test]
async fn opens_of_earlier_campaigns_are_the_past_and_nothing_else() {
    let world = World::following().await;
    let service = world.start().await;
    let mut design = remembering();
    for metric in [0, 2] {
        design.metrics[metric].events = vec!["email.opened".to_owned()];
    }
    service.started(design).await;
    let winter = |outcome: Outcome| Outcome {
        experiment: "workspaces/acme/experiments/winter".to_owned(),
        ..outcome
    };
    let sent = |unit: &str, arm: &str, privacy_proxy| proto::Exposure {
        privacy_proxy,
        ..exposure(unit, arm, noon())
    };
    let exposures =
        [("a0", false), ("a1", false), ("a2", false), ("b0", false), ("b1", false), ("b2", true)];
    let exposures = exposures.map(|(unit, is_proxied)| sent(unit, &unit[..1], is_proxied));
    service.expose(exposures.to_vec()).await.unwrap();
    let (before, after) = (noon() - TimeDelta::days(2), noon() + HALF_HOUR);
    world.delivery_tells(vec![
        winter(fact("w1", "a0", Kind::Opened, before)),
        winter(fact("w2", "b0", Kind::Opened, before)),
        // Behind a privacy proxy: counts neither before nor after.
        winter(fact("w3", "b2", Kind::Opened, before)),
        // After the exposure it is another campaign's.
        winter(fact("w4", "a1", Kind::Opened, after)),
        fact("s1", "a0", Kind::Opened, after),
        fact("s2", "b0", Kind::Opened, after),
        fact("s3", "b1", Kind::Opened, after),
        fact("s4", "b2", Kind::Opened, after),
    ]);
    world.ambient.advance(DAY);
    until("opens are counted", async || {
        let opens = service.counted("b", 0).await;
        let counts = (opens.unit_count, opens.event_unit_count);
        if counts == (2, 2) { Ok(()) } else { Err(counts) }
    })
    .await;
    assert_eq!(service.counted("a", 0).await.event_unit_count, 1);
    // y: 1 0 0 | 1 1, x: 1 0 0 | 1 0. Together Σy = 3, Σx = Σxy = 2, n = 5: θ = (2 - 1.2) / (2 - 0.8) = 2/3. Of
    // 1 - 1/3 = 2/3 remain 2/3 - 2/3 (1/2 - 1/3) = 5/9.
    let found = difference(&service, 2).await;
    close(found.plain.unwrap().value, 2.0 / 3.0);
    close(found.adjusted.unwrap().value, 5.0 / 9.0);
}

#[tokio::test]
async fn one_unit_has_no_variance_and_who_asks_for_nothing_gets_nothing() {
    let world = World::new().await;
    let service = world.start().await;
    let mut design = remembering();
    design.metrics[1].covariate_window = None;
    let started = service.started(design).await;
    let windows: Vec<_> =
        started.design.unwrap().metrics.iter().map(|it| it.covariate_window).collect();
    assert_eq!(windows, [Some(hours(MONTH)), None, Some(hours(MONTH))]);
    service.expose(vec![exposure("a0", "a", noon()), exposure("b0", "b", noon())]).await.unwrap();
    world.ambient.advance(DAY);
    assert_eq!(service.counted("b", 0).await.adjusted_difference, None);
    service.expose(vec![exposure("a1", "a", noon()), exposure("b1", "b", noon())]).await.unwrap();
    let found = difference(&service, 0).await;
    close(found.adjusted.unwrap().value, 0.0);
    close(found.variance_reduction, 0.0);
    assert_eq!(service.counted("b", 1).await.adjusted_difference, None);
}
