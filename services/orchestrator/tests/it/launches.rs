//! Launching: exactly what was approved, once.

use cursus_api::orchestrator::{GetCampaignReportRequest, approval, campaign};

use crate::world::{SPRING, World, reason};

#[tokio::test]
async fn an_approved_campaign_is_launched_by_itself() {
    let world = World::new().await;
    let approved = world.launch(|_| ()).await;
    let campaign = world.until("launched", |it| !it.broadcast.is_empty()).await;
    assert_eq!(campaign.state(), campaign::State::Testing);
    let broadcast = world.peers.script().broadcast.clone().unwrap();
    assert_eq!((broadcast.approval, broadcast.approval_digest), (approved.name, approved.digest));
    assert_eq!(broadcast.snapshot, campaign.snapshot);
    let request = GetCampaignReportRequest { name: SPRING.to_owned() };
    let report = world.client("edith").get_campaign_report(request).await.unwrap().into_inner();
    assert!(!report.r#final && report.ledger.is_some() && report.results.is_some());
}

#[tokio::test]
async fn a_report_before_the_launch_is_refused() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let request = GetCampaignReportRequest { name: SPRING.to_owned() };
    let refused = world.client("edith").get_campaign_report(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_LAUNCHED");
}

#[tokio::test]
async fn a_lost_answer_at_any_step_repeats_nothing() {
    let world = World::new().await;
    let steps = ["CreateSnapshot", "StartExperiment", "CreateBroadcast"];
    world.peers.script().lost_answers = steps.to_vec();
    world.launch(|_| ()).await;
    world.until("launched", |it| !it.broadcast.is_empty()).await;
    let script = world.peers.script();
    for step in steps {
        assert_eq!(script.count(step), 1, "{step} was asked for in several requests");
        let (_, times) = script.effects.iter().find(|((name, _), _)| *name == step).unwrap();
        assert!(*times >= 2, "the lost answer of {step} was not asked for again");
    }
}

#[tokio::test]
async fn a_segment_that_changed_since_the_approval_calls_the_launch_off() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let asked = world.request_launch("ada").await.unwrap();
    world.peers.script().revision = 2;
    world.approve("grace", &asked).await.unwrap();
    let campaign = world.reaches(campaign::State::Draft).await;
    assert!(campaign.state_reason.contains("revision 1 to 2"), "{}", campaign.state_reason);
    assert_eq!(world.approval(&asked.name).await.state(), approval::State::Void);
    assert_eq!(world.peers.script().count("CreateBroadcast"), 0);
}

#[tokio::test]
async fn an_audience_out_of_its_band_calls_the_launch_off() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let asked = world.request_launch("ada").await.unwrap();
    world.peers.script().audience = 1_201;
    world.approve("grace", &asked).await.unwrap();
    let campaign = world.reaches(campaign::State::Draft).await;
    assert!(campaign.state_reason.contains("800 to 1200"), "{}", campaign.state_reason);
    assert_eq!(world.peers.script().count("StartExperiment"), 0);
    // It can be asked for again.
    let asked = world.request_launch("ada").await.unwrap();
    world.approve("grace", &asked).await.unwrap();
    world.until("launched", |it| !it.broadcast.is_empty()).await;
}
