//! The other services, reduced to what delivery asks of them and played by one server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use cursus_api::content::{
    GetTemplateVersionRequest, RenderMessagesRequest, RenderMessagesResponse, RenderedMessage,
    TemplateVersion,
};
use cursus_api::experiment::assignment::Group;
use cursus_api::experiment::{AssignUnitsRequest, AssignUnitsResponse, Assignment};
use cursus_api::orchestrator::approval::{Action, State as ApprovalState};
use cursus_api::orchestrator::{
    Approval, ApprovalSummary, GetApprovalRequest, PromotionPolicy, VariantSummary,
};
use cursus_api::segmentation::{
    GetSnapshotRequest, ListSnapshotMembersRequest, ListSnapshotMembersResponse, Snapshot,
    SnapshotMember,
};
use cursus_testkit::fake::{Fake, Serving};
use tonic::Status;

pub(crate) const LINKS: [&str; 2] =
    ["https://shop.example/spring", "https://shop.example/terms?a=1&b=2"];
pub(crate) const LABELS: [&str; 2] =
    ["workspaces/acme/segments/vip", "workspaces/acme/segments/german"];
pub(crate) const LAUNCH: &str = "workspaces/acme/approvals/launch";
pub(crate) const PROMOTE: &str = "workspaces/acme/approvals/promote";
pub(crate) const DIGEST: [u8; 32] = [7; 32];

/// What the peers say; a test may change it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) members: Vec<SnapshotMember>,
    pub(crate) page_size: usize,
    pub(crate) approvals: BTreeMap<String, Approval>,
    /// Content answers that it is not available.
    pub(crate) content_is_down: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Peers {
    script: Arc<Mutex<Script>>,
    pub(crate) address: SocketAddr,
    _serving: Arc<Serving>,
}

impl Peers {
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script {
            members: Vec::new(),
            page_size: 1_000,
            approvals: [launch(), promote()].map(|it| (it.name.clone(), it)).into(),
            content_is_down: false,
        }));
        let serving = fake(&script).serve().await.unwrap();
        Self { script, address: serving.address, _serving: Arc::new(serving) }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Who is in the audience: ids that begin with `out` are held out, with `held` are the remainder, and the others are in
    /// the test, those that end with an odd digit in arm `b`.
    pub(crate) fn audience(&self, ids: impl IntoIterator<Item = String>) {
        self.script().members =
            ids.into_iter().map(|id| member(&id, &format!("{id}@example.com"))).collect();
    }
}

pub(crate) fn member(id: &str, email: &str) -> SnapshotMember {
    let contact = format!("workspaces/acme/contacts/{id}");
    SnapshotMember { contact, email: email.to_owned(), labels: vec![1] }
}

pub(crate) fn launch() -> Approval {
    let variant = |arm: &str, version: u32| VariantSummary {
        arm: arm.to_owned(),
        template_version: format!("workspaces/acme/templates/spring/versions/{version}"),
        ..VariantSummary::default()
    };
    Approval {
        name: LAUNCH.to_owned(),
        campaign: "workspaces/acme/campaigns/spring".to_owned(),
        action: Action::Launch.into(),
        digest: DIGEST.to_vec(),
        state: ApprovalState::Approved.into(),
        summary: Some(ApprovalSummary {
            variants: vec![variant("a", 1), variant("b", 2)],
            sender: "Acme <news@acme.example>".to_owned(),
            promotion_policy: PromotionPolicy::Ask.into(),
            ..ApprovalSummary::default()
        }),
        ..Approval::default()
    }
}

pub(crate) fn promote() -> Approval {
    Approval {
        name: PROMOTE.to_owned(),
        campaign: "workspaces/acme/campaigns/spring".to_owned(),
        action: Action::Promote.into(),
        arm: "b".to_owned(),
        state: ApprovalState::Approved.into(),
        ..Approval::default()
    }
}

