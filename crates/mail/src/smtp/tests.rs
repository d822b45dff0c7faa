//! Conversations with a scripted server.

use std::{future::Future, sync::Arc, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use super::{wire::Stream, *};
use crate::Domain;

/// The server's side of one connection.
struct Peer {
    stream: Box<dyn Stream>,
}

impl Peer {
    async fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hears(&mut self, expected: &str) {
        let line = self.hears_until("\r\n").await;
        assert_eq!(line.trim_end(), expected);
    }

    async fn hears_until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            heard.push(self.stream.read_u8().await.expect("the client hung up"));
        }
        String::from_utf8(heard).unwrap()
    }

    /// What the client sends until it hangs up.
    async fn hears_the_rest(&mut self) -> String {
        let mut heard = String::new();
        self.stream.read_to_string(&mut heard).await.unwrap();
        heard
    }

    async fn greets(&mut self) {
        self.greets_with("250 relay\r\n").await;
    }

    async fn greets_with(&mut self, capabilities: &str) {
        self.says("220 relay ESMTP\r\n").await;
        self.hears("EHLO sender.example.com").await;
        self.says(capabilities).await;
    }

    async fn permits(&mut self) {
        self.hears("MAIL FROM:<b@example.com>").await;
        self.says("250 ok\r\n").await;
        self.hears("RCPT TO:<jane@example.org>").await;
        self.says("250 ok\r\n").await;
        self.hears("DATA").await;
        self.says("354 go on\r\n").await;
    }

    async fn encrypts(self, config: ServerConfig) -> Self {
        let stream = TlsAcceptor::from(Arc::new(config)).accept(self.stream).await.unwrap();
        Self { stream: Box::new(stream) }
    }
}

fn relay(port: u16, tls: Tls) -> Relay {
    let second = Duration::from_secs(20);
    Relay {
        host: "127.0.0.1".to_owned(),
        port,
        hello_name: Domain::new("sender.example.com").unwrap(),
        tls,
        credentials: None,
        timeouts: Timeouts { connect: second, command: second, body: second, dot: second },
    }
}

fn envelope() -> Envelope {
    Envelope {
        from: Some(Address::new("b@example.com").unwrap()),
        to: Address::new("jane@example.org").unwrap(),
    }
}

/// Runs both sides to their ends.
async fn converse<C, S, T>(client: impl FnOnce(u16) -> C, server: impl FnOnce(Peer) -> S) -> T
where
    C: Future<Output = T>,
    S: Future<Output = ()>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        server(Peer { stream: Box::new(stream) }).await;
    };
    let (outcome, ()) = tokio::join!(client(port), serving);
    outcome
}

async fn send(port: u16) -> Result<Reply, Failure> {
    send_through(&relay(port, Tls::None)).await
}

async fn send_through(relay: &Relay) -> Result<Reply, Failure> {
    let mut connection = Connection::open(relay).await?;
    connection.offer(&envelope()).await?.commit(b"Subject: a\r\n\r\n.b\r\n").await
}

fn refusal(outcome: Result<Reply, Failure>) -> (Stage, u16) {
    match outcome {
        Err(Failure::Refused { stage, reply }) => (stage, reply.code),
        other => panic!("not refused: {other:?}"),
    }
}

fn window(outcome: Result<Reply, Failure>) -> bool {
    match outcome {
        Err(Failure::Broken { before_dot, .. }) => before_dot,
        other => panic!("not broken: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_stuffed_ended_and_accepted() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        assert_eq!(peer.hears_until("\r\n.\r\n").await, "Subject: a\r\n\r\n..b\r\n.\r\n");
        peer.says("250-2.0.0 taken\r\n250 2.0.0 as 7\r\n").await;
    })
    .await;
    let reply = outcome.unwrap();
    assert_eq!((reply.code, reply.text.as_str()), (250, "2.0.0 taken 2.0.0 as 7"));
}

#[tokio::test]
async fn after_a_refused_recipient_the_next_message_goes_through_the_same_connection() {
    let client = |port| async move {
        let mut connection = Connection::open(&relay(port, Tls::None)).await.unwrap();
        let refused = connection.offer(&envelope()).await.map(|_| ()).unwrap_err();
        assert!(connection.is_open());
        let accepted = connection.offer(&envelope()).await.unwrap().commit(b"x").await;
        (refused, accepted)
    };
    let (refused, accepted) = converse(client, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.says("250 ok\r\n").await;
        peer.hears("RCPT TO:<jane@example.org>").await;
        peer.says("550-5.1.1 no such\r\n550 5.1.1 user\r\n").await;
        peer.hears("RSET").await;
        peer.says("250 ok\r\n").await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
        peer.says("250 ok\r\n").await;
    })
    .await;
    let Failure::Refused { stage: Stage::Rcpt, reply } = refused else { panic!("{refused:?}") };
    assert_eq!(reply.enhanced.unwrap().to_string(), "5.1.1");
    assert!(accepted.is_ok());
}

