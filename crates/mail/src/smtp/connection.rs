//! The conversation itself, step by step.

use std::{future::Future, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    Credentials, Envelope, Failure, Relay, Stage, Timeouts, Tls, TlsRoots,
    hello::{Answer, Extensions},
    wire::{Broken, Wire, stuffed},
};
use crate::Reply;

/// A relay that has greeted us and takes messages, one at a time.
pub struct Connection {
    wire: Wire,
    timeouts: Timeouts,
    state: State,
    encrypted: bool,
}

/// The server's permission to send one message. Dropping it closes the connection, as SMTP has no other way back.
#[must_use]
pub struct Offer<'a> {
    connection: &'a mut Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// A transaction was refused half-way: RSET comes first.
    Refused,
    /// Also while a step runs, so that a step whose future is dropped leaves nothing to be misread.
    Closed,
}

impl Connection {
    /// Connects, introduces us, encrypts and authenticates, as far as the relay asks for it.
    pub async fn open(relay: &Relay) -> Result<Self, Failure> {
        let timeouts = relay.timeouts;
        let stream = within(timeouts.connect, async {
            let stream = TcpStream::connect((relay.host.as_str(), relay.port)).await?;
            // The final dot is a small packet of its own.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
        .await
        .map_err(Failure::before_dot)?;
        let wire = Wire::new(Box::new(stream));
        let mut connection = Self { wire, timeouts, state: State::Closed, encrypted: false };

        let greeting = within(timeouts.command, connection.wire.answer()).await;
        expect(Stage::Greeting, &[220], greeting)?;
        let mut extensions = connection.hello(relay).await?;
        if let Some(roots) = wanted_roots(&relay.tls, extensions)? {
            connection = connection.encrypt(relay, roots).await?;
            extensions = connection.hello(relay).await?;
        }
        if let Some(credentials) = &relay.credentials {
            connection.authenticate(credentials, extensions).await?;
        }
        connection.state = State::Ready;
        Ok(connection)
    }

    /// Names sender and recipient and asks for permission to send. Nothing is delivered by this.
    pub async fn offer(&mut self, envelope: &Envelope) -> Result<Offer<'_>, Failure> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => return Err(Failure::before_dot("the connection is closed")),
            State::Refused => {
                self.command(Stage::Mail, &[250], "RSET").await.map_err(Failure::before_dot)?;
            }
            State::Ready => {}
        }
        let from = envelope.from.as_ref().map_or("", |address| address.as_str());
        let mail = self.command(Stage::Mail, &[250], &format!("MAIL FROM:<{from}>")).await;
        self.keep_if_refused(mail)?;
        let rcpt = format!("RCPT TO:<{}>", envelope.to.as_str());
        let rcpt = self.command(Stage::Rcpt, &[250, 251], &rcpt).await;
        self.keep_if_refused(rcpt)?;
        let data = self.command(Stage::Data, &[354], "DATA").await;
        self.keep_if_refused(data)?;
        Ok(Offer { connection: self })
    }

    /// Whether another message can be offered.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Says goodbye and closes. The answer does not matter.
    pub async fn quit(mut self) {
        if self.is_open() {
            let _ = within(self.timeouts.command, self.wire.command("QUIT")).await;
        }
    }

    async fn hello(&mut self, relay: &Relay) -> Result<Extensions, Failure> {
        let ehlo = format!("EHLO {}", relay.hello_name.as_str());
        let answer = self.command(Stage::Hello, &[250], &ehlo).await?;
        Ok(Extensions::read(&answer.lines))
    }

