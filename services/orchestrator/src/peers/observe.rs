//! Gathers what an approver judges: everything that decides who gets which message, as it is now.

use cursus_api::content::{GetTemplateVersionRequest, Recipient, RenderMessagesRequest};
use cursus_api::delivery::{GetSenderRequest, Sender};
use cursus_api::experiment::{self, Arm, Design, Experiment, Metric, metric};
use cursus_api::orchestrator::{
    ApprovalSummary, PromotionPolicy, RenderedSample, SegmentSummary, VariantSummary,
};
use cursus_api::segmentation::{
    All, Any, Contact, GetSegmentRequest, PreviewSegmentRequest, PreviewSegmentResponse, Rule, rule,
};
use cursus_ids::SegmentName;
use futures::future::try_join_all;
use prost_types::{Duration, Timestamp};

use super::{Error, Peers, answered};
use crate::approval::band;
use crate::campaign::{self, Campaign, Plan, Variant};

/// Contacts looked at, of which [`SAMPLES`] are rendered.
const LOOKED_AT: i32 = 20;
const SAMPLES: usize = 3;
/// Where the samples' unsubscribe link points: nobody can be unsubscribed by reading an approval.
const NOWHERE: &str = "https://unsubscribe.invalid/";
const TWO_WEEKS: Duration = Duration { seconds: 14 * 24 * 3600, nanos: 0 };

