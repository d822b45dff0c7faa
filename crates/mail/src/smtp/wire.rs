//! Bytes to and from the server: bounded replies, and a body that cannot end early.

use std::{future::poll_fn, io, pin::Pin, task::Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::hello::Answer;
use crate::{Reply, reply};

/// RFC 5321 allows 512 octets a line; some servers say more.
const LINE_LIMIT: usize = 2_048;
const LINES_LIMIT: usize = 128;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What can go wrong below the level of replies.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("a reply line of more than {LINE_LIMIT} bytes")]
    LongLine,
    #[error("a reply of more than {LINES_LIMIT} lines")]
    ManyLines,
    #[error("not an SMTP reply")]
    Garbage,
    #[error("the server spoke before it was asked")]
    OutOfTurn,
}

pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// Bytes read and not yet used: never more than one read beyond the line limit.
    read: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The bare stream, for TLS. Bytes that came before encryption began must not be read as if they had come after.
    pub(super) fn into_stream(self) -> Result<Box<dyn Stream>, Broken> {
        if self.read.is_empty() { Ok(self.stream) } else { Err(Broken::OutOfTurn) }
    }

    pub(super) async fn command(&mut self, line: &str) -> Result<Answer, Broken> {
        debug_assert!(!line.contains(['\r', '\n']), "a command is one line");
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.answer().await
    }

    pub(super) async fn answer(&mut self) -> Result<Answer, Broken> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let more = reply::continues(&line);
            lines.push(line);
            if !more {
                break;
            }
            if lines.len() == LINES_LIMIT {
                return Err(Broken::ManyLines);
            }
        }
        let reply = Reply::parse(&lines).ok_or(Broken::Garbage)?;
        Ok(Answer { reply, lines })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Fails if the server has already said something: read later, it would pass for the answer to what we send next.
    pub(super) async fn expect_silence(&mut self) -> Result<(), Broken> {
        if !self.read.is_empty() {
            return Err(Broken::OutOfTurn);
        }
        let mut byte = [0; 1];
        let stream = &mut self.stream;
        poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(match Pin::new(&mut **stream).poll_read(context, &mut buffer) {
                Poll::Pending => Ok(()),
                Poll::Ready(Err(error)) => Err(error.into()),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(Broken::Closed),
                Poll::Ready(Ok(())) => Err(Broken::OutOfTurn),
            })
        })
        .await
    }

    async fn line(&mut self) -> Result<String, Broken> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|&byte| byte == b'\n') {
                let end = searched + end;
                if end > LINE_LIMIT {
                    return Err(Broken::LongLine);
                }
                let line =
                    String::from_utf8_lossy(&self.read[..end]).trim_end_matches('\r').to_owned();
                self.read.drain(..=end);
                return Ok(line);
            }
            searched = self.read.len();
            if searched > LINE_LIMIT {
                return Err(Broken::LongLine);
            }
            let mut chunk = [0; 1_024];
            match self.stream.read(&mut chunk).await? {
                0 => return Err(Broken::Closed),
                n => self.read.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

/// The message as it goes over the wire, without the final dot: leading dots doubled, every line ended by CRLF. A lone
/// CR or LF is made a line end here too, so that no message can contain an end that another server would see.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    let mut line_start = true;
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' {
                    bytes.next_if_eq(&b'\n');
                }
                out.extend_from_slice(b"\r\n");
                line_start = true;
            }
            byte => {
                if line_start && byte == b'.' {
                    out.push(b'.');
                }
                out.push(byte);
                line_start = false;
            }
        }
    }
    if !line_start {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(message: &str, expected: &str) {
        assert_eq!(
            String::from_utf8(stuffed(message.as_bytes())).unwrap(),
            expected,
            "{message:?}"
        );
    }

    #[test]
    fn dots_that_begin_a_line_are_doubled() {
        check(".\r\n..\r\na.b\r\n", "..\r\n...\r\na.b\r\n");
    }

    #[test]
    fn every_kind_of_line_end_becomes_crlf() {
        check("a\nb\rc\r\nd", "a\r\nb\r\nc\r\nd\r\n");
        check("a\r\r\n\n.", "a\r\n\r\n\r\n..\r\n");
    }

    proptest! {
        #[test]
        fn no_message_can_contain_an_end_of_data(message in "[a.\r\n]{0,40}") {
            let out = String::from_utf8(stuffed(message.as_bytes())).unwrap();
            let whole = format!("\r\n{out}.\r\n");
            for end in ["\n.\r\n", "\r.\r\n", "\n.\n", "\r.\r", "\n.\r"] {
                if let Some(at) = whole.find(end) {
                    prop_assert!(at + end.len() >= whole.len() - 1, "{end:?} at {at} in {whole:?}");
                }
            }
            prop_assert!(out.is_empty() || out.ends_with("\r\n"));
            prop_assert!(!out.replace("\r\n", "").contains(['\r', '\n']));
        }
    }
}
