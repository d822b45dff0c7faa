//! Who did what: only persons count, a later word wins, and recipients behind a privacy proxy are left out of opens.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::Actor;
use cursus_api::experiment::audit_entry::Kind;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tonic::Code::{InvalidArgument, NotFound};

use crate::world::{
    DAY, Fault, HALF_HOUR, World, design, exposure, moment, noon, outcome, refused,
};

fn visit(id: &str, actor: Actor, human: bool) -> proto::OutcomeEvent {
    let name = format!("visit-{id}");
    let visit = outcome(&name, id, "site.visited", noon() + HALF_HOUR);
    proto::OutcomeEvent { actor: actor.into(), human, ..visit }
}

fn word(outcome_id: &str, actor: Actor, minutes: i64) -> proto::Reclassification {
    proto::Reclassification {
        source: String::new(),
        outcome_id: outcome_id.to_owned(),
        actor: actor.into(),
        classify_time: Some(moment(noon() + TimeDelta::minutes(minutes))),
    }
}

#[tokio::test]
async fn each_unit_counts_by_the_best_that_is_known_of_who_acted() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    let ids = ["person", "machine", "suspect", "unknown", "both", "old-person", "old-machine"];
    service.expose(ids.map(|id| exposure(id, "a", noon())).to_vec()).await.unwrap();
    let visits = vec![
        visit("person", Actor::Human, false),
        visit("machine", Actor::Machine, true),
        visit("suspect", Actor::Suspect, true),
        visit("unknown", Actor::Unknown, true),
        visit("both", Actor::Suspect, false),
        proto::OutcomeEvent {
            outcome_id: "again".to_owned(),
            ..visit("both", Actor::Human, false)
        },
        // Callers that do not know of actors say whether it was a person.
        visit("old-person", Actor::Unspecified, true),
        visit("old-machine", Actor::Unspecified, false),
    ];
    service.record(visits).await.unwrap();
    world.ambient.advance(DAY);
    let visits = service.counted("a", 0).await;
    assert_eq!((visits.unit_count, visits.event_unit_count), (7, 3));
    assert_eq!(
        (visits.machine_unit_count, visits.suspect_unit_count, visits.unknown_unit_count),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn the_latest_word_counts_in_whatever_order_words_and_outcomes_come() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for _ in 0..4 {
        let world = World::new().await;
        let service = world.start().await;
        service.started(design()).await;
        service.expose(vec![exposure("ana", "a", noon())]).await.unwrap();
        let mut words = vec![
            word("visit-ana", Actor::Machine, 1),
            word("visit-ana", Actor::Human, 2),
            word("visit-ana", Actor::Suspect, 3),
        ];
        words.shuffle(&mut rng);
        service.reclassify(words[..1].to_vec()).await.unwrap();
        service.record(vec![visit("ana", Actor::Human, true)]).await.unwrap();
        service.reclassify(words[1..].to_vec()).await.unwrap();
        world.ambient.advance(DAY);
        let visits = service.counted("a", 0).await;
        assert_eq!((visits.event_unit_count, visits.suspect_unit_count), (0, 1));
        // What is known already is no news.
        assert_eq!(service.reclassify(words).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn judging_anew_changes_results_and_not_the_looks_that_were_taken() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 150]).await;
    service.close().await.unwrap();
    world.ambient.advance(DAY + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    let verdict = service.verdict().await;
    assert_eq!((verdict.action(), verdict.arm.as_str()), (Action::Promote, "b"));
    let looks = service.listed_looks().await;
    let scanned = |number: usize| word(&format!("visit-b{number}"), Actor::Machine, 60);
    let recorded = service.reclassify((0..100).map(scanned).collect()).await.unwrap();
    assert_eq!(recorded, 100);
    let results = service.results().await;
    let visits = &results.arms[1].metrics[0];
    assert_eq!((visits.event_unit_count, visits.machine_unit_count), (50, 100));
    assert_eq!((results.verdict.as_ref(), service.listed_looks().await), (Some(&verdict), looks));
    let codes: Vec<_> = results.warnings.iter().map(|it| it.code.as_str()).collect();
    assert!(codes.contains(&"DATA_CHANGED") && codes.contains(&"MACHINE_SHARES_DIFFER"));
    let audit = service.audit().await;
    let last = audit.last().unwrap();
    assert_eq!((last.kind(), last.outcome_count), (Kind::Reclassified, 100));
    // And back again.
    let human = |number: usize| word(&format!("visit-b{number}"), Actor::Human, 90);
    service.reclassify((0..100).map(human).collect()).await.unwrap();
    let results = service.results().await;
    assert_eq!(results.arms[1].metrics[0].event_unit_count, 150);
    assert_eq!(results.warnings, []);
}

#[tokio::test]
async fn words_that_make_no_sense_are_refused_by_field() {
    let world = World::new().await;
    let service = world.start().await;
    let good = word("o", Actor::Machine, 1);
    refused(service.reclassify(vec![good.clone()]).await, NotFound, "NOT_FOUND", "");
    service.started(design()).await;
    let faults: [(&str, Fault<proto::Reclassification>); 6] = [
        ("source", |it| it.source = "elsewhere".to_owned()),
        ("source", |it| it.source = "experiments/summer".to_owned()),
        ("outcome_id", |it| it.outcome_id.clear()),
        ("actor", |it| it.actor = 0),
        ("actor", |it| it.actor = 9),
        ("classify_time", |it| it.classify_time = None),
    ];
    for (field, spoil) in faults {
        let mut fault = good.clone();
        spoil(&mut fault);
        let outcome = service.reclassify(vec![good.clone(), fault]).await;
        let field = format!("reclassifications[1].{field}");
        refused(outcome, InvalidArgument, "INVALID_FIELD", &field);
    }
    let outcome = service.reclassify(vec![good.clone(); 5_001]).await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "reclassifications");
    let mut unheard = visit("ana", Actor::Human, true);
    unheard.actor = 9;
    let outcome = service.record(vec![unheard]).await;
    refused(outcome, InvalidArgument, "INVALID_FIELD", "outcomes[0].actor");
    assert_eq!(service.reclassify(vec![good]).await.unwrap(), 1);
}

