//! Computing that takes milliseconds, kept off the threads that serve.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

/// Runs as many computations at once as there are cores; the others wait without holding a thread.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Arc<Semaphore>);

impl Cores {
    pub(crate) fn all() -> Self {
        let count = available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Arc::new(Semaphore::new(count)))
    }

    /// Gives what `compute` returns. It runs to its end even if nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let computing = tokio::task::spawn_blocking(move || {
            let _held = permit;
            compute()
        });
        // It is never aborted, so it can only have panicked; the request does then, too.
        computing.await.unwrap_or_else(|failure| resume_unwind(failure.into_panic()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_passed_on_and_frees_its_core() {
        let cores = Cores(Arc::new(Semaphore::new(1)));
        let panicking = cores.clone();
        let failed = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(panicking.run(|| std::panic::panic_any("no")))
        });
        assert!(failed.await.unwrap_err().is_panic());
        assert_eq!(cores.run(|| 7).await, 7);
    }
}
