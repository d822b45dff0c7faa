//! A service in a runtime of its own, so that a test can end it as a `kill -9` would.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The runtime of one replica, which ends with this.
#[derive(Debug)]
pub struct Host {
    runtime: Option<Runtime>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    shutdown: CancellationToken,
}

impl Host {
    /// Builds a service on it, which does nothing before it is [run](Self::run).
    pub async fn build<S, F>(
        build: impl FnOnce() -> F + Send + 'static,
    ) -> anyhow::Result<(Self, S)>
    where
        S: Send + 'static,
        F: Future<Output = anyhow::Result<S>>,
    {
        // A runtime cannot be waited for within another.
        let building = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let service = runtime.block_on(build())?;
            anyhow::Ok((runtime, service))
        });
        let (runtime, service) = building.await??;
        let shutdown = CancellationToken::new();
        Ok((Self { runtime: Some(runtime), running: None, shutdown }, service))
    }

    /// Runs what was built, until it is told to stop.
    pub fn run<F>(&mut self, running: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let running = running(self.shutdown.clone());
        self.running = self.runtime.as_ref().map(|runtime| runtime.spawn(running));
    }

    /// Ends it as a `kill -9` would: whatever it was doing, it does nothing more, and its connections break.
    pub fn kill(self) {
        drop(self);
    }

    /// Ends it in order, and fails when it ended badly.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.running.take().context("it does not run")?.await?
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