#[tokio::test]
async fn recipients_behind_a_privacy_proxy_are_left_out_of_opens_and_of_nothing_else() {
    let world = World::new().await;
    let service = world.start().await;
    let mut opens_and_visits = design();
    opens_and_visits.metrics[1] = design().metrics[0].clone();
    opens_and_visits.metrics[0].metric_id = "opens".to_owned();
    opens_and_visits.metrics[0].events = vec!["email.opened".to_owned()];
    service.started(opens_and_visits).await;
    let proxied = |id: &str| proto::Exposure { privacy_proxy: true, ..exposure(id, "a", noon()) };
    let exposures = vec![
        exposure("ana", "a", noon()),
        exposure("ben", "a", noon()),
        proxied("cat"),
        proxied("dan"),
        proxied("eve"),
    ];
    service.expose(exposures).await.unwrap();
    let open = |id: &str| outcome(&format!("open-{id}"), id, "email.opened", noon() + HALF_HOUR);
    let acts = ["ana", "cat", "dan"].map(open).to_vec();
    service.record(acts).await.unwrap();
    service.record(vec![visit("cat", Actor::Human, true)]).await.unwrap();
    world.ambient.advance(DAY);
    let opens = service.counted("a", 0).await;
    assert_eq!(
        (opens.unit_count, opens.event_unit_count, opens.privacy_proxy_unit_count),
        (2, 1, 3)
    );
    assert!((opens.rate.unwrap().value - 0.5).abs() < 1e-12);
    let visits = service.counted("a", 1).await;
    assert_eq!(
        (visits.unit_count, visits.event_unit_count, visits.privacy_proxy_unit_count),
        (5, 1, 0)
    );
    assert_eq!(service.results().await.arms[0].unit_count, 5);
}
