//! Membership follows every change of a contact, every event, and time alone.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::segmentation::AttributeKind;

use crate::rules::{all, any, contains, did, has, is, not, older, summed};
use crate::world::{World, flag, noon, nothing, number, text, texts, time};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn membership_follows_a_changed_attribute() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text), ("tags", AttributeKind::TextSet)]).await;
    let write = async |id: &str, attributes: &[(&str, cursus_api::segmentation::Value)]| {
        replica.write(vec![replica.contact(id, attributes)]).await.unwrap();
    };
    write("ana", &[("plan", text("pro"))]).await;
    write("ben", &[("tags", texts(&["vip"]))]).await;
    let rule = any(vec![is("plan", text("pro")), contains("tags", "vip")]);
    let segment = replica.ready_segment("good", rule).await;
    assert_eq!(segment.member_count, 2);
    replica.until_members("good", &["ana", "ben", "new"], &[true, true, false]).await;
    write("ana", &[("plan", text("free"))]).await;
    write("ben", &[("tags", nothing())]).await;
    write("new", &[("plan", text("pro"))]).await;
    replica.until_members("good", &["ana", "ben", "new"], &[false, false, true]).await;
    replica.until_count("good", 1).await;
    assert_eq!(replica.members("good").await, ["new"]);
}

#[tokio::test]
async fn a_contact_that_knows_nothing_is_in_segments_of_absence_at_once() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    let rule = all(vec![not(has("plan")), not(did("login", Some(30), 1))]);
    replica.ready_segment("cold", rule).await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.until_members("cold", &["ana"], &[true]).await;
    replica.record(vec![replica.event("1", "ana", "login", noon())]).await.unwrap();
    replica.until_members("cold", &["ana"], &[false]).await;
}

#[tokio::test]
async fn membership_follows_events_and_their_properties() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[]), replica.contact("ben", &[])]).await.unwrap();
    let rule = summed("purchase", "amount", ("gift", flag(false)), 100.0);
    replica.ready_segment("spenders", rule).await;
    let purchase = |id: &str, contact: &str, amount: f64, gift: bool| {
        let mut event = replica.event(id, contact, "purchase", noon());
        event.properties.insert("amount".to_owned(), number(amount));
        event.properties.insert("gift".to_owned(), flag(gift));
        event
    };
    let events = vec![
        purchase("1", "ana", 60.0, false),
        purchase("2", "ana", 50.0, false),
        purchase("3", "ben", 500.0, true),
        purchase("4", "ben", 99.0, false),
    ];
    replica.record(events).await.unwrap();
    replica.until_members("spenders", &["ana", "ben"], &[true, false]).await;
    replica.record(vec![purchase("5", "ben", 1.0, false)]).await.unwrap();
    replica.until_members("spenders", &["ana", "ben"], &[true, true]).await;
}

#[tokio::test]
async fn a_window_that_closes_moves_the_contact_at_that_second_and_not_before() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[]), replica.contact("ben", &[])]).await.unwrap();
    replica
        .record(vec![
            replica.event("1", "ana", "login", noon() - TimeDelta::days(29)),
            replica.event("2", "ben", "login", noon()),
        ])
        .await
        .unwrap();
    replica.ready_segment("active", did("login", Some(30), 1)).await;
    replica.ready_segment("lapsed", not(did("login", Some(30), 1))).await;
    replica.until_members("active", &["ana", "ben"], &[true, true]).await;

    // A second before the window closes; an event of somebody else shows that time has been looked at.
    world.ambient.advance(Duration::from_secs(86_399));
    replica.write(vec![replica.contact("cat", &[])]).await.unwrap();
    replica.until_members("lapsed", &["ana", "ben", "cat"], &[false, false, true]).await;
    replica.until_members("active", &["ana", "ben"], &[true, true]).await;

    world.ambient.advance(Duration::from_secs(1));
    replica.until_members("active", &["ana", "ben"], &[false, true]).await;
    replica.until_members("lapsed", &["ana", "ben", "cat"], &[true, false, true]).await;
    world.ambient.advance(29 * DAY);
    replica.until_members("active", &["ana", "ben"], &[false, false]).await;
    replica.until_count("lapsed", 3).await;
}

#[tokio::test]
async fn a_date_that_passes_moves_the_contact() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("renewal", AttributeKind::Time)]).await;
    let renewal = [("renewal", time(noon() + TimeDelta::days(3)))];
    replica.write(vec![replica.contact("ana", &renewal)]).await.unwrap();
    replica.ready_segment("overdue", older("renewal", 7)).await;
    replica.ready_segment("aged", older("create_time", 7)).await;
    replica.until_members("overdue", &["ana"], &[false]).await;
    world.ambient.advance(7 * DAY + Duration::from_secs(1));
    replica.until_members("aged", &["ana"], &[true]).await;
    replica.until_members("overdue", &["ana"], &[false]).await;
    world.ambient.advance(3 * DAY);
    replica.until_members("overdue", &["ana"], &[true]).await;
}

#[tokio::test]
async fn an_event_of_the_future_counts_when_its_time_comes() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    let event = replica.event("1", "ana", "login", noon() + TimeDelta::hours(2));
    replica.record(vec![event]).await.unwrap();
    replica.ready_segment("active", did("login", Some(1), 1)).await;
    replica.until_members("active", &["ana"], &[false]).await;
    world.ambient.advance(Duration::from_hours(3));
    replica.until_members("active", &["ana"], &[true]).await;
    world.ambient.advance(DAY);
    replica.until_members("active", &["ana"], &[false]).await;
}

#[tokio::test]
async fn the_old_revision_is_followed_and_served_until_the_new_one_is_complete() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Text)]).await;
    replica.write(vec![replica.contact("ana", &[("plan", text("pro"))])]).await.unwrap();
    replica.ready_segment("plan", is("plan", text("pro"))).await;
    // Behind the service's back: a second revision whose evaluation nobody was told of.
    let rename = "with next as (
             insert into segment_revisions (workspace_id, segment_id, revision, rule, create_time)
             select workspace_id, segment_id, 2, rule, create_time from segment_revisions)
         update segments set revision = 2";
    sqlx::query(rename).execute(&world.database.pool).await.unwrap();
    let segment = replica.segment("plan").await.unwrap();
    assert_eq!(segment.state(), cursus_api::segmentation::segment::State::Computing);
    assert_eq!(replica.check("plan", &["ana"]).await.unwrap().members, [true]);
    assert_eq!(replica.check("plan", &["ana"]).await.unwrap().revision, 1);
    replica.write(vec![replica.contact("ana", &[("plan", text("free"))])]).await.unwrap();
    replica.until_members("plan", &["ana"], &[false]).await;
    // Whatever changes the rules has all of them looked at.
    replica.create_segment("other", is("plan", text("pro"))).await.unwrap();
    assert_eq!(replica.ready("plan").await.revision, 2);
}
