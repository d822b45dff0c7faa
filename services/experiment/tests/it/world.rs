//! What a test starts with: a database, a clock, the feeds of the peers, and one or more replicas of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use cursus_ambient::Ambient;
use cursus_api::delivery::{Outcome, WatchOutcomesRequest, WatchOutcomesResponse};
use cursus_api::experiment as proto;
use cursus_api::experiment::experiment_service_client::ExperimentServiceClient;
use cursus_api::segmentation::{Event, WatchEventsRequest, WatchEventsResponse};
use cursus_experiment::{Config, Experiment, MIGRATOR};
pub(crate) use cursus_testkit::clients::refused;
use cursus_testkit::clients::{self, Authorized, channel};
use cursus_testkit::fake::{Fake, Feed, Serving};
use cursus_testkit::host::Host;
use cursus_testkit::scratch::{self, Database};
pub(crate) use cursus_testkit::wait::until;
use tempfile::TempDir;
use tonic::Status;

pub(crate) const SPRING: &str = "workspaces/acme/experiments/spring";
pub(crate) const REQUEST_ID: &str = "0190f6a0-5f0c-7cc0-8d5e-3f6a2b1c0d9e";
pub(crate) const DAY: Duration = Duration::from_hours(24);

const EVERYBODY: [(&str, &[&str], &str); 7] = [
    ("ada", &["editor"], "acme"),
    ("grace", &["approver"], "acme"),
    ("edith", &["viewer"], "acme"),
    ("barbara", &["admin"], "acme"),
    ("orchestrator", &["service"], "*"),
    ("mallory", &["editor", "approver", "admin"], "elsewhere"),
    ("spy", &["service"], "elsewhere"),
];

pub(crate) type Client = ExperimentServiceClient<Authorized>;

/// Everything around the service.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) ambient: Ambient,
    pub(crate) outcomes: Arc<Feed<WatchOutcomesResponse>>,
    pub(crate) events: Arc<Feed<WatchEventsResponse>>,
    database_url: String,
    peers: Serving,
    settings: Vec<String>,
    files: TempDir,
}

/// A running service.
pub(crate) struct Replica {
    address: SocketAddr,
    host: Host,
}

impl World {
    /// In which nobody is followed, so that only what callers record counts.
    pub(crate) async fn new() -> Self {
        let (outcomes, events) = (Arc::<Feed<_>>::default(), Arc::<Feed<_>>::default());
        let peers = Fake::default()
            .feeds(
                "delivery.v1.DeliveryService/WatchOutcomes",
                &outcomes,
                |request: WatchOutcomesRequest| request.cursor,
            )
            .feeds(
                "segmentation.v1.SegmentationService/WatchEvents",
                &events,
                |request: WatchEventsRequest| request.cursor,
            );
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
        file("identities", &clients::identities(&EVERYBODY));
        file("token", "experiment-token");
        let database = scratch::database("experiment", &MIGRATOR).await.unwrap();
        Self {
            database_url: database.url.clone(),
            database,
            ambient: Ambient::manual(noon(), 1),
            outcomes,
            events,
            peers: peers.serve().await.unwrap(),
            settings: Vec::new(),
            files,
        }
    }

    /// In which delivery and segmentation are followed.
    pub(crate) async fn following() -> Self {
        let mut world = Self::new().await;
        let peer = format!("http://{}", world.peers.address);
        world.settings =
            vec![format!("--delivery-url={peer}"), format!("--segmentation-url={peer}")];
        world
    }

    /// On a database of its own choice.
    pub(crate) fn on(mut self, database_url: String) -> Self {
        self.database_url = database_url;
        self
    }

    pub(crate) async fn start(&self) -> Replica {
        let (config, ambient) = (self.config(), self.ambient.clone());
        let built = Host::build(move || Experiment::build(config, ambient)).await;
        let (mut host, experiment) = built.unwrap();
        let address = experiment.local_addr();
        host.run(|shutdown| experiment.run(shutdown));
        Replica { address, host }
    }

    /// What delivery tells, in one run.
    pub(crate) fn delivery_tells(&self, outcomes: Vec<Outcome>) {
        self.outcomes.tell(|cursor| WatchOutcomesResponse { outcomes, cursor });
    }

    /// What segmentation tells, in one run.
    pub(crate) fn segmentation_tells(&self, events: Vec<Event>) {
        self.events.tell(|cursor| WatchEventsResponse { events, cursor });
    }

