//! Builds the campaign and gets it approved: segments, templates, experiment, two people.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use cursus_api::content::{
    CreateTemplateRequest, PublishTemplateRequest, Recipient, RenderMessagesRequest, Template,
};
use cursus_api::experiment::{
    Assignment, CreateExperimentRequest, Experiment, ImportAssignmentsRequest, assignment::Group,
};
use cursus_api::orchestrator::{
    Approval, ApproveApprovalRequest, Campaign, CampaignVariant, CreateCampaignRequest,
    GetCampaignRequest, LaunchCampaignRequest, PromotionPolicy, RequestApprovalRequest, approval,
};
use cursus_api::segmentation::{
    Audience, CreateSegmentRequest, GetSegmentRequest, Segment, segment,
};
use futures::stream;

use crate::figures::rate;
use crate::surface::{name, persist, refused, request_id, workspace};
use crate::{Figures, Narrator, Surface, World};

/// The campaign's and the experiment's id.
pub(crate) const ID: &str = "launch";

const POLL: Duration = Duration::from_millis(20);
const BATCH: usize = 500;

pub(crate) async fn prepare(
    world: &World,
    surface: &Surface,
    narrator: &dyn Narrator,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    narrator.step("Build segments, templates and an experiment");
    for (index, segment) in world.segments.iter().enumerate() {
        let ready = create_segment(world, index, segment, surface, narrator).await?;
        figures.segment_ready = figures.segment_ready.max(ready);
    }
    let mut versions = Vec::new();
    for variant in &world.variants {
        versions.push(publish(variant, surface).await?);
    }
    figures.rendered_per_second = render(world, &versions[0], surface).await?;
    narrator.fact(&format!(
        "{} templates published; {:.0} messages/s rendered",
        versions.len(),
        figures.rendered_per_second
    ));
    create_experiment(world, surface).await?;
    create_campaign(world, versions, surface).await
}

async fn create_segment(
    world: &World,
    index: usize,
    plan: &crate::world::Segment,
    surface: &Surface,
    narrator: &dyn Narrator,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let request = CreateSegmentRequest {
        parent: workspace(),
        segment_id: plan.id.to_owned(),
        segment: Some(Segment {
            display_name: plan.display_name.to_owned(),
            rule: Some(plan.rule.clone()),
            ..Segment::default()
        }),
        request_id: request_id(),
    };
    persist(async || surface.segmentation.clone().create_segment(request.clone()).await).await?;
    let request = GetSegmentRequest { name: name("segments", plan.id) };
    // Membership follows every import, so the count is awaited, not only the first evaluation.
    let expected = world.people.iter().filter(|person| person.in_segment[index]).count();
    loop {
        let segment =
            persist(async || surface.segmentation.clone().get_segment(request.clone()).await)
                .await?;
        let ready = segment.state() == segment::State::Ready;
        if ready && usize::try_from(segment.member_count)? == expected {
            let took = started.elapsed();
            narrator.fact(&format!(
                "segment {}: {expected} members after {} ms: {}",
                plan.id,
                took.as_millis(),
                segment.rule_text
            ));
            return Ok(took);
        }
        ensure!(
            started.elapsed() < Duration::from_mins(3),
            "segment `{}` has {} members and should have {expected}",
            plan.id,
            segment.member_count
        );
        tokio::time::sleep(POLL).await;
    }
}

async fn publish(variant: &crate::world::Variant, surface: &Surface) -> anyhow::Result<String> {
    let request = CreateTemplateRequest {
        parent: workspace(),
        template_id: variant.arm.to_owned(),
        template: Some(Template {
            display_name: variant.display_name.to_owned(),
            source: Some(variant.source.clone()),
            ..Template::default()
        }),
        request_id: request_id(),
    };
    persist(async || surface.content.clone().create_template(request.clone()).await).await?;
    let request = PublishTemplateRequest {
        name: name("templates", variant.arm),
        request_id: request_id(),
        ..PublishTemplateRequest::default()
    };
    let version =
        persist(async || surface.content.clone().publish_template(request.clone()).await).await?;
    Ok(version.name)
}

/// Renders for up to 10,000 people, which sends nothing.
async fn render(world: &World, version: &str, surface: &Surface) -> anyhow::Result<f64> {
    let people = &world.people[..world.people.len().min(10_000)];
    let started = Instant::now();
    for batch in people.chunks(BATCH) {
        let request = RenderMessagesRequest {
            template_version: version.to_owned(),
            recipients: batch
                .iter()
                .map(|person| Recipient {
                    contact: name("contacts", &person.id),
                    unsubscribe_url: "https://mail.example/u".to_owned(),
                    ..Recipient::default()
                })
                .collect(),
        };
        let answer =
            persist(async || surface.content.clone().render_messages(request.clone()).await)
                .await?;
        if let Some(failed) = answer.messages.iter().find(|m| !m.failure_reason.is_empty()) {
            bail!("{} cannot be rendered: {}", failed.contact, failed.failure_message);
        }
    }
    Ok(rate(people.len(), started.elapsed()))
}

