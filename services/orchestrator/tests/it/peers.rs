//! The other services, reduced to what the orchestrator asks of them and played by one server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use cursus_api::content::{
    GetTemplateVersionRequest, RenderMessagesRequest, RenderMessagesResponse, RenderedMessage,
    TemplateVersion,
};
use cursus_api::delivery::{
    Broadcast, CancelBroadcastRequest, CreateBroadcastRequest, GetBroadcastRequest,
    GetSenderRequest, Ledger, PauseBroadcastRequest, ReleaseBroadcastRequest,
    ResumeBroadcastRequest, Sender, broadcast,
};
use cursus_api::experiment::{
    Arm, Bandit, CloseExposureRequest, CreateExperimentRequest, DecideExperimentRequest, Design,
    Experiment, GetExperimentRequest, GetResultsRequest, Results, StartExperimentRequest, Verdict,
    experiment, verdict,
};
use cursus_api::segmentation::{
    Contact, CreateSnapshotRequest, GetSegmentRequest, PreviewSegmentRequest,
    PreviewSegmentResponse, Segment, Snapshot,
};
use cursus_testkit::fake::{Fake, Serving};
use tonic::Status;

/// What the peers say; a test may change it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) audience: i64,
    pub(crate) revision: i64,
    pub(crate) arms: Vec<&'static str>,
    pub(crate) verdict: Verdict,
    pub(crate) held: i64,
    pub(crate) broadcast: Option<Broadcast>,
    pub(crate) experiment: experiment::State,
    pub(crate) bandit: Option<Bandit>,
    /// Every effect asked for, with its request id: how often.
    pub(crate) effects: BTreeMap<(&'static str, String), u32>,
    /// The next calls of these methods do what was asked and then fail, as a lost answer does.
    pub(crate) lost_answers: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Peers {
    script: Arc<Mutex<Script>>,
    pub(crate) server: Arc<Serving>,
}

impl Script {
    /// Notes an effect; it happens once for a request id.
    fn effect(&mut self, method: &'static str, request_id: &str) -> bool {
        let times = self.effects.entry((method, request_id.to_owned())).or_default();
        *times += 1;
        *times == 1
    }

    /// Whether this answer gets lost.
    fn answer<T>(&mut self, method: &'static str, answer: T) -> Result<T, Status> {
        match self.lost_answers.iter().position(|lost| *lost == method) {
            Some(index) => {
                self.lost_answers.remove(index);
                Err(Status::data_loss("the answer was lost"))
            }
            None => Ok(answer),
        }
    }

    /// How many different requests were made of a method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.effects.keys().filter(|(name, _)| *name == method).count()
    }

    fn broadcast_in(&mut self, state: broadcast::State) -> Result<Broadcast, Status> {
        let broadcast = self.broadcast.as_mut().ok_or_else(|| Status::not_found("no broadcast"))?;
        broadcast.set_state(state);
        Ok(broadcast.clone())
    }

    fn experiment(&self, name: String) -> Experiment {
        let arms = self.arms.iter().map(|arm| Arm {
            arm_id: (*arm).to_owned(),
            display_name: (*arm).to_owned(),
            weight: 1.0,
        });
        Experiment {
            name,
            design: Some(Design {
                arms: arms.collect(),
                test_share: if self.arms.len() > 1 { 0.5 } else { 1.0 },
                bandit: self.bandit,
                ..Design::default()
            }),
            design_digest: vec![9; 32],
            state: self.experiment.into(),
            ..Experiment::default()
        }
    }
}

pub(crate) fn verdict(action: verdict::Action, arm: &str, is_final: bool) -> Verdict {
    Verdict {
        action: action.into(),
        reason_code: "TESTED".to_owned(),
        reason_text: "so say the data".to_owned(),
        arm: arm.to_owned(),
        r#final: is_final,
        ..Verdict::default()
    }
}

impl Peers {
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script {
            audience: 1_000,
            revision: 1,
            arms: vec!["a", "b"],
            verdict: verdict(verdict::Action::Continue, "", false),
            held: 500,
            broadcast: None,
            experiment: experiment::State::Draft,
            bandit: None,
            effects: BTreeMap::new(),
            lost_answers: Vec::new(),
        }));
        let fake = delivery(
            experiments(segmentation_and_content(Fake::default(), &script), &script),
            &script,
        );
        Self { script, server: Arc::new(fake.serve().await.unwrap()) }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

fn segmentation_and_content(fake: Fake, script: &Arc<Mutex<Script>>) -> Fake {
    let (one, two, three) = (script.clone(), script.clone(), script.clone());
    fake.on("segmentation.v1.SegmentationService/GetSegment", move |r: GetSegmentRequest| {
        let revision = one.lock().unwrap().revision;
        Ok(Segment { name: r.name, revision, rule_text: "true".to_owned(), ..Segment::default() })
    })
    .on("segmentation.v1.SegmentationService/PreviewSegment", move |_: PreviewSegmentRequest| {
        let member_count = two.lock().unwrap().audience;
        let name = "workspaces/acme/contacts/c1".to_owned();
        let sample = vec![Contact { name, ..Contact::default() }];
        Ok(PreviewSegmentResponse { member_count, sample, ..PreviewSegmentResponse::default() })
    })
    .on("segmentation.v1.SegmentationService/CreateSnapshot", move |r: CreateSnapshotRequest| {
        let mut script = three.lock().unwrap();
        script.effect("CreateSnapshot", &r.request_id);
        let asked = r.snapshot.unwrap_or_default();
        let segments = asked.audience.map_or(0, |it| it.include.len() + it.exclude.len());
        let answer = Snapshot {
            name: format!("{}/snapshots/{}", r.parent, r.snapshot_id),
            member_count: script.audience,
            revisions: vec![script.revision; segments + asked.labels.len()],
            ..Snapshot::default()
        };
        script.answer("CreateSnapshot", answer)
    })
    .on("content.v1.ContentService/GetTemplateVersion", |r: GetTemplateVersionRequest| {
        Ok(TemplateVersion { name: r.name, digest: vec![5; 32], ..TemplateVersion::default() })
    })
    .on("content.v1.ContentService/RenderMessages", |r: RenderMessagesRequest| {
        let messages = r.recipients.into_iter().map(|recipient| RenderedMessage {
            contact: recipient.contact,
            subject: "Hello".to_owned(),
            ..RenderedMessage::default()
        });
        Ok(RenderMessagesResponse { messages: messages.collect() })
    })
}