#[tokio::test]
async fn a_deferred_sender_is_a_refusal_at_mail() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.says("450 4.2.0 later\r\n").await;
    })
    .await;
    assert_eq!(refusal(outcome), (Stage::Mail, 450));
}

#[tokio::test]
async fn a_refusal_after_the_dot_is_definite() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
        peer.says("554 5.7.1 spam\r\n").await;
    })
    .await;
    assert_eq!(refusal(outcome), (Stage::Body, 554));
}

#[tokio::test]
async fn a_server_that_says_421_is_not_asked_again() {
    let client = |port| async move {
        let mut connection = Connection::open(&relay(port, Tls::None)).await.unwrap();
        let refused = connection.offer(&envelope()).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, Failure::Refused { stage: Stage::Mail, .. }));
        connection.is_open()
    };
    let open = converse(client, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.says("421 4.7.0 too fast\r\n").await;
    })
    .await;
    assert!(!open);
}

#[tokio::test]
async fn a_server_that_hangs_up_before_the_dot_has_nothing() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.says("250 ok\r\n").await;
        peer.hears("RCPT TO:<jane@example.org>").await;
    })
    .await;
    assert!(window(outcome));
}

#[tokio::test]
async fn a_server_that_hangs_up_after_the_dot_may_have_the_message() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
    })
    .await;
    assert!(!window(outcome));
}

#[tokio::test]
async fn a_server_that_falls_silent_after_the_dot_may_have_the_message() {
    let client = |port| async move {
        let mut relay = relay(port, Tls::None);
        relay.timeouts.dot = Duration::from_millis(50);
        send_through(&relay).await
    };
    let outcome = converse(client, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
        assert_eq!(peer.hears_the_rest().await, "");
    })
    .await;
    assert!(!window(outcome));
}

#[tokio::test]
async fn an_acceptance_that_comes_before_the_dot_is_not_believed() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.says("250 ok\r\n").await;
        peer.hears("RCPT TO:<jane@example.org>").await;
        peer.says("250 ok\r\n").await;
        peer.hears("DATA").await;
        peer.says("354 go on\r\n250 ok\r\n").await;
        assert!(!peer.hears_the_rest().await.ends_with("\r\n.\r\n"));
    })
    .await;
    assert!(window(outcome));
}

#[tokio::test]
async fn an_offer_that_is_dropped_sends_nothing_and_closes() {
    let client = |port| async move {
        let mut connection = Connection::open(&relay(port, Tls::None)).await.unwrap();
        drop(connection.offer(&envelope()).await.unwrap());
        assert!(!connection.is_open());
        window(connection.offer(&envelope()).await.map(|_| unreachable!()))
    };
    let before_dot = converse(client, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        assert_eq!(peer.hears_the_rest().await, "");
    })
    .await;
    assert!(before_dot);
}

#[tokio::test]
async fn a_step_that_is_interrupted_leaves_a_closed_connection() {
    let client = |port| async move {
        let mut connection = Connection::open(&relay(port, Tls::None)).await.unwrap();
        let interrupted =
            tokio::time::timeout(Duration::from_millis(50), connection.offer(&envelope())).await;
        assert!(interrupted.is_err());
        connection.is_open()
    };
    let open = converse(client, |mut peer| async move {
        peer.greets().await;
        peer.hears("MAIL FROM:<b@example.com>").await;
        peer.hears_the_rest().await;
    })
    .await;
    assert!(!open);
}

async fn check_greeting(greeting: String) {
    let outcome = converse(send, |mut peer| async move {
        // The client may hang up before all of it is written.
        let _ = peer.stream.write_all(greeting.as_bytes()).await;
    })
    .await;
    assert!(window(outcome));
}

#[tokio::test]
async fn replies_that_are_none_end_the_conversation() {
    check_greeting("hello\r\n".to_owned()).await;
    check_greeting("\r\n".to_owned()).await;
    check_greeting("220-a\r\n221 b\r\n".to_owned()).await;
    check_greeting("220-a\r\n".to_owned()).await;
    check_greeting("250 ok\r\n".to_owned()).await;
    check_greeting("999 what\r\n".to_owned()).await;
    check_greeting("220-more\r\n".repeat(10_000)).await;
}

#[tokio::test]
async fn a_reply_line_of_64_kib_is_not_read_to_its_end() {
    check_greeting(format!("220 {}\r\n", "x".repeat(65_536))).await;
    check_greeting("2".repeat(65_536)).await;
}

#[tokio::test]
async fn an_endless_reply_after_the_dot_leaves_the_message_in_doubt() {
    let outcome = converse(send, |mut peer| async move {
        peer.greets().await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
        let _ = peer.stream.write_all(format!("250 {}", "x".repeat(65_536)).as_bytes()).await;
    })
    .await;
    assert!(!window(outcome));
}