async fn create_experiment(world: &World, surface: &Surface) -> anyhow::Result<()> {
    let request = CreateExperimentRequest {
        parent: workspace(),
        experiment_id: ID.to_owned(),
        experiment: Some(Experiment {
            display_name: world.title.clone(),
            design: Some(world.design.clone()),
            ..Experiment::default()
        }),
        request_id: request_id(),
    };
    persist(async || surface.experiment.clone().create_experiment(request.clone()).await).await?;
    if !world.assigned {
        return Ok(());
    }
    let assignments: Vec<_> = world.people.iter().map(|person| assignment(world, person)).collect();
    let parts: Vec<_> = assignments
        .chunks(5_000)
        .map(|assignments| ImportAssignmentsRequest {
            experiment: name("experiments", ID),
            assignments: assignments.to_vec(),
        })
        .collect();
    let answer = persist(async || {
        surface.experiment.clone().import_assignments(stream::iter(parts.clone())).await
    })
    .await?;
    ensure!(usize::try_from(answer.assignment_count)? == world.people.len(), "some are missing");
    Ok(())
}

fn assignment(world: &World, person: &crate::world::Person) -> Assignment {
    let (group, arm) = match person.assigned_arm {
        Some(arm) => (Group::Test, world.variants[arm].arm),
        None => (Group::Holdout, ""),
    };
    Assignment {
        unit: name("contacts", &person.id),
        group: group.into(),
        arm: arm.to_owned(),
        ..Assignment::default()
    }
}

async fn create_campaign(
    world: &World,
    versions: Vec<String>,
    surface: &Surface,
) -> anyhow::Result<()> {
    let [everyone, report @ ..] = &world.segments[..] else { bail!("a world has segments") };
    let variants = world
        .variants
        .iter()
        .zip(versions)
        .map(|(variant, template_version)| CampaignVariant {
            arm: variant.arm.to_owned(),
            template_version,
        })
        .collect();
    let request = CreateCampaignRequest {
        parent: workspace(),
        campaign_id: ID.to_owned(),
        campaign: Some(Campaign {
            display_name: world.title.clone(),
            audience: Some(Audience {
                include: vec![name("segments", everyone.id)],
                exclude: Vec::new(),
            }),
            report_segments: report.iter().map(|segment| name("segments", segment.id)).collect(),
            variants,
            experiment: name("experiments", ID),
            sender: name("senders", "news"),
            promotion_policy: PromotionPolicy::SignificantWinner.into(),
            measurement_window: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..Campaign::default()
        }),
        request_id: request_id(),
    };
    persist(async || surface.orchestrator.clone().create_campaign(request.clone()).await).await?;
    Ok(())
}

pub(crate) async fn approve(surface: &Surface, narrator: &dyn Narrator) -> anyhow::Result<()> {
    narrator.step("Ask for approval");
    let launch = LaunchCampaignRequest { name: name("campaigns", ID), request_id: request_id() };
    let refusal =
        refused(async || surface.orchestrator.clone().launch_campaign(launch.clone()).await)
            .await?;
    narrator.fact(&format!(
        "launch without approval refused: {} ({})",
        refusal.message, refusal.reason
    ));
    let request = RequestApprovalRequest {
        campaign: name("campaigns", ID),
        action: approval::Action::Launch.into(),
        reason: "ready to go".to_owned(),
        request_id: request_id(),
        ..RequestApprovalRequest::default()
    };
    let approval =
        persist(async || surface.orchestrator.clone().request_approval(request.clone()).await)
            .await?;
    let summary = approval.summary.clone().unwrap_or_default();
    narrator.fact(&format!(
        "{} asks to write to {} contacts (void outside {} to {})",
        approval.proposer,
        summary.audience_count,
        summary.audience_min_count,
        summary.audience_max_count
    ));
    own_approval_is_refused(&approval, surface, narrator).await?;
    let approved = give(&approval, surface).await?;
    narrator.fact(&format!("{} approves what {} proposed", approved.decider, approved.proposer));
    Ok(())
}

async fn own_approval_is_refused(
    approval: &Approval,
    surface: &Surface,
    narrator: &dyn Narrator,
) -> anyhow::Result<()> {
    let request = approving(approval);
    let refusal =
        refused(async || surface.orchestrator.clone().approve_approval(request.clone()).await)
            .await?;
    narrator.fact(&format!("own approval refused: {} ({})", refusal.message, refusal.reason));
    Ok(())
}

/// Approves as the second person.
pub(crate) async fn give(approval: &Approval, surface: &Surface) -> anyhow::Result<Approval> {
    let request = approving(approval);
    persist(async || surface.approver.clone().approve_approval(request.clone()).await).await
}

fn approving(approval: &Approval) -> ApproveApprovalRequest {
    ApproveApprovalRequest {
        name: approval.name.clone(),
        digest: approval.digest.clone(),
        request_id: request_id(),
    }
}

pub(crate) async fn get(surface: &Surface) -> anyhow::Result<Campaign> {
    let request = GetCampaignRequest { name: name("campaigns", ID) };
    persist(async || surface.orchestrator.clone().get_campaign(request.clone()).await).await
}
