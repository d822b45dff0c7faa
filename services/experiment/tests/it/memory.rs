//! What outlasts an experiment: the picture of its looks, and how soon contacts answered.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use tonic::Code::{InvalidArgument, NotFound};
use tonic::Status;

use crate::world::{DAY, Replica, SPRING, World, design, exposure, hours, noon, outcome, refused};

async fn picture(service: &Replica) -> Result<String, Status> {
    let request = proto::GetMonitoringPathRequest { name: SPRING.to_owned() };
    Ok(service.client("edith").get_monitoring_path(request).await?.into_inner().svg)
}

async fn curves(service: &Replica) -> Vec<proto::ResponseCurve> {
    let parent = "workspaces/acme".to_owned();
    let request = proto::ListResponseCurvesRequest { parent, ..Default::default() };
    let answer = service.client("edith").list_response_curves(request).await.unwrap();
    answer.into_inner().response_curves
}

#[tokio::test]
async fn the_looks_are_drawn_as_they_were_taken() {
    let world = World::new().await;
    let service = world.start().await;
    refused(picture(&service).await, NotFound, "NOT_FOUND", "");
    service.started(design()).await;
    let empty = picture(&service).await.unwrap();
    assert!(empty.starts_with("<svg") && empty.contains("not decided yet"), "{empty}");
    service.visits(noon(), 1_000, [100, 300]).await;
    service.close().await.unwrap();
    world.ambient.advance(Duration::from_hours(7));
    service.looked(1).await;
    world.ambient.advance(DAY);
    service.reaches(State::Decidable).await;
    let drawn = picture(&service).await.unwrap();
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
    assert!(drawn.contains("Spring") && drawn != empty, "{drawn}");
    assert_eq!(picture(&service).await.unwrap(), drawn);
}

#[tokio::test]
async fn new_experiments_expect_what_was_seen_in_past_ones() {
    let world = World::new().await;
    let service = world.start().await;
    service.started(design()).await;
    // Half of 200 answer after ten minutes, half after forty: the median is twenty.
    let ids: Vec<String> = (0..200).map(|number| format!("c{number}")).collect();
    service.expose(ids.iter().map(|id| exposure(id, "a", noon())).collect()).await.unwrap();
    let visit = |(number, id): (usize, &String)| {
        let minutes = if number % 2 == 0 { 10 } else { 40 };
        outcome(id, id, "site.visited", noon() + TimeDelta::minutes(minutes))
    };
    service.record(ids.iter().enumerate().map(visit).collect()).await.unwrap();
    assert_eq!(curves(&service).await, []);
    service.close().await.unwrap();
    world.ambient.advance(DAY + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    let seen = curves(&service).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    let curve = &seen[0];
    assert_eq!((curve.metric_id.as_str(), curve.answer_count), ("visits", 200));
    assert_eq!((curve.experiment_count, curve.median.unwrap().seconds), (1, 1_200));
    assert!((curve.log_sd - 2.0_f64.ln()).abs() < 1e-6, "{curve:?}");

    let next = service.create("summer", design()).await.unwrap();
    let expected = next.design.clone().unwrap();
    assert_eq!((expected.response_median, expected.response_log_sd), (curve.median, curve.log_sd));
    assert!(next.sizing.unwrap().minutes_to_maturity < 60);
    // It is part of what is approved, and whoever says otherwise is heard.
    let started = service.launch(&next_again(&service).await).await.unwrap();
    assert_eq!(started.design, next.design);
    let slow = proto::Design { response_median: Some(hours(5)), ..design() };
    let slow = service.create("autumn", slow).await.unwrap().design.unwrap();
    assert_eq!((slow.response_median, slow.response_log_sd), (Some(hours(5)), 1.5));
    let mut other = design();
    other.metrics[0].metric_id = "others".to_owned();
    let other = service.create("winter", other).await.unwrap().design.unwrap();
    assert_eq!(other.response_median.unwrap().seconds, 9_000);
    for (page_size, page_token, field) in [(-1, "", "page_size"), (0, "!", "page_token")] {
        let parent = "workspaces/acme".to_owned();
        let page_token = page_token.to_owned();
        let request = proto::ListResponseCurvesRequest { parent, page_size, page_token };
        let outcome = service.client("edith").list_response_curves(request).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", field);
    }
}

/// Summer, read again.
async fn next_again(service: &Replica) -> proto::Experiment {
    let name = "workspaces/acme/experiments/summer".to_owned();
    let request = proto::GetExperimentRequest { name };
    service.client("edith").get_experiment(request).await.unwrap().into_inner()
}