#[tokio::test]
async fn a_reply_that_comes_byte_by_byte_and_not_in_utf8_is_read() {
    let outcome = converse(send, |mut peer| async move {
        for byte in b"220-caf\xe9\r\n220 relay\r\n" {
            peer.stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        peer.hears("EHLO sender.example.com").await;
        peer.says("554 no\r\n").await;
    })
    .await;
    assert_eq!(refusal(outcome), (Stage::Hello, 554));
}

fn certificate(name: &str) -> (TlsRoots, ServerConfig) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsRoots::from_pem(cert.pem().as_bytes()).unwrap(), config)
}

#[tokio::test]
async fn where_tls_is_required_and_not_offered_nothing_is_sent() {
    let (roots, _) = certificate("127.0.0.1");
    let client = |port| async move { send_through(&relay(port, Tls::Required(roots))).await };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 AUTH PLAIN\r\n").await;
        assert_eq!(peer.hears_the_rest().await, "");
    })
    .await;
    assert!(matches!(outcome, Err(Failure::Unusable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn credentials_are_not_sent_in_the_clear() {
    let (roots, _) = certificate("127.0.0.1");
    let client = |port| async move {
        let mut relay = relay(port, Tls::Opportunistic(roots));
        relay.credentials = Some(Credentials::new("user", "secret").unwrap());
        send_through(&relay).await
    };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 AUTH PLAIN LOGIN\r\n").await;
        assert_eq!(peer.hears_the_rest().await, "");
    })
    .await;
    assert!(matches!(outcome, Err(Failure::Unusable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn over_starttls_the_client_greets_again_authenticates_and_sends() {
    let (roots, config) = certificate("127.0.0.1");
    let client = |port| async move {
        let mut relay = relay(port, Tls::Required(roots));
        relay.credentials = Some(Credentials::new("user", "secret").unwrap());
        send_through(&relay).await
    };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 STARTTLS\r\n").await;
        peer.hears("STARTTLS").await;
        peer.says("220 go on\r\n").await;
        let mut peer = peer.encrypts(config).await;
        peer.hears("EHLO sender.example.com").await;
        peer.says("250-relay\r\n250 AUTH LOGIN\r\n").await;
        peer.hears("AUTH LOGIN").await;
        peer.says("334 VXNlcm5hbWU6\r\n").await;
        peer.hears("dXNlcg==").await;
        peer.says("334 UGFzc3dvcmQ6\r\n").await;
        peer.hears("c2VjcmV0").await;
        peer.says("235 ok\r\n").await;
        peer.permits().await;
        peer.hears_until("\r\n.\r\n").await;
        peer.says("250 ok\r\n").await;
    })
    .await;
    outcome.unwrap();
}

#[tokio::test]
async fn refused_credentials_are_a_refusal_at_auth() {
    let (roots, config) = certificate("127.0.0.1");
    let client = |port| async move {
        let mut relay = relay(port, Tls::Required(roots));
        relay.credentials = Some(Credentials::new("user", "secret").unwrap());
        send_through(&relay).await
    };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 STARTTLS\r\n").await;
        peer.hears("STARTTLS").await;
        peer.says("220 go on\r\n").await;
        let mut peer = peer.encrypts(config).await;
        peer.hears("EHLO sender.example.com").await;
        peer.says("250-relay\r\n250 AUTH PLAIN LOGIN\r\n").await;
        peer.hears("AUTH PLAIN AHVzZXIAc2VjcmV0").await;
        peer.says("535 5.7.8 no\r\n").await;
    })
    .await;
    assert_eq!(refusal(outcome), (Stage::Auth, 535));
}

#[tokio::test]
async fn what_arrives_in_the_clear_after_starttls_is_not_read_as_encrypted() {
    let (roots, _) = certificate("127.0.0.1");
    let client = |port| async move { send_through(&relay(port, Tls::Required(roots))).await };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 STARTTLS\r\n").await;
        peer.hears("STARTTLS").await;
        peer.says("220 go on\r\n250 AUTH PLAIN\r\n").await;
        assert_eq!(peer.hears_the_rest().await, "");
    })
    .await;
    assert!(matches!(outcome, Err(Failure::Unusable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_even_when_tls_is_optional() {
    let (roots, config) = certificate("other.example.com");
    let client = |port| async move { send_through(&relay(port, Tls::Opportunistic(roots))).await };
    let outcome = converse(client, |mut peer| async move {
        peer.greets_with("250-relay\r\n250 STARTTLS\r\n").await;
        peer.hears("STARTTLS").await;
        peer.says("220 go on\r\n").await;
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(peer.stream).await;
        assert!(accepted.is_err());
    })
    .await;
    assert!(matches!(outcome, Err(Failure::Unusable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_broken_before_the_dot() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(window(send(port).await));
}

#[tokio::test]
async fn neither_failures_nor_settings_show_credentials() {
    let mut relay = relay(25, Tls::None);
    relay.credentials = Some(Credentials::new("user", "secret").unwrap());
    let shown = format!("{relay:?}");
    assert!(!shown.contains("user") && !shown.contains("secret"), "{shown}");
}