impl Peers {
    /// What the approval of a launch would cover.
    pub(crate) async fn observe(&self, campaign: &Campaign) -> Result<ApprovalSummary, Error> {
        let plan = &campaign.plan;
        let uses: Vec<_> = plan.segments().collect();
        let (segments, experiment, sender) = tokio::try_join!(
            try_join_all(uses.iter().map(|(name, usage)| self.segment(name, usage))),
            self.ready_experiment(campaign),
            self.sender(plan),
        )?;
        let preview = self.preview(campaign, &segments).await?;
        let samples = samples(preview.sample);
        let variants = plan.variants.iter().map(|variant| self.variant(variant, &samples));
        let variants = try_join_all(variants).await?;
        let (least, most) = band(preview.member_count, plan.audience_tolerance);
        Ok(ApprovalSummary {
            audience_count: preview.member_count,
            audience_min_count: least,
            audience_max_count: most,
            segments: segments.into_iter().map(|(summary, _)| summary).collect(),
            variants,
            design: experiment.design,
            design_digest: experiment.design_digest,
            sender: format!("{} <{}>", sender.display_name, sender.address),
            schedule_time: plan.schedule_time.map(|time| Timestamp {
                seconds: time.timestamp(),
                nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            promotion_policy: match plan.promotion_policy {
                campaign::PromotionPolicy::Ask => PromotionPolicy::Ask,
                campaign::PromotionPolicy::SignificantWinner => PromotionPolicy::SignificantWinner,
            }
            .into(),
            verdict: None,
        })
    }

    async fn segment(
        &self,
        name: &SegmentName,
        usage: &str,
    ) -> Result<(SegmentSummary, Rule), Error> {
        let request = GetSegmentRequest { name: name.to_string() };
        let answer = self.segmentation.clone().get_segment(request).await;
        let segment = answered("segmentation", "audience", answer)?;
        let summary = SegmentSummary {
            segment: segment.name,
            revision: segment.revision,
            rule_text: segment.rule_text,
            r#use: usage.to_owned(),
        };
        Ok((summary, segment.rule.unwrap_or_default()))
    }

    /// Counts the audience with one rule made of its segments' rules.
    async fn preview(
        &self,
        campaign: &Campaign,
        segments: &[(SegmentSummary, Rule)],
    ) -> Result<PreviewSegmentResponse, Error> {
        let used = |usage: &str| {
            let used = segments.iter().filter(|(summary, _)| summary.r#use == usage);
            let rules = used.map(|(_, rule)| rule.clone()).collect();
            Rule { kind: Some(rule::Kind::Any(Any { rules })) }
        };
        let mut rules = vec![used("include")];
        if !campaign.plan.exclude.is_empty() {
            rules.push(Rule { kind: Some(rule::Kind::Not(Box::new(used("exclude")))) });
        }
        let request = PreviewSegmentRequest {
            parent: campaign.name.workspace.name(),
            rule: Some(Rule { kind: Some(rule::Kind::All(All { rules })) }),
            sample_size: LOOKED_AT,
            rule_text: String::new(),
        };
        let answer = self.segmentation.clone().preview_segment(request).await;
        answered("segmentation", "audience", answer)
    }

    async fn variant(
        &self,
        variant: &Variant,
        samples: &[Contact],
    ) -> Result<VariantSummary, Error> {
        let name = variant.template_version.to_string();
        let field = || format!("variants[{}].template_version", variant.arm);
        let request = GetTemplateVersionRequest { name: name.clone() };
        let version =
            answered("content", field(), self.content.clone().get_template_version(request).await)?;
        let recipients = samples.iter().map(|contact| Recipient {
            contact: contact.name.clone(),
            unsubscribe_url: NOWHERE.to_owned(),
            ..Recipient::default()
        });
        let request = RenderMessagesRequest {
            template_version: name.clone(),
            recipients: recipients.collect(),
        };
        let rendered =
            answered("content", field(), self.content.clone().render_messages(request).await)?;
        if let Some(failed) = rendered.messages.iter().find(|it| !it.failure_reason.is_empty()) {
            let why =
                format!("`{}` cannot be rendered: {}", failed.contact, failed.failure_message);
            return Err(Error::NotReady { field: field(), why });
        }
        let samples = rendered.messages.into_iter().map(|message| RenderedSample {
            contact: message.contact,
            subject: message.subject,
            html: message.html,
            text: message.text,
        });
        Ok(VariantSummary {
            arm: variant.arm.to_string(),
            template_version: name,
            template_digest: version.digest,
            samples: samples.collect(),
        })
    }

    /// The experiment, if it can still be started, has an arm for each variant and is meant for an audience that is there.
    async fn ready_experiment(&self, campaign: &Campaign) -> Result<Experiment, Error> {
        let experiment = self.experiment(&campaign.experiment()).await?;
        let not_ready = |why: String| Error::NotReady { field: "experiment".to_owned(), why };
        // While a launch is repeated after a crash the experiment may be running already, as approved.
        if experiment.state() != experiment::experiment::State::Draft
            && campaign.launch_time.is_none()
        {
            return Err(not_ready(format!("`{}` was started already", experiment.name)));
        }
        let design = experiment.design.clone().unwrap_or_default();
        if design.bandit.is_some() {
            let why = "a bandit learns nothing from a campaign, whose audience is divided at once: test a share of it";
            return Err(not_ready(why.to_owned()));
        }
        let mut arms: Vec<_> = design.arms.iter().map(|arm| arm.arm_id.as_str()).collect();
        let mut used: Vec<_> = campaign.plan.variants.iter().map(|it| it.arm.as_ref()).collect();
        arms.sort_unstable();
        used.sort_unstable();
        if arms != used {
            return Err(not_ready(format!(
                "its arms are {}, and the variants' are {}: they must be the same",
                arms.join(", "),
                used.join(", ")
            )));
        }
        Ok(experiment)
    }

    async fn sender(&self, plan: &Plan) -> Result<Sender, Error> {
        let request = GetSenderRequest { name: plan.sender.to_string() };
        answered("delivery", "sender", self.delivery.clone().get_sender(request).await)
    }
}

/// Some contacts, the one about whom the least is known among them.
fn samples(mut contacts: Vec<Contact>) -> Vec<Contact> {
    contacts.sort_by_key(|contact| contact.attributes.len());
    contacts.truncate(SAMPLES);
    contacts
}

/// How a campaign of one variant is measured: always the same, so that asking for it again changes nothing.
pub(super) fn own_experiment(campaign: &Campaign) -> Experiment {
    let metric = |id: &str, display_name: &str, event: &str| Metric {
        metric_id: id.to_owned(),
        display_name: display_name.to_owned(),
        kind: metric::Kind::Conversion.into(),
        events: vec![event.to_owned()],
        window: Some(TWO_WEEKS),
        ..Metric::default()
    };
    let only = campaign::ONLY_ARM.to_owned();
    Experiment {
        display_name: campaign.name.to_string(),
        design: Some(Design {
            arms: vec![Arm { arm_id: only.clone(), display_name: only, weight: 1.0 }],
            test_share: 1.0,
            metrics: vec![
                metric("click", "Clicks", "email.clicked"),
                metric("open", "Opens", "email.opened"),
                metric("unsubscribe", "Unsubscriptions", "email.unsubscribed"),
            ],
            decision_window: Some(Duration { seconds: 1, nanos: 0 }),
            ..Design::default()
        }),
        ..Experiment::default()
    }
}
