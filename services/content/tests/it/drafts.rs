//! Creating templates, changing their drafts and listing them.

use cursus_api::content::{
    CreateTemplateRequest, GetTemplateRequest, ListTemplatesRequest, Source, Template,
    UpdateTemplateRequest,
};
use prost_types::FieldMask;
use tonic::Code;

use crate::world::{REQUEST_ID, SPRING, World, create_request, reason, source, value};

fn update_request(template: Template, paths: &[&str]) -> UpdateTemplateRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateTemplateRequest {
        template: Some(Template { name: SPRING.to_owned(), ..template }),
        update_mask: Some(FieldMask { paths }),
        request_id: String::new(),
    }
}

async fn get(world: &World) -> Template {
    let request = GetTemplateRequest { name: SPRING.to_owned() };
    world.client("edith").get_template(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_read_as_it_was_created() {
    let world = World::new().await;
    let created = world.create(source("Hi")).await;
    assert_eq!(created.name, SPRING);
    assert_eq!((created.display_name.as_str(), created.latest_version.as_str()), ("Spring", ""));
    assert_eq!(created.source, Some(source("Hi")));
    assert_eq!(get(&world).await, created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_touches_only_what_the_mask_names() {
    let world = World::new().await;
    let before = world.create(source("Hi")).await;
    world.advance();
    let change = Template {
        display_name: "Summer".to_owned(),
        source: Some(Source::default()),
        ..Template::default()
    };
    let request = update_request(change, &["display_name"]);
    let after = world.client("grace").update_template(request).await.unwrap().into_inner();
    assert_eq!((after.display_name.as_str(), &after.source), ("Summer", &before.source));
    assert_ne!(after.etag, before.etag);
    assert_ne!(after.update_time, before.update_time);
    assert_eq!(after.create_time, before.create_time);
    assert_eq!(get(&world).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_names_something_else_is_refused() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    for paths in [&[][..], &["name"], &["display_name", "source.mjml"]] {
        let request = update_request(Template::default(), paths);
        let status = world.client("grace").update_template(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(value(&status, "field"), "update_mask");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let world = World::new().await;
    let read = world.create(source("Hi")).await;
    let change = |display_name: &str, etag: &str| {
        let template = Template {
            display_name: display_name.to_owned(),
            etag: etag.to_owned(),
            ..Template::default()
        };
        update_request(template, &["display_name"])
    };
    let mut client = world.client("grace");
    client.update_template(change("Mine", &read.etag)).await.unwrap();
    let status = client.update_template(change("Yours", &read.etag)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "STALE_ETAG"));
    assert_eq!(get(&world).await.display_name, "Mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer() {
    let world = World::new().await;
    let request =
        CreateTemplateRequest { request_id: REQUEST_ID.to_owned(), ..create_request(source("Hi")) };
    let mut client = world.client("grace");
    let first = client.create_template(request.clone()).await.unwrap().into_inner();
    world.advance();
    assert_eq!(client.create_template(request.clone()).await.unwrap().into_inner(), first);

    let other = CreateTemplateRequest { template_id: "other".to_owned(), ..request };
    let status = client.create_template(other).await.unwrap_err();
    assert_eq!(reason(&status), "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_once() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    let again = world.client("grace").create_template(create_request(source("Ho"))).await;
    let status = again.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "TEMPLATE_EXISTS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_listed_by_id_page_by_page() {
    let world = World::new().await;
    let mut client = world.client("grace");
    for id in ["b", "a", "B", "c-1", "c.1"] {
        let request =
            CreateTemplateRequest { template_id: id.to_owned(), ..create_request(source("Hi")) };
        client.create_template(request).await.unwrap();
    }
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let parent = "workspaces/acme".to_owned();
        let request = ListTemplatesRequest { parent, page_size: 2, page_token };
        let page = client.list_templates(request).await.unwrap().into_inner();
        assert!(page.templates.len() <= 2);
        ids.extend(
            page.templates.into_iter().map(|it| it.name.replace("workspaces/acme/templates/", "")),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["B", "a", "b", "c-1", "c.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_drafts_make_small_pages() {
    let world = World::new().await;
    let mut client = world.client("grace").max_decoding_message_size(4 << 20);
    for id in ["a", "b", "c", "d", "e"] {
        let source = Source { mjml: "x".repeat(1_000_000), ..Source::default() };
        let request =
            CreateTemplateRequest { template_id: id.to_owned(), ..create_request(source) };
        client.create_template(request).await.unwrap();
    }
    let parent = "workspaces/acme".to_owned();
    let request = ListTemplatesRequest { parent, ..ListTemplatesRequest::default() };
    let first = client.list_templates(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.templates.len(), 3);
    let request = ListTemplatesRequest { page_token: first.next_page_token, ..request };
    let second = client.list_templates(request).await.unwrap().into_inner();
    assert_eq!((second.templates.len(), second.next_page_token.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_with_their_field() {
    let world = World::new().await;
    let mut client = world.client("grace");
    let nul = Source { subject: "a\0b".to_owned(), ..source("Hi") };
    let create = |change: fn(&mut CreateTemplateRequest)| {
        let mut request = create_request(source("Hi"));
        change(&mut request);
        request
    };
    for (request, field) in [
        (create(|it| it.parent = "acme".to_owned()), "parent"),
        (create(|it| it.template_id = "no spaces".to_owned()), "template_id"),
        (create_request(nul), "template.source.subject"),
    ] {
        let status = client.create_template(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert_eq!(value(&status, "field"), field);
    }
    let parent = "workspaces/acme".to_owned();
    let request = ListTemplatesRequest { parent, page_size: 1, page_token: "made-up".to_owned() };
    let status = client.list_templates(request).await.unwrap_err();
    assert_eq!(value(&status, "field"), "page_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_another_workspace_or_writes_as_a_viewer() {
    let world = World::new().await;
    world.create(source("Hi")).await;
    let request = GetTemplateRequest { name: SPRING.to_owned() };
    let status = world.client("mallory").get_template(request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "NOT_IN_WORKSPACE")
    );
    let status = world.client("edith").create_template(create_request(source("Hi"))).await;
    assert_eq!(reason(&status.unwrap_err()), "ROLE_REQUIRED");

    let parent = "workspaces/other".to_owned();
    let request = ListTemplatesRequest { parent, ..ListTemplatesRequest::default() };
    let listed = world.client("mallory").list_templates(request).await.unwrap().into_inner();
    assert_eq!(listed.templates, []);
    let request = GetTemplateRequest { name: "workspaces/other/templates/spring".to_owned() };
    let status = world.client("mallory").get_template(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_TEMPLATE"));
}
