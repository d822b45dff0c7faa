//! The sink as a client sees it, byte by byte.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const ENVELOPE: &str = "EHLO me\r\nMAIL FROM:<a@x> SIZE=9\r\nRCPT TO:<b@y>\r\nDATA\r\n";

/// Sends everything at once, and returns what was answered until the server closed.
async fn converse(sink: &Sink, script: &str) -> String {
    let mut stream = TcpStream::connect(sink.address()).await.unwrap();
    stream.write_all(script.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn last_line(answer: &str) -> &str {
    answer.lines().last().unwrap()
}

#[tokio::test]
async fn a_pipelined_message_is_kept_with_its_envelope_and_its_dots_unstuffed() {
    let sink = Sink::start().await.unwrap();
    let answer =
        converse(&sink, &format!("{ENVELOPE}Subject: s\r\n\r\n..dot\r\n.\r\nQUIT\r\n")).await;
    assert!(answer.ends_with("250 2.0.0 accepted\r\n221 2.0.0 bye\r\n"), "{answer}");
    let delivery = sink.deliveries().remove(0);
    assert_eq!(
        (delivery.sender.as_str(), delivery.recipients.as_slice()),
        ("a@x", &["b@y".into()][..])
    );
    assert_eq!(sink.message(&delivery).unwrap().raw(), b"Subject: s\r\n\r\n.dot\r\n");
}

#[tokio::test]
async fn a_connection_carries_several_messages_and_each_recipient_is_counted() {
    let sink = Sink::start().await.unwrap();
    let one = "MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\nDATA\r\nx\r\n.\r\n";
    converse(&sink, &format!("HELO me\r\n{one}{one}MAIL FROM:<z@x>\r\nRSET\r\nQUIT\r\n")).await;
    let counts = sink.deliveries_by_recipient();
    assert_eq!(counts, [("b@y".to_owned(), 2), ("c@y".to_owned(), 2)].into());
    assert_eq!(sink.deliveries_from(1).len(), 1);
}

#[tokio::test]
async fn a_refused_recipient_gets_its_code_and_the_others_their_mail() {
    let sink = Sink::scripted(|step| match step {
        Step::Recipient { recipient: "gone@y", .. } => Answer::refuse(550, "5.1.1 no such user"),
        _ => Answer::Accept,
    });
    let sink = sink.await.unwrap();
    let envelope = ENVELOPE.replace("RCPT", "RCPT TO:<gone@y>\r\nRCPT");
    assert!(
        converse(&sink, &format!("{envelope}x\r\n.\r\nQUIT\r\n"))
            .await
            .contains("550 5.1.1 no such user\r\n250 2.1.5")
    );
    assert_eq!(sink.deliveries_by_recipient(), [("b@y".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_deferred_message_is_not_kept() {
    let sink = Sink::scripted(|step| match step {
        Step::Message { .. } => Answer::refuse(451, "4.7.1 later"),
        _ => Answer::Accept,
    });
    let sink = sink.await.unwrap();
    let answer = converse(&sink, &format!("{ENVELOPE}x\r\n.\r\nQUIT\r\n")).await;
    assert!(answer.contains("451 4.7.1 later\r\n"), "{answer}");
    assert_eq!(sink.count(), 0);
}

#[tokio::test]
async fn hanging_up_after_the_dot_tells_the_client_nothing() {
    for (answer, kept) in [(Answer::AcceptThenHangUp, 1), (Answer::HangUp, 0)] {
        let sink = Sink::scripted(move |step| match step {
            Step::Message { .. } => answer.clone(),
            _ => Answer::Accept,
        });
        let sink = sink.await.unwrap();
        let answer = converse(&sink, &format!("{ENVELOPE}x\r\n.\r\n")).await;
        assert_eq!(last_line(&answer), "354 end with a dot");
        assert_eq!(sink.count(), kept);
    }
}

#[tokio::test]
async fn a_delayed_refusal_comes_after_the_delay() {
    let delay = Duration::from_millis(30);
    let sink = Sink::scripted(move |step| match step {
        Step::Connection => Answer::After(delay, Box::new(Answer::refuse(421, "4.3.2 busy"))),
        _ => Answer::Accept,
    });
    let sink = sink.await.unwrap();
    let started = Instant::now();
    assert!(converse(&sink, "QUIT\r\n").await.starts_with("421 4.3.2 busy\r\n"));
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn a_bare_line_end_around_a_dot_does_not_end_the_message_and_refuses_it() {
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r"] {
        let sink = Sink::start().await.unwrap();
        let smuggled = "MAIL FROM:<evil@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n";
        let answer = converse(&sink, &format!("{ENVELOPE}x{end}{smuggled}")).await;
        assert!(answer.contains("554 5.6.0 bare line end\r\n221"), "{end:?}: {answer}");
        assert_eq!(sink.count(), 0);
    }
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let sink = Sink::start().await.unwrap();
    let answer = converse(&sink, &"x".repeat(4_096)).await;
    assert_eq!(last_line(&answer), "500 5.5.2 line too long");
}

#[tokio::test]
async fn commands_out_of_order_are_refused() {
    let sink = Sink::start().await.unwrap();
    let answer =
        converse(&sink, "RCPT TO:<b@y>\r\nDATA\r\nMAIL TO:<x>\r\nVRFY x\r\nQUIT\r\n").await;
    let codes: Vec<&str> = answer.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "503", "503", "501", "500", "221"]);
}

#[tokio::test]
async fn waiting_ends_when_the_messages_are_there() {
    let sink = Sink::start().await.unwrap();
    let script = format!("{ENVELOPE}x\r\n.\r\nQUIT\r\n");
    let (waited, _) = tokio::join!(sink.wait_for(1), converse(&sink, &script));
    waited.unwrap();
}

#[tokio::test]
async fn a_dropped_sink_no_longer_listens() {
    let sink = Sink::start().await.unwrap();
    let address = sink.address();
    let mut open = TcpStream::connect(address).await.unwrap();
    drop(sink);
    drop(open.read_to_end(&mut Vec::new()).await);
    assert!(TcpStream::connect(address).await.is_err());
}
