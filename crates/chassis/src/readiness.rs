//! Whether this replica should be sent requests. `/readyz` and the gRPC health service both
//! answer from here.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// A handle on the replica's readiness: ready while no part of it is unwell and it is not
/// stopping.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    serving: bool,
    unwell: BTreeSet<&'static str>,
}

impl Readiness {
    /// Not ready until the server serves.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Takes the replica out of rotation until `part` is [`Readiness::well`] again.
    pub fn unwell(&self, part: &'static str) {
        if self.0.send_if_modified(|state| state.unwell.insert(part)) {
            tracing::error!(part, "not ready");
        }
    }

    /// `part` works again.
    pub fn well(&self, part: &'static str) {
        if self.0.send_if_modified(|state| state.unwell.remove(part)) {
            tracing::info!(part, "well again");
        }
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        let state = self.0.borrow();
        state.serving && state.unwell.is_empty()
    }

    pub(crate) fn start(&self) {
        self.0.send_modify(|state| state.serving = true);
    }

    pub(crate) fn stop(&self) {
        self.0.send_modify(|state| state.serving = false);
    }

    /// Told whenever [`Readiness::is_ready`] may say something new.
    pub(crate) fn changes(&self) -> watch::Receiver<impl Send + Sync + use<>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_ready_only_while_it_serves_and_every_part_is_well() {
        let readiness = Readiness::new();
        assert!(!readiness.is_ready());
        readiness.start();
        assert!(readiness.is_ready());
        readiness.unwell("database");
        readiness.unwell("cache");
        readiness.well("database");
        assert!(!readiness.is_ready());
        readiness.well("cache");
        assert!(readiness.is_ready());
        readiness.stop();
        assert!(!readiness.is_ready());
    }
}