fn experiments(fake: Fake, script: &Arc<Mutex<Script>>) -> Fake {
    const SERVICE: &str = "experiment.v1.ExperimentService";
    let its = || script.clone();
    let (create, get, start, close, results, decide) = (its(), its(), its(), its(), its(), its());
    fake.on(&format!("{SERVICE}/CreateExperiment"), move |r: CreateExperimentRequest| {
        let mut script = create.lock().unwrap();
        script.effect("CreateExperiment", &r.request_id);
        Ok(script.experiment(format!("{}/experiments/{}", r.parent, r.experiment_id)))
    })
    .on(&format!("{SERVICE}/GetExperiment"), move |r: GetExperimentRequest| {
        Ok(get.lock().unwrap().experiment(r.name))
    })
    .on(&format!("{SERVICE}/StartExperiment"), move |r: StartExperimentRequest| {
        let mut script = start.lock().unwrap();
        if script.effect("StartExperiment", &r.request_id) {
            script.experiment = experiment::State::Running;
        }
        let answer = script.experiment(r.name);
        script.answer("StartExperiment", answer)
    })
    .on(&format!("{SERVICE}/CloseExposure"), move |r: CloseExposureRequest| {
        let mut script = close.lock().unwrap();
        script.effect("CloseExposure", &r.request_id);
        let answer = script.experiment(r.name);
        script.answer("CloseExposure", answer)
    })
    .on(&format!("{SERVICE}/GetResults"), move |r: GetResultsRequest| {
        let verdict = Some(results.lock().unwrap().verdict.clone());
        Ok(Results { experiment: r.name, verdict, ..Results::default() })
    })
    .on(&format!("{SERVICE}/DecideExperiment"), move |r: DecideExperimentRequest| {
        let mut script = decide.lock().unwrap();
        script.effect("DecideExperiment", &r.request_id);
        let answer = script.experiment(r.name);
        script.answer("DecideExperiment", answer)
    })
}

fn delivery(fake: Fake, script: &Arc<Mutex<Script>>) -> Fake {
    const SERVICE: &str = "delivery.v1.DeliveryService";
    use broadcast::State;
    let its = || script.clone();
    let (create, get, pause, resume, cancel, release) = (its(), its(), its(), its(), its(), its());
    fake.on(&format!("{SERVICE}/GetSender"), |r: GetSenderRequest| {
        let address = "news@acme.example".to_owned();
        Ok(Sender { name: r.name, display_name: "Acme".to_owned(), address, ..Sender::default() })
    })
    .on(&format!("{SERVICE}/CreateBroadcast"), move |r: CreateBroadcastRequest| {
        let mut script = create.lock().unwrap();
        if script.effect("CreateBroadcast", &r.request_id) {
            let ledger = Ledger { held_count: script.held, ..Ledger::default() };
            let name = format!("{}/broadcasts/{}", r.parent, r.broadcast_id);
            let asked = r.broadcast.unwrap_or_default();
            let broadcast = Broadcast { name, ledger: Some(ledger), ..asked };
            script.broadcast = Some(broadcast);
        }
        let answer = script.broadcast_in(State::Sending)?;
        script.answer("CreateBroadcast", answer)
    })
    .on(&format!("{SERVICE}/GetBroadcast"), move |_: GetBroadcastRequest| {
        let script = get.lock().unwrap();
        script.broadcast.clone().ok_or_else(|| Status::not_found("no broadcast"))
    })
    .on(&format!("{SERVICE}/PauseBroadcast"), move |_: PauseBroadcastRequest| {
        pause.lock().unwrap().broadcast_in(State::Paused)
    })
    .on(&format!("{SERVICE}/ResumeBroadcast"), move |_: ResumeBroadcastRequest| {
        resume.lock().unwrap().broadcast_in(State::Sending)
    })
    .on(&format!("{SERVICE}/CancelBroadcast"), move |_: CancelBroadcastRequest| {
        cancel.lock().unwrap().broadcast_in(State::Cancelled)
    })
    .on(&format!("{SERVICE}/ReleaseBroadcast"), move |r: ReleaseBroadcastRequest| {
        let mut script = release.lock().unwrap();
        script.effect("ReleaseBroadcast", &r.request_id);
        let broadcast = script.broadcast.as_mut().ok_or_else(|| Status::not_found("none"))?;
        broadcast.released_arm = r.arm;
        broadcast.ledger = Some(Ledger::default());
        let answer = script.broadcast_in(State::Sending)?;
        script.answer("ReleaseBroadcast", answer)
    })
}
