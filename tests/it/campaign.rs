//! The main job by five processes: alone, on real data, and while they are killed.

use std::path::PathBuf;

use cursus_demo::{Narrator, Outcome, Surface, Tokens, World};
use cursus_testkit::cluster::{ADMIN, APPROVER, Cluster, EDITOR, Service};
use cursus_testkit::sink::Sink;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;

use crate::cluster;

/// Passes on that something has happened, so that a test can act at that moment.
pub(crate) struct Moments(mpsc::Sender<()>);

impl Moments {
    pub(crate) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    fn pass(&self) {
        // Nobody may be waiting for this one, or still be busy with the last.
        let _ = self.0.try_send(());
    }
}

impl Narrator for Moments {
    fn step(&self, _: &str) {
        self.pass();
    }

    fn fact(&self, _: &str) {
        self.pass();
    }

    fn progress(&self, _: &str) {
        self.pass();
    }
}

pub(crate) fn surface(cluster: &Cluster) -> Surface {
    let token = |subject| cluster.token(subject).unwrap().to_owned();
    let tokens = Tokens { editor: token(EDITOR), approver: token(APPROVER), admin: token(ADMIN) };
    Surface::new(Service::ALL.map(|service| cluster.address(service)), &tokens).unwrap()
}

fn accepted(outcome: &Outcome) -> i64 {
    outcome.report.ledger.as_ref().unwrap().accepted_count
}

#[tokio::test]
async fn a_campaign_goes_from_import_to_a_report_that_is_what_people_did() {
    let world = World::synthetic(2, 1_500);
    let sink = cursus_demo::sink(&world).await.unwrap();
    let cluster = cluster::start(&sink).await;
    let (moments, _) = Moments::new();
    let outcome = cursus_demo::run(&world, &surface(&cluster), &sink, &moments).await.unwrap();
    let ledger = outcome.report.ledger.unwrap();
    assert_eq!(ledger.ambiguous_count, 0);
    assert!(ledger.holdout_count > 0);
    assert_eq!(ledger.failed_counts.values().sum::<i64>(), 2, "{ledger:?}");
    assert_eq!(ledger.suppressed_counts.values().sum::<i64>(), 3, "{ledger:?}");
}

#[tokio::test]
async fn the_report_on_real_customers_is_exact() {
    let Some(data) = std::env::var_os("CURSUS_DATA").map(PathBuf::from) else {
        eprintln!("skipped: CURSUS_DATA does not name a folder with `hillstrom/hillstrom.csv`");
        return;
    };
    let world = World::hillstrom(&data.join("hillstrom")).unwrap();
    let sink = Sink::start().await.unwrap();
    let cluster = cluster::start(&sink).await;
    let (moments, _) = Moments::new();
    let outcome = cursus_demo::run(&world, &surface(&cluster), &sink, &moments).await.unwrap();
    assert_eq!((accepted(&outcome), outcome.mailed), (42_694, 42_694));
    // The challenge's own figures: visits, conversions and spend of each arm and of the holdout.
    let results = outcome.report.results.unwrap();
    let figures = results.arms.iter().map(|arm| {
        let metric = |id: &str| arm.metrics.iter().find(|it| it.metric_id == id).unwrap();
        let spend = format!("{:.2}", metric("revenue").total);
        (
            arm.unit_count,
            metric("visit").event_unit_count,
            metric("conversion").event_unit_count,
            spend,
        )
    });
    assert_eq!(
        figures.collect::<Vec<_>>(),
        [
            (21_307, 3_894, 267, "30311.69".to_owned()),
            (21_387, 3_238, 189, "23038.11".to_owned()),
            (21_306, 2_262, 122, "13908.33".to_owned()),
        ]
    );
    let verdict = results.verdict.unwrap();
    assert_eq!((verdict.reason_code.as_str(), verdict.arm.as_str()), ("SIGNIFICANT_BEST", "mens"));
}

#[tokio::test]
async fn services_killed_at_any_moment_mail_nobody_twice_and_lose_nobody() {
    for seed in [11, 12, 13] {
        let kills = killed_all_the_way(seed).await;
        assert!(kills >= 5, "seed {seed}: only {kills} kills");
    }
}

/// Runs a campaign while services are killed, and says how many were. That nobody is mailed twice, that the ledger
/// balances and that the report is exact is checked by the run itself.
async fn killed_all_the_way(seed: u64) -> usize {
    let world = World::synthetic(seed, 1_200);
    let sink = cursus_demo::sink(&world).await.unwrap();
    let mut cluster = cluster::start(&sink).await;
    let surface = surface(&cluster);
    let (moments, mut happened) = Moments::new();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    let chaos = async {
        while happened.recv().await.is_some() {
            if rng.random_bool(0.2) {
                let service = *Service::ALL.choose(&mut rng).unwrap();
                cluster.restart(service).await.unwrap();
                kills += 1;
            }
        }
    };
    let outcome = tokio::select! {
        outcome = cursus_demo::run(&world, &surface, &sink, &moments) => outcome,
        () = chaos => unreachable!("the run goes on until its end"),
    };
    outcome.unwrap_or_else(|error| panic!("seed {seed}, after {kills} kills: {error:#}"));
    kills
}
