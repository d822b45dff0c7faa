//! An open model: calls begin at a constant rate, whether or not those before have been answered, and each is timed from
//! the moment at which it was to begin. So a service that stands still for a second has a second's worth of late calls,
//! not one.

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// What became of the calls.
pub(crate) struct Kept<T> {
    /// How long each took that was answered, and what came of it.
    pub(crate) answered: Vec<(Duration, T)>,
    /// Those that failed were no reason for the others to stop.
    pub(crate) failed: Vec<anyhow::Error>,
}

/// So many calls each second, for so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
}

impl Pace {
    pub(crate) fn calls(self) -> u32 {
        self.rate * self.seconds
    }

    /// Makes the calls.
    pub(crate) async fn keep<T, F>(
        self,
        call: impl Fn(u32) -> F + Send + 'static,
    ) -> anyhow::Result<Kept<T>>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let runtime = Handle::current();
        // A thread of its own: timers of the runtime are no finer than a millisecond.
        let pacing = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let begin = |n| {
                let at = started + Duration::from_secs(1) * n / self.rate;
                thread::sleep(at.saturating_duration_since(Instant::now()));
                let calling = call(n);
                runtime.spawn(async move {
                    let outcome = calling.await;
                    outcome.map(|outcome| (at.elapsed(), outcome))
                })
            };
            (0..self.calls()).map(begin).collect::<Vec<_>>()
        });
        let mut kept = Kept { answered: Vec::new(), failed: Vec::new() };
        for calling in pacing.await? {
            match calling.await? {
                Ok(answered) => kept.answered.push(answered),
                Err(failure) => kept.failed.push(failure),
            }
        }
        Ok(kept)
    }
}
