//! Saying what contacts will read.

use cursus_api::content::{
    Recipient, RenderMessagesRequest, RenderMessagesResponse, RenderedMessage, Source,
};
use cursus_api::segmentation::value::Kind;
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::segmentation::{text, texts};
use crate::world::{SPRING, World, reason, source, value};

const UNSUBSCRIBE: &str = "https://track.example.com/u/1?a=1&b=2";

fn recipient(id: &str) -> Recipient {
    Recipient {
        contact: format!("workspaces/acme/contacts/{id}"),
        unsubscribe_url: UNSUBSCRIBE.to_owned(),
        ..Recipient::default()
    }
}

async fn render(world: &World, recipients: Vec<Recipient>) -> Result<Vec<RenderedMessage>, Status> {
    let template_version = format!("{SPRING}/versions/1");
    let request = RenderMessagesRequest { template_version, recipients };
    let answer = world.client("delivery").render_messages(request).await?;
    let RenderMessagesResponse { messages } = answer.into_inner();
    Ok(messages)
}

async fn one(world: &World, id: &str) -> RenderedMessage {
    let mut messages = render(world, vec![recipient(id)]).await.unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn assert_contains(whole: &str, part: &str) {
    assert!(whole.contains(part), "no `{part}` in {whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_defaults_follow_the_contact() {
    let world = World::new().await;
    let elements = "{% if contact.vip %}For the few{% else %}For the many{% endif %}";
    world.published(source(elements)).await;
    world.segmentation.knows("ann", [("first_name", text("Ann")), ("vip", Kind::Flag(true))]);
    world.segmentation.knows("bob", []);
    let messages = render(&world, vec![recipient("ann"), recipient("bob")]).await.unwrap();
    assert_eq!(
        (messages[0].subject.as_str(), messages[1].subject.as_str()),
        ("Hello Ann", "Hello there")
    );
    assert_contains(&messages[0].html, "For the few");
    assert_contains(&messages[0].text, "For the few");
    assert_contains(&messages[1].html, "For the many");
    assert!(!messages[1].html.contains("For the few"));
    for message in &messages {
        assert_contains(&message.html, "https://track.example.com/u/1?a=1&amp;b=2");
        assert_contains(&message.text, UNSUBSCRIBE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_kind_read_as_people_write_them() {
    let world = World::new().await;
    let elements = "[{{ contact.spend }}] [{{ contact.vip }}] [{{ contact.renews }}] \
        [{% for tag in contact.tags %}{{ tag }};{% endfor %}] [{{ contact.email }}] [{{ contact.create_time }}]";
    world.published(source(elements)).await;
    let renews = Timestamp { seconds: 1_790_000_000, nanos: 0 };
    world.segmentation.knows(
        "ann",
        [
            ("spend", Kind::Number(42.0)),
            ("vip", Kind::Flag(false)),
            ("renews", Kind::Time(renews)),
            ("tags", texts(["new", "warm"])),
        ],
    );
    let message = one(&world, "ann").await;
    assert_contains(&message.html, "[42] [False] [2026-09-21T14:13:20Z] [new;warm;]");
    assert_contains(&message.html, "[ann@example.com] [2026-01-01T00:00:00Z]");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_replaced_when_asked_and_kept_otherwise() {
    let world = World::new().await;
    let elements =
        "<a href=\"https://shop.example/a\">A</a> <a href=\"https://shop.example/b\">B</a>";
    let version = world.published(source(elements)).await;
    assert_eq!(version.links, ["https://shop.example/a", "https://shop.example/b"]);
    world.segmentation.knows("ann", []);

    let kept = one(&world, "ann").await;
    assert_contains(&kept.html, "\"https://shop.example/a\"");
    assert!(!kept.html.contains("<img"), "there is no pixel without an address");

    let tracked = Recipient {
        link_urls: ["x", "y"].map(|it| format!("https://track.example.com/c/{it}")).into(),
        open_pixel_url: "https://track.example.com/o/1".to_owned(),
        ..recipient("ann")
    };
    let tracked = render(&world, vec![tracked]).await.unwrap().remove(0);
    assert_contains(&tracked.html, "\"https://track.example.com/c/y\"");
    assert_contains(&tracked.html, "\"https://track.example.com/o/1\"");
    assert_contains(&tracked.text, "https://track.example.com/c/x");
    assert!(!tracked.html.contains("shop.example"), "{}", tracked.html);

    let misfit =
        Recipient { link_urls: vec!["https://track.example.com".to_owned()], ..recipient("ann") };
    let status = render(&world, vec![recipient("ann"), misfit]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(value(&status, "field"), "recipients[1].link_urls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_contact_fails_alone() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    world.segmentation.knows("ann", []);
    world.segmentation.knows("bob", []);
    let recipients = ["ann", "gone", "bob"].map(recipient).into();
    let messages = render(&world, recipients).await.unwrap();
    let reasons: Vec<_> = messages.iter().map(|it| it.failure_reason.as_str()).collect();
    assert_eq!(reasons, ["", "NO_SUCH_CONTACT", ""]);
    assert_eq!(messages[1].contact, "workspaces/acme/contacts/gone");
    assert_eq!((messages[1].html.as_str(), messages[1].subject.as_str()), ("", ""));
    assert_ne!(messages[1].failure_message, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_contact_that_was_merged_reads_as_for_the_one_it_became() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    world.segmentation.knows("ann", [("first_name", text("Ann"))]);
    let name = |id: &str| format!("workspaces/acme/contacts/{id}");
    world.segmentation.script().aliases.insert(name("visitor"), name("ann"));
    let messages = render(&world, vec![recipient("visitor"), recipient("ann")]).await.unwrap();
    for (message, id) in messages.iter().zip(["visitor", "ann"]) {
        assert_eq!((message.contact.as_str(), message.subject.as_str()), (&*name(id), "Hello Ann"));
    }
    assert_eq!(render(&world, vec![recipient("visitor")]).await.unwrap()[0].subject, "Hello Ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rendered_for_one_contact_fails_alone() {
    let world = World::new().await;
    // The template works for every value that the rehearsal knows, and not for a very long list.
    let elements = "{% for a in contact.tags %}{% for b in contact.tags %}{% for c in contact.tags %}\
        {{ a }}{{ b }}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    world.published(source(elements)).await;
    let tags: Vec<String> = (0..64).map(|n| format!("tag-{n}")).collect();
    let tags = cursus_api::segmentation::TextSet { items: tags };
    world.segmentation.knows("ann", [("tags", Kind::Texts(tags))]);
    world.segmentation.knows("bob", [("tags", texts(["x"]))]);
    let messages = render(&world, vec![recipient("ann"), recipient("bob")]).await.unwrap();
    assert_eq!(messages[0].failure_reason, "TOO_LARGE");
    assert_eq!(messages[1].failure_reason, "");
    assert_contains(&messages[1].html, "xxx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_cannot_add_a_header_or_markup() {
    let world = World::new().await;
    world.published(source("Dear {{ contact.first_name }}")).await;
    let name = "Eve\r\nBcc: all@example.com\u{2028}\0<script>alert(1)</script>";
    world.segmentation.knows("eve", [("first_name", text(name))]);
    let message = one(&world, "eve").await;
    assert!(!message.subject.contains(char::is_control), "{:?}", message.subject);
    assert!(message.subject.starts_with("Hello Eve Bcc: all@example.com"), "{:?}", message.subject);
    assert!(!message.html.contains("<script>"), "{}", message.html);
    assert_contains(&message.html, "&lt;script&gt;");
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_fetched_in_one_call_and_each_once() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    world.segmentation.knows("ann", []);
    world.segmentation.knows("bob", []);
    let recipients = ["ann", "bob", "ann"].map(recipient).into();
    let messages = render(&world, recipients).await.unwrap();
    assert_eq!(messages.iter().filter(|it| it.failure_reason.is_empty()).count(), 3);
    assert_eq!(world.segmentation.script().asked, [("workspaces/acme".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_versions_than_are_kept_in_memory_are_still_rendered() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    world.segmentation.knows("ann", []);
    for _ in 0..4 {
        world.publish().await.unwrap();
    }
    for number in [1, 2, 3, 4, 1] {
        let request = RenderMessagesRequest {
            template_version: format!("{SPRING}/versions/{number}"),
            recipients: vec![recipient("ann")],
        };
        let answer = world.client("delivery").render_messages(request).await.unwrap();
        assert_eq!(answer.into_inner().messages[0].subject, "Hello there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_a_usual_message_is_answered() {
    let world = World::new().await;
    world.published(source(&"words that fill a line and say little. ".repeat(1_000))).await;
    for n in 0..500 {
        world.segmentation.knows(&format!("c{n}"), []);
    }
    let recipients = (0..500).map(|n| recipient(&format!("c{n}"))).collect();
    let messages = render(&world, recipients).await.unwrap();
    let rendered: Vec<_> = messages.iter().filter(|it| it.failure_reason.is_empty()).collect();
    let bytes: usize = rendered.iter().map(|it| it.html.len() + it.text.len()).sum();
    assert!(bytes > 30 << 20, "{bytes}");
    assert_eq!(rendered.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_batches_are_refused_with_their_field() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    let foreign =
        Recipient { contact: "workspaces/other/contacts/ann".to_owned(), ..recipient("ann") };
    let unbound = Recipient { unsubscribe_url: String::new(), ..recipient("ann") };
    let nameless = Recipient { contact: "ann".to_owned(), ..recipient("ann") };
    for (recipients, field) in [
        (vec![recipient("ann"), foreign], "recipients[1].contact"),
        (vec![nameless], "recipients[0].contact"),
        (vec![unbound], "recipients[0].unsubscribe_url"),
        (vec![recipient("ann"); 501], "recipients"),
    ] {
        let status = render(&world, recipients).await.unwrap_err();
        assert_eq!(reason(&status), "INVALID_FIELD");
        assert_eq!(value(&status, "field"), field);
    }
    assert_eq!(world.segmentation.script().asked, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_contacts_of_other_workspaces_are_out_of_reach() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    world.segmentation.knows("ann", []);
    assert_eq!(one(&world, "ann").await.failure_reason, "", "the version is in memory now");
    let request = |workspace: &str| RenderMessagesRequest {
        template_version: format!("workspaces/{workspace}/templates/spring/versions/1"),
        recipients: vec![Recipient {
            contact: format!("workspaces/{workspace}/contacts/ann"),
            ..recipient("ann")
        }],
    };
    let status = world.client("mallory").render_messages(request("acme")).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_IN_WORKSPACE");
    let status = world.client("mallory").render_messages(request("other")).await.unwrap_err();
    assert_eq!(reason(&status), "NO_SUCH_TEMPLATE_VERSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rendered_while_segmentation_is_away() {
    let world = World::new().await;
    world.published(source("Hi")).await;
    world.segmentation.knows("ann", []);
    world.segmentation.script().is_down = true;
    let status = render(&world, vec![recipient("ann")]).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "PEER_UNAVAILABLE"));
    world.segmentation.script().is_down = false;
    assert_eq!(one(&world, "ann").await.failure_reason, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_text_part_is_filled_in_too() {
    let world = World::new().await;
    let text_part = "Hi {{ contact.first_name }}, leave: {{ unsubscribe_url }}".to_owned();
    world.published(Source { text: text_part, ..source("Hi") }).await;
    world.segmentation.knows("ann", [("first_name", text("Ann & Bob"))]);
    assert_eq!(one(&world, "ann").await.text.trim(), format!("Hi Ann & Bob, leave: {UNSUBSCRIBE}"));
}
