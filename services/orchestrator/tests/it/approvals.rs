//! Who may allow what, and when a permission no longer holds.

use std::time::Duration;

use cursus_api::orchestrator::{
    Approval, LaunchCampaignRequest, ListAuditEntriesRequest, RejectApprovalRequest,
    UpdateCampaignRequest, approval, campaign,
};
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::world::{SPRING, World, reason};

async fn launch_refusal(world: &World) -> String {
    let request =
        LaunchCampaignRequest { name: SPRING.to_owned(), ..LaunchCampaignRequest::default() };
    reason(&world.client("ada").launch_campaign(request).await.unwrap_err())
}

#[tokio::test]
async fn a_campaign_without_approval_is_not_launched() {
    let world = World::new().await;
    world.create(|_| ()).await;
    assert_eq!(launch_refusal(&world).await, "APPROVAL_REQUIRED");
    world.request_launch("ada").await.unwrap();
    assert_eq!(launch_refusal(&world).await, "APPROVAL_REQUIRED");
    assert!(world.peers.script().effects.is_empty());
}

#[tokio::test]
async fn only_another_person_with_the_role_and_the_digest_may_approve() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let asked = world.request_launch("both").await.unwrap();
    let refused = world.approve("both", &asked).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "SELF_APPROVAL")
    );
    let refused = world.approve("ada", &asked).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_REQUIRED");
    let refused = world.approve("mallory", &asked).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_IN_WORKSPACE");
    let other = Approval { digest: vec![0; 32], ..asked.clone() };
    let refused = world.approve("grace", &other).await.unwrap_err();
    assert_eq!(reason(&refused), "DIGEST_MISMATCH");
    assert_eq!(world.approval(&asked.name).await.state(), approval::State::Pending);
    let approved = world.approve("grace", &asked).await.unwrap();
    assert_eq!((approved.proposer.as_str(), approved.decider.as_str()), ("both", "grace"));
    let again = world.approve("grace", &asked).await.unwrap_err();
    assert_eq!(reason(&again), "APPROVAL_NOT_PENDING");
}

#[tokio::test]
async fn the_approver_sees_what_would_happen() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let summary = world.request_launch("ada").await.unwrap().summary.unwrap();
    let band = (summary.audience_min_count, summary.audience_count, summary.audience_max_count);
    assert_eq!(band, (800, 1_000, 1_200));
    let uses: Vec<_> = summary.segments.iter().map(|it| it.r#use.as_str()).collect();
    assert_eq!(uses, ["include", "exclude", "report"]);
    assert!(summary.variants.iter().all(|it| it.samples.len() == 1));
    assert_eq!(summary.sender, "Acme <news@acme.example>");
}

#[tokio::test]
async fn a_change_after_approval_makes_it_void() {
    let world = World::new().await;
    let far = prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 };
    let approved = world.launch(|it| it.schedule_time = Some(far)).await;
    assert_eq!(launch_refusal(&world).await, "SCHEDULED_LATER");
    let mut campaign = world.reaches(campaign::State::Scheduled).await;
    campaign.display_name = "Summer".to_owned();
    let request = UpdateCampaignRequest {
        campaign: Some(campaign),
        update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        ..UpdateCampaignRequest::default()
    };
    let changed = world.client("ada").update_campaign(request.clone()).await.unwrap().into_inner();
    assert_eq!(changed.state(), campaign::State::Draft);
    assert_eq!(world.approval(&approved.name).await.state(), approval::State::Void);
    assert_eq!(launch_refusal(&world).await, "APPROVAL_VOID");
    let stale = world.client("ada").update_campaign(request).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "STALE_ETAG"));
}

#[tokio::test]
async fn a_rejected_campaign_is_a_draft_again_and_an_approval_expires() {
    let world = World::new().await;
    world.create(|_| ()).await;
    let asked = world.request_launch("ada").await.unwrap();
    let request = RejectApprovalRequest {
        name: asked.name.clone(),
        reason: "too many".to_owned(),
        request_id: String::new(),
    };
    let rejected = world.client("grace").reject_approval(request).await.unwrap().into_inner();
    assert_eq!(rejected.state(), approval::State::Rejected);
    assert!(world.reaches(campaign::State::Draft).await.state_reason.contains("too many"));
    let asked = world.request_launch("ada").await.unwrap();
    world.ambient.advance(Duration::from_hours(73));
    world.reaches(campaign::State::Draft).await;
    assert_eq!(world.approval(&asked.name).await.state(), approval::State::Expired);
    assert_eq!(reason(&world.approve("grace", &asked).await.unwrap_err()), "APPROVAL_NOT_PENDING");
}

#[tokio::test]
async fn the_record_is_a_chain_that_anybody_can_verify() {
    let world = World::new().await;
    world.launch(|_| ()).await;
    world.until("launched", |it| !it.broadcast.is_empty()).await;
    let request = ListAuditEntriesRequest {
        parent: "workspaces/acme".to_owned(),
        ..ListAuditEntriesRequest::default()
    };
    let entries =
        world.client("edith").list_audit_entries(request).await.unwrap().into_inner().audit_entries;
    let actions: Vec<_> = entries.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(
        actions,
        ["campaign.created", "approval.requested", "approval.approved", "campaign.sending"]
    );
    let mut before = Vec::new();
    for entry in entries {
        let time = entry.entry_time.unwrap();
        let micros = time.seconds * 1_000_000 + i64::from(time.nanos / 1_000);
        let mut hasher = Sha256::new();
        let (sequence, time) = (entry.sequence.to_be_bytes(), micros.to_be_bytes());
        let texts: [&String; 4] = [&entry.subject, &entry.action, &entry.resource, &entry.detail];
        let parts = [before.as_slice(), &sequence, &time];
        for part in parts.into_iter().chain(texts.map(String::as_bytes)) {
            hasher.update(u64::try_from(part.len()).unwrap().to_be_bytes());
            hasher.update(part);
        }
        assert_eq!(entry.hash, hasher.finalize().to_vec(), "entry {}", entry.sequence);
        before = entry.hash;
    }
}
