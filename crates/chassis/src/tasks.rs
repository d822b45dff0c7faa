//! Background work that shutdown waits for and that is never lost silently.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use anyhow::anyhow;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The background tasks of one service. A task that fails or panics is logged and stops the
/// service: `Server::run` then returns the failure, the process ends, and is started afresh.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    failure: Arc<OnceLock<String>>,
}

impl Tasks {
    /// Tasks that are told to stop when `shutdown` is, or when one of them fails.
    pub fn new(shutdown: &CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown: shutdown.child_token(),
            failure: Arc::default(),
        }
    }

    /// Starts a task. One that loops selects on [`Tasks::shutdown`]; one that ends with `Ok` before
    /// shutdown is simply done.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let tasks = self.clone();
        let span = tracing::info_span!("task", task.name = name);
        let guarded = async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            match outcome.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", said(&*panic)))) {
                Ok(()) => tracing::debug!("the task is done"),
                Err(error) => tasks.fail(name, &error),
            }
        };
        self.tracker.spawn(guarded.instrument(span));
    }

    /// Cancelled when the service should stop.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Waits until every task has ended, and returns the first failure.
    pub async fn wait(&self) -> anyhow::Result<()> {
        self.tracker.close();
        self.tracker.wait().await;
        self.outcome()
    }

    pub(crate) fn outcome(&self) -> anyhow::Result<()> {
        match self.failure.get() {
            Some(failure) => Err(anyhow!("{failure}")),
            None => Ok(()),
        }
    }

    fn fail(&self, name: &'static str, error: &anyhow::Error) {
        tracing::error!(task.name = name, error = format!("{error:#}"), "a task failed");
        // The first failure is the cause; what fails after it is mostly its consequence.
        let _ = self.failure.set(format!("the task `{name}` failed: {error:#}"));
        self.shutdown.cancel();
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_task_stops_the_others_and_is_the_outcome() {
        let shutdown = CancellationToken::new();
        let tasks = Tasks::new(&shutdown);
        let told = tasks.shutdown();
        tasks.spawn("patient", async move {
            told.cancelled().await;
            Ok(())
        });
        tasks.spawn("rash", async { panic!("out of {}", "luck") });
        let failure = tasks.wait().await.unwrap_err().to_string();
        assert_eq!(failure, "the task `rash` failed: panicked: out of luck");
        assert!(!shutdown.is_cancelled(), "one service's failure is not another's");
    }

    #[tokio::test]
    async fn the_first_failure_is_kept_with_its_causes() {
        let tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("sender", async { Err(anyhow!("disk full").context("cannot write")) });
        tasks.shutdown().cancelled().await;
        tasks.spawn("late", async { Err(anyhow!("a consequence")) });
        let failure = tasks.wait().await.unwrap_err().to_string();
        assert_eq!(failure, "the task `sender` failed: cannot write: disk full");
    }

    #[tokio::test]
    async fn a_task_that_ends_well_leaves_the_service_running() {
        let tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn("once", async { Ok(()) });
        tasks.wait().await.unwrap();
        assert!(!tasks.shutdown().is_cancelled());
    }
}
