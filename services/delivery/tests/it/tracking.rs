//! What recipients can do, and what nobody can.

use std::net::SocketAddr;

use cursus_api::delivery::{
    Actor, GetSuppressionRequest, Outcome, broadcast::State, outcome::Kind, suppression,
};
use cursus_testkit::sink::Sink;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};

use crate::peers::LINKS;
use crate::world::{Service, TRACKING, World, answered, create};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

/// A message that has arrived, and the ways its recipient can answer.
struct Mail {
    world: World,
    service: Service,
    clicks: Vec<String>,
    pixel: String,
    unsubscribe: String,
}

async fn mail() -> Mail {
    let world = World::new(Sink::start().await.unwrap()).await;
    world.peers.audience(["t0".to_owned()]);
    let service = world.start_with_sender().await;
    create(&service).await;
    service.reaches(State::Complete).await;
    let message = world.sink.message(&world.sink.deliveries()[0]).unwrap();
    let html = message.html().unwrap();
    let path = |kind: &str| -> Vec<String> {
        let start = format!("{TRACKING}/{kind}/");
        let urls = html.split('"').filter(|url| url.starts_with(&start));
        urls.map(|url| url[TRACKING.len()..].to_owned()).collect()
    };
    Mail {
        clicks: path("c"),
        pixel: path("o").remove(0),
        unsubscribe: path("u").remove(0),
        world,
        service,
    }
}