    /// How many looks are kept.
    pub(crate) async fn looks(&self) -> i64 {
        let counting = sqlx::query_scalar("select count(*) from looks");
        counting.fetch_one(&self.database.pool).await.unwrap()
    }

    /// Waits until every monitor has gone round, so that what has not happened by then does not happen.
    pub(crate) async fn monitored(&self) {
        // At most this many queries are made of one experiment, and there is one.
        const ROUND: usize = 16;
        let asked: Mutex<BTreeMap<i32, BTreeSet<DateTime<Utc>>>> = Mutex::default();
        until("the monitors went round", async || {
            let queries: Vec<(i32, DateTime<Utc>)> = sqlx::query_as(
                "select pid, query_start from pg_stat_activity
                 where datname = current_database() and application_name like 'experiment.looks/_'
                     and query_start is not null",
            )
            .fetch_all(&self.database.pool)
            .await
            .unwrap();
            let mut asked = asked.lock().unwrap();
            // A session may be gone, and its monitor another's.
            asked.retain(|pid, _| queries.iter().any(|(present, _)| present == pid));
            for (pid, time) in queries {
                asked.entry(pid).or_default().insert(time);
            }
            let rounds: Vec<usize> = asked.values().map(BTreeSet::len).collect();
            if rounds.len() >= 4 && rounds.iter().all(|queries| *queries > ROUND) {
                Ok(())
            } else {
                Err(rounds)
            }
        })
        .await;
    }

    fn config(&self) -> Config {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        let mut arguments = vec![
            "cursus-experiment".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            format!("--identities-file={}", path("identities")),
            format!("--service-token-file={}", path("token")),
            format!("--database-url={}", self.database_url),
            "--database-connections=6".to_owned(),
        ];
        arguments.extend(self.settings.iter().cloned());
        Config::try_parse_from(arguments).unwrap()
    }
}

impl Replica {
    /// A client that is one of [`EVERYBODY`].
    pub(crate) fn client(&self, who: &str) -> Client {
        ExperimentServiceClient::new(channel(self.address, &format!("{who}-token")).unwrap())
            .max_decoding_message_size(16 << 20)
    }

    pub(crate) async fn create(
        &self,
        id: &str,
        design: proto::Design,
    ) -> Result<proto::Experiment, Status> {
        let request = create_request(id, design);
        Ok(self.client("ada").create_experiment(request).await?.into_inner())
    }

    /// Starts what was created, as it is.
    pub(crate) async fn launch(
        &self,
        drafted: &proto::Experiment,
    ) -> Result<proto::Experiment, Status> {
        let request = proto::StartExperimentRequest {
            name: drafted.name.clone(),
            design_digest: drafted.design_digest.clone(),
            request_id: String::new(),
        };
        Ok(self.client("orchestrator").start_experiment(request).await?.into_inner())
    }

    /// Spring, begun.
    pub(crate) async fn started(&self, design: proto::Design) -> proto::Experiment {
        let drafted = self.create("spring", design).await.unwrap();
        self.launch(&drafted).await.unwrap()
    }

    pub(crate) async fn get(&self) -> Result<proto::Experiment, Status> {
        let request = proto::GetExperimentRequest { name: SPRING.to_owned() };
        Ok(self.client("edith").get_experiment(request).await?.into_inner())
    }

    pub(crate) async fn assign(&self, ids: &[String]) -> Result<Vec<proto::Assignment>, Status> {
        let request = proto::AssignUnitsRequest {
            experiment: SPRING.to_owned(),
            units: ids.iter().map(|id| contact(id)).collect(),
            explain: false,
        };
        let answer = self.client("orchestrator").assign_units(request).await?;
        Ok(answer.into_inner().assignments)
    }

    /// Records exposures; how many were new.
    pub(crate) async fn expose(&self, exposures: Vec<proto::Exposure>) -> Result<i64, Status> {
        let request = proto::RecordExposuresRequest { experiment: SPRING.to_owned(), exposures };
        let answer = self.client("orchestrator").record_exposures(request).await?;
        Ok(answer.into_inner().recorded_count)
    }

    /// Records outcomes; how many were new.
    pub(crate) async fn record(&self, outcomes: Vec<proto::OutcomeEvent>) -> Result<i64, Status> {
        let request = proto::RecordOutcomesRequest { experiment: SPRING.to_owned(), outcomes };
        let answer = self.client("orchestrator").record_outcomes(request).await?;
        Ok(answer.into_inner().recorded_count)
    }

