//! Checking and publishing drafts, and the versions that come of it.

use std::collections::BTreeSet;

use cursus_api::content::finding::Severity;
use cursus_api::content::{
    GetTemplateRequest, GetTemplateVersionRequest, LintTemplateRequest,
    ListTemplateVersionsRequest, PublishTemplateRequest, Source, Template, TemplateVersion,
    UpdateTemplateRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::world::{REQUEST_ID, SPRING, World, reason, source, value};

fn publish_request() -> PublishTemplateRequest {
    PublishTemplateRequest { name: SPRING.to_owned(), ..PublishTemplateRequest::default() }
}

async fn rewrite(world: &World, source: Source) -> Template {
    let template =
        Template { name: SPRING.to_owned(), source: Some(source), ..Template::default() };
    let request = UpdateTemplateRequest { template: Some(template), ..Default::default() };
    world.client("grace").update_template(request).await.unwrap().into_inner()
}

async fn refused(source: Source) -> Status {
    let world = World::new().await;
    world.create(source).await;
    let status = world.publish().await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "TEMPLATE_INVALID")
    );
    assert_eq!(versions(&world).await, [], "nothing is stored");
    let request = GetTemplateRequest { name: SPRING.to_owned() };
    let template = world.client("edith").get_template(request).await.unwrap().into_inner();
    assert_eq!(template.latest_version, "");
    status
}

