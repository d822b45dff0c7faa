//! A mail server on loopback that keeps everything and delivers nothing: the witness of what was
//! really sent.
//!
//! It can be told how to answer each step, so a test can have a recipient refused, a message
//! deferred, or the connection lost after the final dot. What it accepted is in a file; only the
//! envelopes are in memory, so half a gigabyte of mail costs a few megabytes.

mod message;
mod session;
mod spool;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use self::message::Message;
use self::session::Session;
pub use self::spool::Delivery;
use self::spool::Spool;

const MOST_CONNECTIONS: usize = 1_000;
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(1);

/// A point where the server decides what to answer.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A client has connected.
    Connection,
    /// `RCPT TO`.
    Recipient { sender: &'a str, recipient: &'a str },
    /// The final dot, with the dots unstuffed.
    Message { sender: &'a str, recipients: &'a [String], raw: &'a [u8] },
}

/// What the server does at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    /// Keeps the message and closes the connection without a reply: the client cannot know.
    /// Elsewhere like `HangUp`.
    AcceptThenHangUp,
    /// Does this, but only after a while.
    After(Duration, Box<Answer>),
    /// Closes the connection without a reply and keeps nothing.
    HangUp,
    Refuse {
        code: u16,
        text: String,
    },
}

impl Answer {
    /// For example `Answer::refuse(550, "5.1.1 no such user")`.
    pub fn refuse(code: u16, text: impl Into<String>) -> Self {
        Self::Refuse { code, text: text.into() }
    }
}

type Script = dyn Fn(&Step<'_>) -> Answer + Send + Sync;

/// A running mail sink; it closes when dropped.
pub struct Sink {
    address: SocketAddr,
    spool: Arc<Spool>,
    // Dropping it ends the listener, which ends its sessions.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sink {
    /// Starts a sink that accepts every message.
    pub async fn start() -> anyhow::Result<Self> {
        Self::scripted(|_| Answer::Accept).await
    }

    /// Starts a sink that answers as `script` says.
    pub async fn scripted(
        script: impl Fn(&Step<'_>) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let spool = Arc::new(Spool::create()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::new(script), Arc::clone(&spool)));
        Ok(Self { address, spool, _tasks: tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages were accepted.
    pub fn count(&self) -> usize {
        self.spool.count()
    }

    /// Every accepted message, in the order of acceptance.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.spool.deliveries_from(0)
    }

    /// The accepted messages from a sequence number on: for following along.
    pub fn deliveries_from(&self, sequence: usize) -> Vec<Delivery> {
        self.spool.deliveries_from(sequence)
    }

    /// How often each address was mailed. Nobody was mailed twice when every number is 1.
    pub fn deliveries_by_recipient(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for recipient in self.deliveries().into_iter().flat_map(|delivery| delivery.recipients) {
            *counts.entry(recipient).or_default() += 1;
        }
        counts
    }

    /// The message itself.
    pub fn message(&self, delivery: &Delivery) -> anyhow::Result<Message> {
        Ok(Message::new(self.spool.read(delivery)?))
    }

    /// Returns once `count` messages were accepted; fails after a minute.
    pub async fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        let reached = tokio::time::timeout(PATIENCE, self.spool.reach(count)).await;
        reached.with_context(|| format!("{} of {count} messages arrived", self.count()))
    }
}

async fn listen(listener: TcpListener, script: Arc<Script>, spool: Arc<Spool>) {
    let mut sessions = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: sessions that end give some back.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        while sessions.try_join_next().is_some() {}
        if sessions.len() >= MOST_CONNECTIONS {
            sessions.join_next().await;
        }
        let session = Session::new(stream, Arc::clone(&script), Arc::clone(&spool));
        // A connection that breaks is the client's to notice, as with a real server.
        sessions.spawn(async move { drop(session.run().await) });
    }
}

#[cfg(test)]
mod tests;