    async fn encrypt(mut self, relay: &Relay, roots: &TlsRoots) -> Result<Self, Failure> {
        self.command(Stage::StartTls, &[220], "STARTTLS").await?;
        let name = ServerName::try_from(relay.host.clone()).map_err(|_| {
            Failure::unusable("the relay's host is not a name a certificate can have")
        })?;
        let stream =
            self.wire.into_stream().map_err(|error| Failure::unusable(error.to_string()))?;
        let connecting = TlsConnector::from(roots.config()).connect(name, stream);
        let stream = match timeout(self.timeouts.connect, connecting).await {
            Ok(Ok(stream)) => stream,
            // rustls reports what it refused as invalid data; anything else is the network's doing.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Failure::unusable(format!("TLS: {error}")));
            }
            Ok(Err(error)) => return Err(Failure::before_dot(format_args!("TLS: {error}"))),
            Err(Elapsed { .. }) => return Err(Failure::before_dot("TLS: timed out")),
        };
        Ok(Self { wire: Wire::new(Box::new(stream)), encrypted: true, ..self })
    }

    async fn authenticate(
        &mut self,
        credentials: &Credentials,
        extensions: Extensions,
    ) -> Result<(), Failure> {
        let (username, password) = (credentials.username(), credentials.password());
        if !self.encrypted {
            return Err(Failure::unusable("credentials are only sent over TLS"));
        }
        if extensions.auth_plain {
            let secret = STANDARD.encode(format!("\0{username}\0{password}"));
            self.command(Stage::Auth, &[235], &format!("AUTH PLAIN {secret}")).await?;
        } else if extensions.auth_login {
            self.command(Stage::Auth, &[334], "AUTH LOGIN").await?;
            self.command(Stage::Auth, &[334], &STANDARD.encode(username)).await?;
            self.command(Stage::Auth, &[235], &STANDARD.encode(password)).await?;
        } else {
            return Err(Failure::unusable("the relay offers neither AUTH PLAIN nor AUTH LOGIN"));
        }
        Ok(())
    }

    async fn command(
        &mut self,
        stage: Stage,
        wanted: &[u16],
        line: &str,
    ) -> Result<Answer, Failure> {
        expect(stage, wanted, within(self.timeouts.command, self.wire.command(line)).await)
    }

    fn keep_if_refused<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::Refused { reply, .. }) = &outcome
            && !closes(reply)
        {
            self.state = State::Refused;
        }
        outcome
    }
}

impl Offer<'_> {
    /// Sends the message and waits for the server to take responsibility for it.
    pub async fn commit(self, message: &[u8]) -> Result<Reply, Failure> {
        let connection = self.connection;
        let Timeouts { body, dot, .. } = connection.timeouts;
        let wire = &mut connection.wire;
        let sending = async {
            wire.send(&stuffed(message)).await?;
            wire.expect_silence().await
        };
        within(body, sending).await.map_err(Failure::before_dot)?;
        // From the first byte of the dot on, the server may have the message.
        let reply = within(dot, wire.command(".")).await.map_err(Failure::after_dot)?.reply;
        let outcome = match reply.code / 100 {
            2 => Ok(reply),
            4 | 5 => Err(Failure::Refused { stage: Stage::Body, reply }),
            _ => return Err(Failure::after_dot(format_args!("unexpected reply: {reply}"))),
        };
        let (Ok(reply) | Err(Failure::Refused { reply, .. })) = &outcome else { return outcome };
        if !closes(reply) {
            connection.state = State::Ready;
        }
        outcome
    }
}

/// The roots to encrypt with, or none to go on in the clear.
fn wanted_roots(tls: &Tls, extensions: Extensions) -> Result<Option<&TlsRoots>, Failure> {
    match tls {
        Tls::Opportunistic(roots) | Tls::Required(roots) if extensions.starttls => Ok(Some(roots)),
        Tls::Required(_) => {
            Err(Failure::unusable("TLS is required and the relay does not offer STARTTLS"))
        }
        Tls::None | Tls::Opportunistic(_) => Ok(None),
    }
}

/// RFC 5321: a server answers 421 to anything when it is about to hang up.
fn closes(reply: &Reply) -> bool {
    reply.code == 421
}

fn expect(stage: Stage, wanted: &[u16], answer: Result<Answer, Lost>) -> Result<Answer, Failure> {
    let answer = answer.map_err(Failure::before_dot)?;
    match answer.reply.code {
        code if wanted.contains(&code) => Ok(answer),
        400.. => Err(Failure::Refused { stage, reply: answer.reply }),
        _ => {
            Err(Failure::before_dot(format_args!("unexpected reply to {stage}: {}", answer.reply)))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("timed out")]
    TimedOut(#[from] Elapsed),
}

async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Lost> {
    Ok(timeout(limit, step).await??)
}