async fn versions(world: &World) -> Vec<TemplateVersion> {
    let parent = SPRING.to_owned();
    let request = ListTemplateVersionsRequest { parent, ..ListTemplateVersionsRequest::default() };
    let page = world.client("edith").list_template_versions(request).await.unwrap().into_inner();
    page.template_versions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_published_with_its_links_fields_and_digest() {
    let world = World::new().await;
    let elements = "{{ contact.plan }} <a href=\"https://shop.example/spring\">Shop</a>";
    let version = world.published(source(elements)).await;
    assert_eq!(version.name, format!("{SPRING}/versions/1"));
    assert_eq!(version.source, Some(source(elements)));
    assert_eq!(version.links, ["https://shop.example/spring"]);
    let fields: Vec<_> =
        version.fields.iter().map(|it| (it.attribute.as_str(), it.has_default)).collect();
    assert_eq!(fields, [("first_name", true), ("plan", false)]);
    let codes: Vec<_> =
        version.warnings.iter().map(|it| (it.code.as_str(), it.part.as_str(), it.line)).collect();
    assert_eq!(codes, [("MISSING_DEFAULT", "mjml", 2)]);
    assert_eq!(version.digest.len(), 32);

    let request = GetTemplateVersionRequest { name: version.name.clone() };
    let read = world.client("edith").get_template_version(request).await.unwrap().into_inner();
    assert_eq!(read, version);
    let request = GetTemplateRequest { name: SPRING.to_owned() };
    let template = world.client("edith").get_template(request).await.unwrap().into_inner();
    assert_eq!(template.latest_version, version.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_refused_with_the_closest_name() {
    let status = refused(source("Dear {{ contact.frist_name }}")).await;
    assert!(status.message().contains("frist_name"), "{}", status.message());
    assert!(
        status.message().contains("did you mean `contact.first_name`?"),
        "{}",
        status.message()
    );
    assert!(status.message().contains("mjml, line 2"), "{}", status.message());
    let found = ["code", "part", "line"].map(|field| value(&status, field));
    assert_eq!(found, ["UNKNOWN_FIELD", "mjml", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_without_an_unsubscribe_link_is_refused() {
    let mut draft = source("Hi");
    draft.mjml = draft.mjml.replace("{{ unsubscribe_url }}", "https://shop.example/");
    let status = refused(draft).await;
    assert_eq!(value(&status, "code"), "MISSING_UNSUBSCRIBE_LINK");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_jinja_is_refused_with_its_part() {
    let status = refused(Source { subject: "Hi {{ contact.".to_owned(), ..source("Hi") }).await;
    assert_eq!(value(&status, "part"), "subject");
    let status = refused(source("{% if contact.vip %}Hi")).await;
    assert_eq!(value(&status, "part"), "mjml");
}

#[tokio::test(flavor = "multi_thread")]
async fn linting_finds_what_publishing_would_and_changes_nothing() {
    let world = World::new().await;
    let lint = async || {
        let request = LintTemplateRequest { name: SPRING.to_owned() };
        world.client("edith").lint_template(request).await.unwrap().into_inner().findings
    };
    let before = world.create(source("{{ contact.plan }} {{ contact.nonsense_of_mine }}")).await;
    let findings = lint().await;
    assert_eq!(findings[0].code, "UNKNOWN_FIELD");
    assert_eq!(findings[0].severity(), Severity::Error, "errors come first");
    let request = GetTemplateRequest { name: SPRING.to_owned() };
    let after = world.client("edith").get_template(request).await.unwrap().into_inner();
    assert_eq!(after, before);

    rewrite(&world, source("{{ contact.plan }}")).await;
    let findings = lint().await;
    let found: Vec<_> = findings.iter().map(|it| (it.code.as_str(), it.severity())).collect();
    assert_eq!(found, [("MISSING_DEFAULT", Severity::Warning)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_versions_never_change() {
    let world = World::new().await;
    let first = world.published(source("First")).await;
    rewrite(&world, source("Second")).await;
    let second = world.publish().await.unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!(versions(&world).await, [second, first], "newest first");

    let changing = sqlx::query("update versions set compiled_html = ''");
    let refused = changing.execute(&world.database.pool).await.unwrap_err();
    assert!(refused.to_string().contains("never changes"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_draft_has_the_same_digest() {
    let world = World::new().await;
    let first = world.published(source("Hi")).await;
    let second = world.publish().await.unwrap();
    assert_eq!((first.digest, second.name), (second.digest, format!("{SPRING}/versions/2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_publishing_numbers_versions_without_a_gap() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    let mut publishing = JoinSet::new();
    for _ in 0..12 {
        let mut client = world.client("grace");
        publishing.spawn(async move { client.publish_template(publish_request()).await });
    }
    let published = publishing.join_all().await;
    let names: BTreeSet<_> =
        published.into_iter().map(|it| it.unwrap().into_inner().name).collect();
    let expected: BTreeSet<_> = (1..=12).map(|n| format!("{SPRING}/versions/{n}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_page_by_page() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    for _ in 0..3 {
        world.publish().await.unwrap();
    }
    let mut client = world.client("edith");
    let request = ListTemplateVersionsRequest {
        parent: SPRING.to_owned(),
        page_size: 2,
        page_token: String::new(),
    };
    let first = client.list_template_versions(request.clone()).await.unwrap().into_inner();
    let rest = ListTemplateVersionsRequest { page_token: first.next_page_token, ..request };
    let second = client.list_template_versions(rest).await.unwrap().into_inner();
    assert_eq!(second.next_page_token, "");
    let names = first.template_versions.into_iter().chain(second.template_versions);
    let numbers: Vec<_> = names.map(|it| it.name.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(numbers, ["3", "2", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_draft_that_was_read_is_published() {
    let world = World::new().await;
    let read = world.create(source("Mine")).await;
    rewrite(&world, source("Yours")).await;
    let request = PublishTemplateRequest { etag: read.etag, ..publish_request() };
    let status = world.client("grace").publish_template(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "STALE_ETAG"));
    assert_eq!(versions(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_publishing_gets_the_first_version_though_the_draft_has_changed() {
    let world = World::new().await;
    let read = world.create(source("Hi")).await;
    let request = PublishTemplateRequest {
        etag: read.etag,
        request_id: REQUEST_ID.to_owned(),
        ..publish_request()
    };
    let mut client = world.client("grace");
    let first = client.publish_template(request.clone()).await.unwrap().into_inner();
    rewrite(&world, source("{{ contact.nonsense_of_mine }}")).await;
    world.segmentation.script().is_down = true;
    assert_eq!(client.publish_template(request).await.unwrap().into_inner(), first);
    assert_eq!(versions(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_sent_many_times_at_once_publishes_once() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    let mut publishing = JoinSet::new();
    for _ in 0..6 {
        let mut client = world.client("grace");
        let request =
            PublishTemplateRequest { request_id: REQUEST_ID.to_owned(), ..publish_request() };
        publishing.spawn(async move { client.publish_template(request).await });
    }
    for published in publishing.join_all().await {
        assert_eq!(published.unwrap().into_inner().name, format!("{SPRING}/versions/1"));
    }
    assert_eq!(versions(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_waits_for_segmentation_to_come_back() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    world.segmentation.script().is_down = true;
    let status = world.publish().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "PEER_UNAVAILABLE"));
    world.segmentation.script().is_down = false;
    assert!(world.publish().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found() {
    let world = World::new().await;
    let status = world.publish().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_TEMPLATE"));
    world.published(source("Hi")).await;
    for number in ["2", "4294967295"] {
        let request = GetTemplateVersionRequest { name: format!("{SPRING}/versions/{number}") };
        let status = world.client("edith").get_template_version(request).await.unwrap_err();
        assert_eq!(reason(&status), "NO_SUCH_TEMPLATE_VERSION");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_changes_while_it_is_compiled_is_compiled_again() {
    let world = World::new().await;
    world.create(source("Old")).await;
    let new = source("New");
    let mut changing = world.database.pool.begin().await.unwrap();
    let change = sqlx::query("update templates set mjml = $1, revision = revision + 1");
    change.bind(&new.mjml).execute(&mut *changing).await.unwrap();

    let mut client = world.client("grace");
    let mut publishing = JoinSet::new();
    publishing.spawn(async move { client.publish_template(publish_request()).await });
    let waiting = "select count(*) from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&world.database.pool).await.unwrap() == 0
    {
        assert!(publishing.try_join_next().is_none(), "it does not wait for the change");
        tokio::task::yield_now().await;
    }
    changing.commit().await.unwrap();
    let version = publishing.join_next().await.unwrap().unwrap().unwrap().into_inner();
    assert_eq!(version.source, Some(new));
    assert_eq!(versions(&world).await, [version]);
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_that_cannot_be_stored_do_not_break_publishing() {
    let world = World::new().await;
    world
        .create(source("Hi &#0; there &#x1; <a href=\"https://shop.example/&#0;\">Shop</a>"))
        .await;
    let outcome = world.publish().await.map_err(|status| status.code());
    assert!(matches!(outcome, Ok(_) | Err(Code::InvalidArgument)), "{outcome:?}");
}
