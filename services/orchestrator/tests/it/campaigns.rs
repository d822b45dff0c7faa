//! Writing, reading, pausing and cancelling campaigns.

use cursus_api::delivery::broadcast;
use cursus_api::orchestrator::{
    CampaignVariant, CancelCampaignRequest, CreateCampaignRequest, GetCampaignRequest,
    ListCampaignsRequest, PauseCampaignRequest, ResumeCampaignRequest, campaign,
};
use tonic::Code;

use crate::world::{SPRING, World, draft, reason};

#[tokio::test]
async fn a_malformed_campaign_is_refused_with_its_field() {
    let world = World::new().await;
    let cases: [(&str, Spoil); 8] = [
        ("campaign_id", |it| "not an id".clone_into(&mut it.campaign_id)),
        ("parent", |it| it.parent.clear()),
        ("campaign.audience.include", |it| campaign(it).audience = None),
        ("campaign.variants", |it| campaign(it).variants.clear()),
        ("campaign.variants[1].arm", |it| {
            let arm = campaign(it).variants[0].arm.clone();
            campaign(it).variants[1].arm = arm;
        }),
        ("campaign.variants", |it| campaign(it).experiment.clear()),
        ("campaign.sender", |it| {
            "workspaces/elsewhere/senders/x".clone_into(&mut campaign(it).sender);
        }),
        ("campaign.audience_tolerance", |it| campaign(it).audience_tolerance = f64::NAN),
    ];
    for (field, spoil) in cases {
        let mut request = draft();
        spoil(&mut request);
        let refused = world.client("ada").create_campaign(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert_eq!(cursus_fault::value(&refused, "field").as_deref(), Some(field));
    }
    let request = GetCampaignRequest { name: SPRING.to_owned() };
    let absent = world.client("edith").get_campaign(request).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
}

/// Makes one field wrong.
type Spoil = fn(&mut CreateCampaignRequest);

fn campaign(request: &mut CreateCampaignRequest) -> &mut cursus_api::orchestrator::Campaign {
    request.campaign.as_mut().unwrap()
}

#[tokio::test]
async fn arms_that_are_not_the_experiments_are_refused_before_anybody_is_asked() {
    let world = World::new().await;
    world
        .create(|it| {
            it.variants.push(CampaignVariant {
                arm: "c".to_owned(),
                template_version: "workspaces/acme/templates/c/versions/1".to_owned(),
            });
        })
        .await;
    let refused = world.request_launch("ada").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NOT_READY")
    );
    assert!(refused.message().contains("a, b, c"), "{}", refused.message());
    assert_eq!(world.campaign().await.state(), campaign::State::Draft);
}

#[tokio::test]
async fn a_bandit_is_refused_for_an_audience_that_is_divided_at_once() {
    let world = World::new().await;
    world.peers.script().bandit = Some(cursus_api::experiment::Bandit::default());
    world.create(|_| ()).await;
    let refused = world.request_launch("ada").await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_READY");
    assert!(refused.message().contains("bandit"), "{}", refused.message());
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_a_reused_id_is_refused() {
    let world = World::new().await;
    let mut request = draft();
    request.request_id = "0190b6f0-7b5e-7cc0-8000-000000000001".to_owned();
    let client = world.client("ada");
    let first = client.clone().create_campaign(request.clone()).await.unwrap().into_inner();
    let second = client.clone().create_campaign(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, second);
    request.campaign_id = "summer".to_owned();
    let refused = client.clone().create_campaign(request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    request.request_id = "x".to_owned();
    let refused = client.clone().create_campaign(request).await.unwrap_err();
    assert_eq!(reason(&refused), "MALFORMED_REQUEST_ID");
    let refused = client.clone().create_campaign(draft()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::AlreadyExists, "EXISTS"));
}

#[tokio::test]
async fn nobody_reads_or_writes_in_another_workspace() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let request = GetCampaignRequest { name: SPRING.to_owned() };
    let refused = world.client("mallory").get_campaign(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_IN_WORKSPACE");
    let refused = world.client("mallory").create_campaign(draft()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_IN_WORKSPACE");
    let refused = world.client("edith").create_campaign(draft()).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_REQUIRED");
}

#[tokio::test]
async fn lists_page_through_everything_once() {
    let world = World::new().await;
    for index in 0..5 {
        let request = CreateCampaignRequest { campaign_id: format!("c{index}"), ..draft() };
        world.client("ada").create_campaign(request).await.unwrap();
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListCampaignsRequest { parent: "workspaces/acme".to_owned(), page_size: 2, page_token };
        let page = world.client("edith").list_campaigns(request).await.unwrap().into_inner();
        names.extend(page.campaigns.into_iter().map(|it| it.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5);
}

#[tokio::test]
async fn pausing_resuming_and_cancelling_reach_the_broadcast() {
    let world = World::new().await;
    world.launch(|_| ()).await;
    world.until("launched", |it| !it.broadcast.is_empty()).await;
    let reaches = async |state: broadcast::State| {
        world
            .until(&format!("{state:?}"), |_| {
                world.peers.script().broadcast.as_ref().unwrap().state() == state
            })
            .await
    };
    let request = PauseCampaignRequest {
        name: SPRING.to_owned(),
        reason: "wait".to_owned(),
        request_id: String::new(),
    };
    world.client("ada").pause_campaign(request).await.unwrap();
    let paused = reaches(broadcast::State::Paused).await;
    assert_eq!(paused.state(), campaign::State::Paused);
    let request =
        ResumeCampaignRequest { name: SPRING.to_owned(), ..ResumeCampaignRequest::default() };
    let resumed = world.client("ada").resume_campaign(request.clone()).await.unwrap().into_inner();
    assert_eq!(resumed.state(), campaign::State::Testing);
    reaches(broadcast::State::Sending).await;
    let refused = world.client("ada").resume_campaign(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_PAUSED");
    let request = CancelCampaignRequest {
        name: SPRING.to_owned(),
        reason: "enough".to_owned(),
        request_id: String::new(),
    };
    world.client("ada").cancel_campaign(request).await.unwrap();
    reaches(broadcast::State::Cancelled).await;
}
