//! One SMTP connection (RFC 5321, with PIPELINING, 8BITMIME and SIZE), strict about line ends: a
//! bare line feed refuses the message, because servers that forgive it are how one message is
//! smuggled inside another.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::spool::Spool;
use super::{Answer, Script, Step};

const LONGEST_LINE: u64 = 4_096;
const LARGEST_MESSAGE: usize = 16 << 20;
const MOST_RECIPIENTS: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Close,
}

pub(super) struct Session {
    stream: BufReader<TcpStream>,
    replies: Vec<u8>,
    script: Arc<Script>,
    spool: Arc<Spool>,
    sender: Option<String>,
    recipients: Vec<String>,
}

impl Session {
    pub(super) fn new(stream: TcpStream, script: Arc<Script>, spool: Arc<Spool>) -> Self {
        let stream = BufReader::with_capacity(16 << 10, stream);
        Self { stream, replies: Vec::new(), script, spool, sender: None, recipients: Vec::new() }
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        self.stream.get_ref().set_nodelay(true)?;
        let answer = (self.script)(&Step::Connection);
        let mut next = self.settle(answer, "220 sink.invalid ESMTP").await?;
        let mut line = Vec::new();
        while next == Next::Continue && self.read_line(&mut line).await? {
            next = self.command(&String::from_utf8_lossy(&line)).await?;
        }
        self.flush().await
    }

    async fn command(&mut self, line: &str) -> io::Result<Next> {
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.reset();
                self.reply("250-sink.invalid\r\n250-PIPELINING\r\n250-8BITMIME");
                self.reply(&format!("250 SIZE {LARGEST_MESSAGE}"));
            }
            "HELO" => {
                self.reset();
                self.reply("250 sink.invalid");
            }
            "MAIL" => self.mail(rest),
            "RCPT" => return self.recipient(rest).await,
            "DATA" if self.recipients.is_empty() => self.reply("503 5.5.1 no valid recipients"),
            "DATA" => return self.data().await,
            "RSET" => {
                self.reset();
                self.reply("250 2.0.0 reset");
            }
            "NOOP" => self.reply("250 2.0.0 ok"),
            "QUIT" => {
                self.reply("221 2.0.0 bye");
                return Ok(Next::Close);
            }
            _ => self.reply("500 5.5.2 unknown command"),
        }
        Ok(Next::Continue)
    }

    fn mail(&mut self, rest: &str) {
        match path(rest, "FROM:") {
            _ if self.sender.is_some() => self.reply("503 5.5.1 there is a sender already"),
            Some(sender) => {
                self.sender = Some(sender);
                self.reply("250 2.1.0 sender ok");
            }
            None => self.reply("501 5.5.4 MAIL FROM:<address>"),
        }
    }

    async fn recipient(&mut self, rest: &str) -> io::Result<Next> {
        let (Some(sender), Some(recipient)) = (&self.sender, path(rest, "TO:")) else {
            self.reply("503 5.5.1 MAIL FROM:<address> first, then RCPT TO:<address>");
            return Ok(Next::Continue);
        };
        if self.recipients.len() >= MOST_RECIPIENTS {
            self.reply("452 4.5.3 too many recipients");
            return Ok(Next::Continue);
        }
        let answer = (self.script)(&Step::Recipient { sender, recipient: &recipient });
        if answer.accepts() {
            self.recipients.push(recipient);
        }
        self.settle(answer, "250 2.1.5 recipient ok").await
    }

    async fn data(&mut self) -> io::Result<Next> {
        self.reply("354 end with a dot");
        self.flush().await?;
        let raw = match self.read_message().await? {
            Ok(raw) => raw,
            Err(refusal) => {
                self.reset();
                self.reply(refusal);
                return Ok(Next::Continue);
            }
        };
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        let step = Step::Message { sender: &sender, recipients: &recipients, raw: &raw };
        let answer = (self.script)(&step);
        if answer.accepts() {
            self.spool.keep(sender, recipients, &raw)?;
        }
        self.settle(answer, "250 2.0.0 accepted").await
    }

    /// Reads up to the final dot. A message that cannot be taken is read to its end as well, and
    /// refused.
    async fn read_message(&mut self) -> io::Result<Result<Vec<u8>, &'static str>> {
        let (mut raw, mut line, mut refusal) = (Vec::new(), Vec::new(), None);
        let mut is_after_end = true;
        while self.read_line(&mut line).await? {
            if line == b".\r\n" && is_after_end {
                return Ok(refusal.map_or(Ok(raw), Err));
            }
            is_after_end = line.ends_with(b"\r\n");
            if !is_after_end || line[..line.len() - 2].contains(&b'\r') {
                refusal = Some("554 5.6.0 bare line end");
            } else if raw.len() + line.len() > LARGEST_MESSAGE {
                refusal = Some("552 5.3.4 too large");
            } else if refusal.is_none() {
                raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads one line, its end included. False at the end of the stream.
    async fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        // Replies wait while the client has pipelined more: one write answers a batch.
        if self.stream.buffer().is_empty() {
            self.flush().await?;
        }
        line.clear();
        let read = (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', line).await?;
        if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            self.reply("500 5.5.2 line too long");
            self.flush().await?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(line.ends_with(b"\n"))
    }

    async fn settle(&mut self, mut answer: Answer, accepted: &str) -> io::Result<Next> {
        while let Answer::After(delay, then) = answer {
            self.flush().await?;
            tokio::time::sleep(delay).await;
            answer = *then;
        }
        match answer {
            Answer::Refuse { code, text } => self.reply(&format!("{code} {text}")),
            Answer::Accept | Answer::After(..) => self.reply(accepted),
            Answer::AcceptThenHangUp | Answer::HangUp => return Ok(Next::Close),
        }
        Ok(Next::Continue)
    }

    fn reply(&mut self, line: &str) {
        self.replies.extend_from_slice(line.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        let replies = std::mem::take(&mut self.replies);
        self.stream.get_mut().write_all(&replies).await
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }
}

impl Answer {
    fn accepts(&self) -> bool {
        match self {
            Self::Accept | Self::AcceptThenHangUp => true,
            Self::After(_, then) => then.accepts(),
            Self::HangUp | Self::Refuse { .. } => false,
        }
    }
}

/// The address in `FROM:<address> PARAMETERS`.
fn path(rest: &str, keyword: &str) -> Option<String> {
    let (name, value) = rest.split_at_checked(keyword.len())?;
    let value = value.trim_start().strip_prefix('<')?;
    let (address, _parameters) = value.split_once('>')?;
    name.eq_ignore_ascii_case(keyword).then(|| address.to_owned())
}
