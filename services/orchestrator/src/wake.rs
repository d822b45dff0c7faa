//! A bell between tasks of one process: it saves a poll, and nothing depends on it.

use std::time::Duration;

use tokio::sync::watch;

/// Rung when there may be work. Clones are the same bell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake(watch::Sender<()>);

/// Hears every ring since it was made.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<()>);

impl Wake {
    pub(crate) fn ring(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Returns when the bell rings, or when the time is over.
    pub(crate) async fn rung_within(&mut self, duration: Duration) {
        // Neither way of returning matters: whoever waits looks for work then.
        let _ = tokio::time::timeout(duration, self.0.changed()).await;
    }
}
