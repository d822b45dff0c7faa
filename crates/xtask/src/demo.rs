//! `demo`: a campaign from a contact list to its report, on a cluster of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cursus_demo::{Narrator, Outcome, Surface, Tokens, WORKSPACE, World};
use cursus_testkit::cluster::{ADMIN, APPROVER, Cluster, EDITOR, Service};
use indicatif::ProgressBar;

use crate::screen;
use crate::stage::Stage;
use crate::workspace::{Profile, Workspace};

const SEED: u64 = 1;
const PEOPLE: usize = 20_000;
const TICK: Duration = Duration::from_millis(100);
const MEBIBYTE: u64 = 1 << 20;

pub(crate) async fn run(workspace: &Workspace, hillstrom: Option<PathBuf>) -> anyhow::Result<()> {
    let world = match hillstrom {
        Some(path) => World::hillstrom(&path)?,
        None => World::synthetic(SEED, PEOPLE),
    };
    let stage =
        Stage::set(workspace, WORKSPACE, Profile::Release, cursus_demo::sink(&world).await?)
            .await?;
    let outcome = perform(&stage, &world).await;
    if outcome.is_err() {
        keep_logs(&stage.cluster, &workspace.tools().with_file_name("demo-logs"))?;
    }
    show(&outcome?, &stage.cluster);
    Ok(())
}

async fn perform(stage: &Stage, world: &World) -> anyhow::Result<Outcome> {
    let Stage { cluster, sink, .. } = stage;
    let token = |subject| cluster.token(subject).map(str::to_owned);
    let (editor, approver, admin) = (token(EDITOR)?, token(APPROVER)?, token(ADMIN)?);
    let addresses = Service::ALL.map(|service| cluster.address(service));
    let surface = Surface::new(addresses, &Tokens { editor, approver, admin })?;
    cursus_demo::run(world, &surface, sink, &Voice::new()).await
}

fn show(outcome: &Outcome, cluster: &Cluster) {
    screen::print(cursus_demo::report(outcome));
    let Outcome { figures, mailed, compared, .. } = outcome;
    screen::print(format!(
        "{mailed} people mailed, nobody twice; {compared} figures agree with what people did."
    ));
    screen::print(format!(
        "Imported {:.0} contacts/s, rendered {:.0} messages/s, delivered {:.0} messages/s, \
         answered {:.0} clicks/s, slowest segment ready in {:.2} s, {:.1} s in all.",
        figures.import_rows_per_second,
        figures.rendered_per_second,
        figures.delivered_per_second,
        figures.clicks_per_second,
        figures.segment_ready.as_secs_f64(),
        figures.wall.as_secs_f64(),
    ));
    let memory = Service::ALL
        .map(|it| format!("{it} {} MiB", cluster.peak_memory(it) / MEBIBYTE))
        .join(", ");
    screen::print(format!("Peak memory: {memory}."));
}

/// The cluster's own directory goes with it, and a failure is explained by its logs.
fn keep_logs(cluster: &Cluster, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for service in Service::ALL {
        fs::copy(cluster.log(service), folder.join(format!("{service}.log")))?;
    }
    screen::say(format!("The services' logs are in {}.", folder.display()));
    Ok(())
}

/// Tells the story line by line, with a spinner below where there is a terminal.
struct Voice {
    started: Instant,
    spinner: ProgressBar,
}

impl Voice {
    fn new() -> Self {
        // Draws nothing where there is no terminal.
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(TICK);
        Self { started: Instant::now(), spinner }
    }
}

impl Narrator for Voice {
    fn step(&self, text: &str) {
        self.spinner.set_message("");
        let seconds = self.started.elapsed().as_secs_f64();
        self.spinner.suspend(|| screen::print(format!("\n{text} ({seconds:.1} s)")));
    }

    fn fact(&self, text: &str) {
        self.spinner.suspend(|| screen::print(format!("  {text}")));
    }

    fn progress(&self, text: &str) {
        self.spinner.set_message(text.to_owned());
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}
