//! The accepted messages: a file of their bytes, and the envelopes in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

/// One accepted message: its envelope, and where the spool has its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Counts from 0 in the order of acceptance.
    pub sequence: usize,
    pub sender: String,
    pub recipients: Vec<String>,
    pub size: usize,
    pub time: Instant,
    offset: u64,
}

#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    kept: Mutex<Kept>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Kept {
    deliveries: Vec<Delivery>,
    length: u64,
}

impl Spool {
    pub(super) fn create() -> anyhow::Result<Self> {
        let (kept, count) = (Mutex::default(), watch::Sender::new(0));
        Ok(Self { file: tempfile::tempfile()?, kept, count })
    }

    /// Keeps a message. Only then may its sender be told that it was accepted.
    pub(super) fn keep(
        &self,
        sender: String,
        recipients: Vec<String>,
        raw: &[u8],
    ) -> std::io::Result<()> {
        let mut kept = self.kept();
        let (sequence, offset, size) = (kept.deliveries.len(), kept.length, raw.len());
        self.file.write_all_at(raw, offset)?;
        kept.length += size as u64;
        let time = Instant::now();
        kept.deliveries.push(Delivery { sequence, sender, recipients, size, time, offset });
        self.count.send_replace(sequence + 1);
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    pub(super) fn deliveries_from(&self, sequence: usize) -> Vec<Delivery> {
        self.kept().deliveries.get(sequence..).map(<[_]>::to_vec).unwrap_or_default()
    }

    pub(super) fn read(&self, delivery: &Delivery) -> std::io::Result<Vec<u8>> {
        let mut raw = vec![0; delivery.size];
        self.file.read_exact_at(&mut raw, delivery.offset)?;
        Ok(raw)
    }

    /// Returns once there are this many.
    pub(super) async fn reach(&self, count: usize) {
        let mut counts = self.count.subscribe();
        // An error would say that the sender is gone, and we hold it.
        drop(counts.wait_for(|kept| *kept >= count).await);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic in a test's script does not break what was kept: nothing is half done under the
        // lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