impl Mail {
    async fn ask(&self, method: Method, path: &str, agent: &str, body: &'static str) -> Response {
        let address: SocketAddr = self.service.tracking;
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        client
            .request(method, format!("http://{address}{path}"))
            .header(USER_AGENT, agent)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, BROWSER, "").await
    }

    async fn engagements(&self) -> i64 {
        let counting = sqlx::query_scalar("select count(*) from engagements");
        counting.fetch_one(&self.world.pool).await.unwrap()
    }

    async fn is_suppressed(&self) -> bool {
        let request = GetSuppressionRequest {
            parent: "workspaces/acme".to_owned(),
            address: "t0@example.com".to_owned(),
        };
        match answered(self.service.client("edith").get_suppression(request)).await {
            Ok(found) => {
                assert_eq!(found.reason(), suppression::Reason::Unsubscribed);
                true
            }
            Err(_) => false,
        }
    }
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> String {
    response.headers().get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_click_leads_to_the_templates_destination_and_is_recorded_once_per_actor() {
    let mail = mail().await;
    assert_eq!(mail.clicks.len(), 2);
    for _ in 0..3 {
        let response = mail.get(&mail.clicks[1]).await;
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(header(&response, LOCATION), LINKS[1]);
        assert!(header(&response, CACHE_CONTROL).contains("no-store"));
        assert_eq!(header(&response, REFERRER_POLICY), "no-referrer");
        mail.ask(Method::GET, &mail.clicks[1], "curl/8.5.0", "").await;
    }
    let mut outcomes = mail.service.outcomes(3).await.split_off(1);
    assert_eq!(mail.engagements().await, 2);
    outcomes.sort_by_key(|it| it.actor);
    let told: Vec<_> = outcomes.iter().map(|it| (it.kind(), it.actor(), it.url.as_str())).collect();
    let clicked = |actor| (Kind::Clicked, actor, LINKS[1]);
    assert_eq!(told, [clicked(Actor::Human), clicked(Actor::Machine)]);
}

#[tokio::test]
async fn a_pixel_is_the_same_picture_whatever_it_records() {
    let mail = mail().await;
    let good = mail.get(&mail.pixel).await;
    assert_eq!(
        (good.status(), header(&good, CONTENT_TYPE).as_str()),
        (StatusCode::OK, "image/gif")
    );
    let bad = mail.get("/o/made-up").await;
    assert_eq!(bad.status(), StatusCode::OK);
    assert_eq!(bad.headers().get(CACHE_CONTROL), good.headers().get(CACHE_CONTROL));
    assert_eq!(bad.bytes().await.unwrap(), good.bytes().await.unwrap());
    mail.ask(Method::GET, &mail.pixel, "Mozilla/5.0", "").await;
    let outcomes = mail.service.outcomes(3).await;
    let actors: Vec<_> = outcomes[1..].iter().map(|it| (it.kind(), it.actor())).collect();
    assert_eq!(actors, [(Kind::Opened, Actor::Human), (Kind::Opened, Actor::Machine)]);
}

#[tokio::test]
async fn a_head_request_leaves_no_trace() {
    let mail = mail().await;
    mail.ask(Method::HEAD, &mail.pixel, BROWSER, "").await;
    let response = mail.ask(Method::HEAD, &mail.clicks[0], BROWSER, "").await;
    assert_eq!(response.status(), StatusCode::FOUND);
    mail.ask(Method::HEAD, &mail.unsubscribe, BROWSER, "").await;
    assert_eq!(mail.engagements().await, 0);
    assert!(!mail.is_suppressed().await);
}

#[tokio::test]
async fn following_the_unsubscribe_link_shows_a_form_and_changes_nothing() {
    let mail = mail().await;
    let response = mail.get(&mail.unsubscribe).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(header(&response, CONTENT_TYPE).starts_with("text/html"));
    let page = response.text().await.unwrap();
    assert!(page.contains("<form method=\"post\">") && page.contains("lang=\"en\""), "{page}");
    assert!(!mail.is_suppressed().await);
    let vague = mail.ask(Method::POST, &mail.unsubscribe, BROWSER, "hello=world").await;
    assert_eq!(vague.status(), StatusCode::BAD_REQUEST);
    assert_eq!(mail.engagements().await, 0);
    assert!(!mail.is_suppressed().await);
}

#[tokio::test]
async fn unsubscribing_twice_is_one_fact_and_the_next_broadcast_passes_over() {
    let mail = mail().await;
    for _ in 0..2 {
        let response =
            mail.ask(Method::POST, &mail.unsubscribe, "", "List-Unsubscribe=One-Click").await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert!(mail.is_suppressed().await);
    let pressed = mail.ask(Method::POST, &mail.unsubscribe, BROWSER, "confirm=yes").await;
    assert_eq!(pressed.status(), StatusCode::OK);
    // A click after it shows that no second unsubscription came before.
    mail.get(&mail.clicks[0]).await;
    let kinds: Vec<_> = mail.service.outcomes(3).await.iter().map(Outcome::kind).collect();
    assert_eq!(kinds, [Kind::Accepted, Kind::Unsubscribed, Kind::Clicked]);

    let mut request = crate::world::create_request();
    request.broadcast_id = "summer".to_owned();
    let mut client = mail.service.client("orchestrator");
    answered(client.create_broadcast(request)).await.unwrap();
    let name = "workspaces/acme/broadcasts/summer".to_owned();
    let ledger = crate::world::until("planned", async || {
        let get = cursus_api::delivery::GetBroadcastRequest { name: name.clone() };
        let broadcast = answered(client.clone().get_broadcast(get)).await.unwrap();
        if broadcast.state() == State::Complete {
            Ok(broadcast.ledger.unwrap())
        } else {
            Err(String::new())
        }
    })
    .await;
    assert_eq!(ledger.suppressed_counts, crate::world::counts(&[("UNSUBSCRIBED", 1)]));
    assert_eq!(mail.world.sink.count(), 1);
}

#[tokio::test]
async fn a_token_that_was_tampered_with_or_made_for_something_else_has_no_effect() {
    let mail = mail().await;
    let token = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let mut tampered = token(&mail.unsubscribe);
    let flipped = if tampered.pop() == Some('A') { 'Q' } else { 'A' };
    tampered.push(flipped);
    let body = "List-Unsubscribe=One-Click";
    for token in [token(&mail.pixel), token(&mail.clicks[0]), tampered.clone(), "x".repeat(5000)] {
        let response = mail.ask(Method::POST, &format!("/u/{token}"), BROWSER, body).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
    let mut pages = Vec::new();
    for token in [token(&mail.unsubscribe), token(&mail.pixel), tampered] {
        let response = mail.get(&format!("/c/{token}")).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(header(&response, LOCATION), "");
        pages.push(response.text().await.unwrap());
        mail.get(&format!("/o/{token}")).await;
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "every wrong token gets the same answer");
    // The unsubscribe token was also asked for as a pixel: for that it is worth nothing, the pixel's own is.
    assert_eq!(mail.engagements().await, 1);
    assert!(!mail.is_suppressed().await);
}
