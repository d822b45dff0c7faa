//! A feed played by a script: it tells what a test says, in order, and can go away.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tonic::Status;

/// What is told from run to run of a `Watch…` method; each run is one answer.
#[derive(Debug)]
pub struct Feed<A> {
    state: watch::Sender<State<A>>,
    watched: AtomicUsize,
}

#[derive(Debug)]
struct State<A> {
    runs: Vec<A>,
    is_away: bool,
    /// How often it went away, so that no stream outlives even a short absence.
    absences: usize,
}

impl<A> Default for Feed<A> {
    fn default() -> Self {
        let state = State { runs: Vec::new(), is_away: false, absences: 0 };
        Self { state: watch::Sender::new(state), watched: AtomicUsize::new(0) }
    }
}

impl<A: Clone + Send + Sync + 'static> Feed<A> {
    /// Tells a run, which is made with the cursor behind it.
    pub fn tell(&self, run: impl FnOnce(String) -> A) {
        self.state.send_modify(|state| {
            // Cursors are a transaction and a sequence, in hexadecimal.
            let cursor = format!("{:016x}{:016x}", 1, state.runs.len() + 1);
            state.runs.push(run(cursor));
        });
    }

    /// Ends every stream and refuses new ones, until it [comes back](Self::come_back).
    pub fn go_away(&self) {
        self.state.send_modify(|state| {
            state.is_away = true;
            state.absences += 1;
        });
    }

    pub fn come_back(&self) {
        self.state.send_modify(|state| state.is_away = false);
    }

    /// How often somebody began to watch.
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }

    /// What comes after a cursor, and then what is told from now on.
    pub(super) fn follow(
        &self,
        cursor: &str,
    ) -> Result<BoxStream<'static, Result<A, Status>>, Status> {
        let absences = {
            let state = self.state.borrow();
            if state.is_away {
                return Err(Status::unavailable("the feed is away"));
            }
            state.absences
        };
        self.watched.fetch_add(1, Ordering::Relaxed);
        let known = match cursor.get(16..) {
            None => 0,
            Some(known) => usize::from_str_radix(known, 16)
                .map_err(|_| Status::invalid_argument("not a cursor"))?,
        };
        let follower = (self.state.subscribe(), known);
        let runs = stream::unfold(
            follower,
            move |(mut state, known): (watch::Receiver<State<A>>, usize)| async move {
                let is_over = |state: &State<A>| state.absences > absences;
                let is_news = |state: &State<A>| is_over(state) || known < state.runs.len();
                let run = {
                    let state = state.wait_for(is_news).await.ok()?;
                    if is_over(&state) {
                        return None;
                    }
                    state.runs.get(known)?.clone()
                };
                Some((Ok(run), (state, known + 1)))
            },
        );
        Ok(runs.boxed())
    }
}