    pub(crate) async fn close(&self) -> Result<proto::Experiment, Status> {
        let request =
            proto::CloseExposureRequest { name: SPRING.to_owned(), request_id: String::new() };
        Ok(self.client("orchestrator").close_exposure(request).await?.into_inner())
    }

    pub(crate) async fn decide(&self, arm: &str) -> Result<proto::Experiment, Status> {
        let request = proto::DecideExperimentRequest {
            name: SPRING.to_owned(),
            arm: arm.to_owned(),
            ..proto::DecideExperimentRequest::default()
        };
        Ok(self.client("orchestrator").decide_experiment(request).await?.into_inner())
    }

    /// Decides by hand.
    pub(crate) async fn override_decision(
        &self,
        arm: &str,
        reason: &str,
    ) -> Result<proto::Experiment, Status> {
        let request = proto::OverrideDecisionRequest {
            name: SPRING.to_owned(),
            arm: arm.to_owned(),
            reason: reason.to_owned(),
            request_id: String::new(),
        };
        Ok(self.client("grace").override_decision(request).await?.into_inner())
    }

    pub(crate) async fn end(&self, reason: &str) -> Result<proto::Experiment, Status> {
        let request = proto::StopExperimentRequest {
            name: SPRING.to_owned(),
            reason: reason.to_owned(),
            request_id: String::new(),
        };
        Ok(self.client("ada").stop_experiment(request).await?.into_inner())
    }

    pub(crate) async fn extend(
        &self,
        deadline: DateTime<Utc>,
    ) -> Result<proto::Experiment, Status> {
        let request = proto::ExtendExperimentRequest {
            name: SPRING.to_owned(),
            deadline: Some(moment(deadline)),
            reason: "a holiday".to_owned(),
            request_id: String::new(),
        };
        Ok(self.client("grace").extend_experiment(request).await?.into_inner())
    }

    /// All looks that were taken.
    pub(crate) async fn listed_looks(&self) -> Vec<proto::Look> {
        let request = proto::ListLooksRequest { parent: SPRING.to_owned(), ..Default::default() };
        self.client("edith").list_looks(request).await.unwrap().into_inner().looks
    }

    /// All that was done.
    pub(crate) async fn audit(&self) -> Vec<proto::AuditEntry> {
        let parent = SPRING.to_owned();
        let request = proto::ListAuditEntriesRequest { parent, ..Default::default() };
        self.client("edith").list_audit_entries(request).await.unwrap().into_inner().entries
    }

    /// Judges outcomes anew; how many words were later than what was known.
    pub(crate) async fn reclassify(
        &self,
        reclassifications: Vec<proto::Reclassification>,
    ) -> Result<i64, Status> {
        let experiment = SPRING.to_owned();
        let request = proto::ReclassifyOutcomesRequest { experiment, reclassifications };
        let answer = self.client("orchestrator").reclassify_outcomes(request).await?;
        Ok(answer.into_inner().recorded_count)
    }

    pub(crate) async fn results(&self) -> proto::Results {
        let request = proto::GetResultsRequest { name: SPRING.to_owned() };
        self.client("edith").get_results(request).await.unwrap().into_inner()
    }

    pub(crate) async fn verdict(&self) -> proto::Verdict {
        self.results().await.verdict.unwrap()
    }

    /// What was counted of a metric for an arm; the holdout's is empty.
    pub(crate) async fn counted(&self, arm: &str, metric: usize) -> proto::MetricResult {
        let results = self.results().await;
        let found = results.arms.into_iter().find(|it| it.arm == arm).unwrap();
        found.metrics.into_iter().nth(metric).unwrap()
    }

    /// The experiment, once it is in a state.
    pub(crate) async fn reaches(&self, state: proto::experiment::State) -> proto::Experiment {
        until(&format!("{state:?}"), async || {
            let experiment = self.get().await.unwrap();
            if experiment.state() == state { Ok(experiment) } else { Err(experiment.state()) }
        })
        .await
    }

    /// The verdict, once so many looks were taken.
    pub(crate) async fn looked(&self, count: i32) -> proto::Verdict {
        until(&format!("{count} looks"), async || {
            let verdict = self.verdict().await;
            if verdict.look_count >= count { Ok(verdict) } else { Err(verdict) }
        })
        .await
    }