fn fake(script: &Arc<Mutex<Script>>) -> Fake {
    let its = || Arc::clone(script);
    let (snapshot, members, messages, approvals) = (its(), its(), its(), its());
    Fake::default()
        .on("segmentation.v1.SegmentationService/GetSnapshot", move |r| {
            Ok(get_snapshot(&snapshot.lock().unwrap(), r))
        })
        .on("segmentation.v1.SegmentationService/ListSnapshotMembers", move |r| {
            Ok(list_members(&members.lock().unwrap(), &r))
        })
        .on("experiment.v1.ExperimentService/AssignUnits", |r| Ok(assign_units(r)))
        .on("content.v1.ContentService/GetTemplateVersion", |r: GetTemplateVersionRequest| {
            let links = LINKS.map(str::to_owned).to_vec();
            Ok(TemplateVersion { name: r.name, links, ..TemplateVersion::default() })
        })
        .on("content.v1.ContentService/RenderMessages", move |r| {
            render_messages(&messages.lock().unwrap(), r)
        })
        .on("orchestrator.v1.OrchestratorService/GetApproval", move |r: GetApprovalRequest| {
            let found = approvals.lock().unwrap().approvals.get(&r.name).cloned();
            found.ok_or_else(|| Status::not_found("no such approval"))
        })
}

fn get_snapshot(script: &Script, request: GetSnapshotRequest) -> Snapshot {
    let member_count = i64::try_from(script.members.len()).unwrap();
    let labels = LABELS.map(str::to_owned).to_vec();
    Snapshot { name: request.name, member_count, labels, ..Snapshot::default() }
}

fn list_members(
    script: &Script,
    request: &ListSnapshotMembersRequest,
) -> ListSnapshotMembersResponse {
    let start: usize = request.page_token.parse().unwrap_or(0);
    let end = script.members.len().min(start + script.page_size);
    let next_page_token = if end == script.members.len() { String::new() } else { end.to_string() };
    let members = script.members[start..end].to_vec();
    ListSnapshotMembersResponse { members, next_page_token }
}

fn assign_units(request: AssignUnitsRequest) -> AssignUnitsResponse {
    let assign = |unit: String| {
        let id = unit.rsplit('/').next().unwrap();
        let (group, arm) = match id {
            _ if id.starts_with("out") => (Group::Holdout, ""),
            _ if id.starts_with("held") => (Group::Remainder, ""),
            _ if id.ends_with(['1', '3', '5', '7', '9']) => (Group::Test, "b"),
            _ => (Group::Test, "a"),
        };
        Assignment { group: group.into(), arm: arm.to_owned(), unit, ..Assignment::default() }
    };
    AssignUnitsResponse { assignments: request.units.into_iter().map(assign).collect() }
}

fn render_messages(
    script: &Script,
    request: RenderMessagesRequest,
) -> Result<RenderMessagesResponse, Status> {
    if script.content_is_down {
        return Err(Status::unavailable("content is down"));
    }
    let render = |recipient: cursus_api::content::Recipient| {
        let id = recipient.contact.rsplit('/').next().unwrap().to_owned();
        if id.starts_with("erased") {
            return RenderedMessage {
                contact: recipient.contact,
                failure_reason: "NO_SUCH_CONTACT".to_owned(),
                ..RenderedMessage::default()
            };
        }
        let links: Vec<String> =
            recipient.link_urls.iter().map(|url| format!("<a href=\"{url}\">go</a>\n")).collect();
        let html = format!(
            "<p>Hello {id}</p>\n{}<img src=\"{}\">\n<a href=\"{}\">Unsubscribe</a>\n",
            links.concat(),
            recipient.open_pixel_url,
            recipient.unsubscribe_url,
        );
        RenderedMessage {
            contact: recipient.contact,
            subject: format!("Spring, {id}"),
            html,
            text: format!("Hello {id}\n"),
            ..RenderedMessage::default()
        }
    };
    let messages = request.recipients.into_iter().map(render).collect();
    Ok(RenderMessagesResponse { messages })
}