    /// Exposes so many contacts to each of arms `a` and `b`, of which the first so many visit half an hour later.
    pub(crate) async fn visits(&self, now: DateTime<Utc>, units: usize, visitors: [usize; 2]) {
        let mut exposures = Vec::new();
        let mut outcomes = Vec::new();
        for (arm, visitors) in ["a", "b"].into_iter().zip(visitors) {
            let ids = || (0..units).map(|number| format!("{arm}{number}"));
            exposures.extend(ids().map(|id| exposure(&id, arm, now)));
            let visit =
                |id: String| outcome(&format!("visit-{id}"), &id, "site.visited", now + HALF_HOUR);
            outcomes.extend(ids().take(visitors).map(visit));
        }
        self.expose(exposures).await.unwrap();
        self.record(outcomes).await.unwrap();
    }

    /// Ends it as a `kill -9` would.
    pub(crate) fn kill(self) {
        self.host.kill();
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.host.stop().await.unwrap();
    }
}

pub(crate) const HALF_HOUR: TimeDelta = TimeDelta::minutes(30);

/// When tests begin.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-09-21T12:00:00Z".parse().unwrap()
}

pub(crate) fn moment(time: DateTime<Utc>) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap();
    prost_types::Timestamp { seconds: time.timestamp(), nanos }
}

pub(crate) fn hours(hours: i64) -> prost_types::Duration {
    prost_types::Duration { seconds: hours * 3_600, nanos: 0 }
}

pub(crate) fn contact(id: &str) -> String {
    format!("workspaces/acme/contacts/{id}")
}

pub(crate) fn arm(id: &str, weight: f64) -> proto::Arm {
    proto::Arm { arm_id: id.to_owned(), display_name: String::new(), weight }
}

/// Two arms; visits decide, and revenue is shown beside them.
pub(crate) fn design() -> proto::Design {
    let metric = |id: &str, kind: proto::metric::Kind, event: &str, property: &str| proto::Metric {
        metric_id: id.to_owned(),
        kind: kind.into(),
        events: vec![event.to_owned()],
        property: property.to_owned(),
        window: Some(hours(14 * 24)),
        ..proto::Metric::default()
    };
    proto::Design {
        arms: vec![arm("a", 1.0), arm("b", 1.0)],
        test_share: 1.0,
        metrics: vec![
            metric("visits", proto::metric::Kind::Conversion, "site.visited", ""),
            metric("revenue", proto::metric::Kind::Revenue, "purchase", "amount"),
        ],
        decision_window: Some(hours(24)),
        ..proto::Design::default()
    }
}

pub(crate) fn create_request(id: &str, design: proto::Design) -> proto::CreateExperimentRequest {
    proto::CreateExperimentRequest {
        parent: "workspaces/acme".to_owned(),
        experiment_id: id.to_owned(),
        experiment: Some(proto::Experiment {
            display_name: "Spring".to_owned(),
            design: Some(design),
            ..proto::Experiment::default()
        }),
        request_id: String::new(),
    }
}

/// A way to make a message malformed.
pub(crate) type Fault<M> = fn(&mut M);

/// Of the holdout where the arm is empty.
pub(crate) fn exposure(id: &str, arm: &str, time: DateTime<Utc>) -> proto::Exposure {
    proto::Exposure {
        unit: contact(id),
        arm: arm.to_owned(),
        exposure_time: Some(moment(time)),
        ..proto::Exposure::default()
    }
}

/// What a person did.
pub(crate) fn outcome(
    outcome_id: &str,
    id: &str,
    event: &str,
    time: DateTime<Utc>,
) -> proto::OutcomeEvent {
    proto::OutcomeEvent {
        outcome_id: outcome_id.to_owned(),
        unit: contact(id),
        event: event.to_owned(),
        outcome_time: Some(moment(time)),
        human: true,
        ..proto::OutcomeEvent::default()
    }
}

/// What a person paid.
pub(crate) fn purchase(
    outcome_id: &str,
    id: &str,
    amount: f64,
    time: DateTime<Utc>,
) -> proto::OutcomeEvent {
    let values = [("amount".to_owned(), amount)].into();
    proto::OutcomeEvent { values, ..outcome(outcome_id, id, "purchase", time) }
}
