//! How large segments will be, how they overlap, whether they differ, and which to keep.

use chrono::TimeDelta;
use cursus_api::segmentation as proto;
use proto::portfolio_merge::Reason;
use proto::segment_difference::Verdict;
use tonic::Code;

use crate::rules::{did, has, is};
use crate::world::{Replica, World, moment, noon, number, refused, text};

const DAY: i64 = 24 * 3600;

async fn advise(
    replica: &Replica,
    segments: &[&str],
    outcomes: Vec<proto::SegmentOutcome>,
) -> Result<proto::AdviseSegmentsResponse, tonic::Status> {
    let request = proto::AdviseSegmentsRequest {
        parent: replica.parent(),
        segments: segments.iter().map(|id| replica.segment_name(id)).collect(),
        outcomes,
        ..proto::AdviseSegmentsRequest::default()
    };
    Ok(replica.insight().advise_segments(request).await?.into_inner())
}

fn purchases(property: &str) -> proto::SegmentOutcome {
    proto::SegmentOutcome { event_name: "purchase".to_owned(), property: property.to_owned() }
}

/// 1,200 contacts on three plans. Of those on `pro` every second bought within the last month, of the others every
/// tenth; `gold` is nearly everybody on `pro`.
async fn shop(world: &World) -> Replica {
    let replica = world.start().await;
    replica
        .declare(&[("plan", proto::AttributeKind::Text), ("gold", proto::AttributeKind::Text)])
        .await;
    // They must have been there at the beginning of the horizon.
    world.ambient.set(noon() - TimeDelta::days(60));
    let plan = |n: usize| ["pro", "trial", "free"][n % 3];
    let contacts = (0..1_200).map(|n| {
        let mut attributes = vec![("plan", text(plan(n)))];
        if plan(n) == "pro" && n % 30 != 0 {
            attributes.push(("gold", text("yes")));
        }
        replica.contact(&format!("c{n}"), &attributes)
    });
    assert_eq!(replica.import(contacts.collect()).await.created_count, 1_200);
    world.ambient.set(noon());
    let buys = |n: usize| (n / 3).is_multiple_of(if plan(n) == "pro" { 2 } else { 10 });
    let events: Vec<_> = (0..1_200)
        .filter(|n| buys(*n))
        .map(|n| {
            let when = noon() - TimeDelta::days(i64::try_from(n % 20).unwrap() + 1);
            let mut event = replica.event(&format!("e{n}"), &format!("c{n}"), "purchase", when);
            event.properties.insert("amount".to_owned(), number(20.0));
            event
        })
        .collect();
    replica.record(events).await.unwrap();
    for plan in ["pro", "trial", "free"] {
        replica.create_segment(plan, is("plan", text(plan))).await.unwrap();
    }
    replica.create_segment("gold", has("gold")).await.unwrap();
    replica
}

#[tokio::test]
async fn segments_are_compared_by_what_their_members_did_since() {
    let world = World::new().await;
    let replica = shop(&world).await;
    let outcomes = vec![purchases(""), purchases("amount")];
    let advice = advise(&replica, &["pro", "trial", "free"], outcomes).await.unwrap();
    assert_eq!(advice.contact_count, 1_200);
    let [pro, trial, free] = &advice.segments[..] else { panic!("three segments") };
    let did = |of: &proto::SegmentReading| (of.member_count, of.outcomes[0].responder_count);
    assert_eq!([did(pro), did(trial), did(free)], [(400, 200), (400, 40), (400, 40)]);
    assert_eq!((pro.outcomes[0].value, pro.outcomes[1].value), (Some(0.5), Some(10.0)));
    assert!(pro.outcomes[0].low.unwrap() < 0.5 && pro.outcomes[0].high.unwrap() > 0.5);
    assert!(pro.sizes.iter().all(|size| size.member_count == 400), "{:?}", pro.sizes);
    assert!(advice.heterogeneity.iter().all(|test| test.judged && test.p_value < 1e-6));

    let verdict = |first, second| {
        let pair = advice.differences.iter().filter(|it| (it.first, it.second) == (first, second));
        pair.map(proto::SegmentDifference::verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdict(0, 1), [Verdict::Different; 2]);
    assert_eq!(verdict(1, 2), [Verdict::NotShown; 2]);
    let portfolio = advice.portfolio.unwrap();
    let groups: Vec<_> = portfolio.groups.iter().map(|group| group.rule_text.as_str()).collect();
    assert_eq!(groups, [r#"in_segment("trial") || in_segment("free")"#, r#"in_segment("pro")"#]);
    assert_eq!(portfolio.merges[0].reason(), Reason::NotShownDifferent);
    assert!(portfolio.summary.starts_with("only 2 segments"), "{}", portfolio.summary);
}

#[tokio::test]
async fn two_names_for_the_same_people_are_found_out() {
    let world = World::new().await;
    let replica = shop(&world).await;
    let advice = advise(&replica, &["gold", "pro", "free"], vec![purchases("")]).await.unwrap();
    let overlap = &advice.overlaps[0];
    assert_eq!((overlap.first, overlap.second, overlap.both_count), (0, 1, 360));
    assert!((overlap.jaccard - 0.9).abs() < 1e-12);
    let merges = advice.portfolio.unwrap().merges;
    assert_eq!(merges[0].reason(), Reason::SamePeople);
    assert_eq!(merges[0].text, "90 % of their members are in both");
}

#[tokio::test]
async fn who_came_later_and_what_happened_before_do_not_count() {
    let world = World::new().await;
    let replica = shop(&world).await;
    let late = (0..50).map(|n| replica.contact(&format!("late{n}"), &[("plan", text("pro"))]));
    replica.write(late.collect()).await.unwrap();
    let before = noon() - TimeDelta::days(31);
    replica.record(vec![replica.event("old", "c3", "purchase", before)]).await.unwrap();
    let advice = advise(&replica, &["pro", "free"], vec![purchases("")]).await.unwrap();
    let pro = &advice.segments[0];
    assert_eq!((pro.member_count, pro.outcomes[0].responder_count), (400, 200));
    let sizes: Vec<_> = pro.sizes.iter().map(|size| size.member_count).collect();
    assert_eq!(sizes, [400, 400, 400, 400, 450], "the trend ends with today");
}

#[tokio::test]
async fn a_forecast_knows_when_windows_close() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ada", &[]), replica.contact("bob", &[])]).await.unwrap();
    let login = |id: &str, contact: &str, days| {
        replica.event(id, contact, "login", noon() - TimeDelta::days(days))
    };
    replica.record(vec![login("1", "ada", 5), login("2", "bob", 2)]).await.unwrap();
    replica.create_segment("active", did("login", Some(7), 1)).await.unwrap();
    let request = proto::ForecastSegmentRequest { name: replica.segment_name("active"), days: 6 };
    let forecast = replica.insight().forecast_segment(request).await.unwrap().into_inner();
    assert_eq!(forecast.size.unwrap().member_count, 2);
    let days: Vec<_> = forecast
        .days
        .iter()
        .map(|day| (day.size.unwrap().member_count, day.entered_count, day.left_count))
        .collect();
    // Seven days to the second after a login its window has closed.
    assert_eq!(days, [(2, 0, 0), (1, 0, 1), (1, 0, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0)]);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_with_its_field() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.create_segment("a", did("login", Some(7), 1)).await.unwrap();
    let invalid = Code::InvalidArgument;
    let once = vec![purchases("")];
    refused(advise(&replica, &["a"], once.clone()).await, invalid, "INVALID_FIELD", "segments");
    refused(
        advise(&replica, &["a", "a"], once.clone()).await,
        invalid,
        "INVALID_FIELD",
        "segments",
    );
    refused(advise(&replica, &["a", "b"], Vec::new()).await, invalid, "INVALID_FIELD", "outcomes");
    let missing = advise(&replica, &["a", "b"], once.clone()).await;
    refused(missing, Code::NotFound, "NO_SUCH_SEGMENT", "");
    let ask = |change: fn(&mut proto::AdviseSegmentsRequest)| {
        let mut request = proto::AdviseSegmentsRequest {
            parent: replica.parent(),
            segments: vec![replica.segment_name("a"), replica.segment_name("b")],
            outcomes: vec![purchases("")],
            ..proto::AdviseSegmentsRequest::default()
        };
        change(&mut request);
        let mut client = replica.insight();
        async move { client.advise_segments(request).await }
    };
    let long = |request: &mut proto::AdviseSegmentsRequest| {
        request.horizon = Some(prost_types::Duration { seconds: 366 * DAY, nanos: 0 });
    };
    refused(ask(long).await, invalid, "INVALID_FIELD", "horizon");
    refused(ask(|request| request.alpha = 0.9).await, invalid, "INVALID_FIELD", "alpha");
    let request = proto::ForecastSegmentRequest { name: replica.segment_name("a"), days: 91 };
    refused(replica.insight().forecast_segment(request).await, invalid, "INVALID_FIELD", "days");
}

#[tokio::test]
async fn membership_is_explained_clause_by_clause_with_its_end() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", proto::AttributeKind::Text)]).await;
    replica.write(vec![replica.contact("ada", &[("plan", text("pro"))])]).await.unwrap();
    let login = |id: &str, days| replica.event(id, "ada", "login", noon() - TimeDelta::days(days));
    replica.record(vec![login("1", 5), login("2", 2)]).await.unwrap();
    let text = r#"contact.plan == "pro" && events("login").within("7d").count() >= 2"#;
    let segment = proto::Segment { rule_text: text.to_owned(), ..proto::Segment::default() };
    let request = proto::CreateSegmentRequest {
        parent: replica.parent(),
        segment_id: "keen".to_owned(),
        segment: Some(segment),
        request_id: String::new(),
    };
    let created = replica.client().create_segment(request).await.unwrap().into_inner();
    assert_eq!(created.rule_text, text.replace("\"7d\"", "\"168h\""), "as it is always written");
    let explain = |contact: &str| {
        let request = proto::ExplainMembershipRequest {
            segment: replica.segment_name("keen"),
            contact: replica.contact_name(contact),
        };
        let mut client = replica.insight();
        async move { Ok(client.explain_membership(request).await?.into_inner()) }
    };
    let explained = explain("ada").await.unwrap();
    let rule = explained.rule.unwrap();
    assert!(explained.member && rule.holds);
    // The older of the two leaves the window two days from now.
    let end = moment(noon() + TimeDelta::days(2));
    assert_eq!(rule.until_time, Some(end));
    let [plan, logins] = &rule.clauses[..] else { panic!("two clauses") };
    assert_eq!((plan.holds, plan.until_time), (true, None));
    let Some(proto::clause::Evidence::Attribute(attribute)) = &plan.evidence else {
        panic!("an attribute")
    };
    assert_eq!(
        (attribute.attribute.as_str(), &attribute.value),
        ("plan", &Some(crate::world::text("pro")))
    );
    let Some(proto::clause::Evidence::Events(events)) = &logins.evidence else { panic!("events") };
    assert_eq!((events.count, events.value), (2, Some(2.0)));
    assert_eq!(events.deciding_time, Some(moment(noon() - TimeDelta::days(5))));
    assert_eq!(logins.since_time, Some(moment(noon() - TimeDelta::days(2))));
    refused(explain("nobody").await, Code::NotFound, "NO_SUCH_CONTACT", "");
}

#[tokio::test]
async fn a_segment_follows_the_segments_it_refers_to() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", proto::AttributeKind::Text)]).await;
    let contact = |id: &str, plan| replica.contact(id, &[("plan", text(plan))]);
    replica.write(vec![contact("ada", "pro"), contact("bob", "free")]).await.unwrap();
    replica.ready_segment("paying", is("plan", text("pro"))).await;
    let written = |id: &str, rule_text: &str| proto::CreateSegmentRequest {
        parent: replica.parent(),
        segment_id: id.to_owned(),
        segment: Some(proto::Segment {
            rule_text: rule_text.to_owned(),
            ..proto::Segment::default()
        }),
        request_id: String::new(),
    };
    let mut client = replica.client();
    client.create_segment(written("others", r#"!in_segment("paying")"#)).await.unwrap();
    replica.ready("others").await;
    replica.until_members("others", &["ada", "bob"], &[false, true]).await;

    let change = |rule_text: &str| proto::UpdateSegmentRequest {
        segment: Some(proto::Segment {
            name: replica.segment_name("paying"),
            rule_text: rule_text.to_owned(),
            ..proto::Segment::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rule_text".to_owned()] }),
        request_id: String::new(),
    };
    client.update_segment(change(r#"contact.plan == "free""#)).await.unwrap();
    assert_eq!(replica.segment("others").await.unwrap().revision, 2, "it means something else now");
    replica.until_members("others", &["ada", "bob"], &[true, false]).await;

    let invalid = Code::InvalidArgument;
    let circle = client.update_segment(change(r#"in_segment("others")"#)).await;
    let status = refused(circle, invalid, "INVALID_RULE", "rule_text");
    assert!(status.message().contains("paying -> others -> paying"), "{}", status.message());
    let misspelt = client.create_segment(written("typo", "true &&\n  in_segment(\"payng\")")).await;
    let status = refused(misspelt, invalid, "INVALID_RULE", "rule_text");
    assert!(status.message().contains("line 2"), "{}", status.message());
    assert!(status.message().ends_with("did you mean `paying`?"), "{}", status.message());
    let request = proto::DeleteSegmentRequest {
        name: replica.segment_name("paying"),
        request_id: String::new(),
    };
    refused(client.delete_segment(request).await, Code::FailedPrecondition, "SEGMENT_IN_USE", "");
}

#[tokio::test]
async fn topics_and_buckets_make_segments() {
    let world = World::new().await;
    let replica = world.start().await;
    let contacts = (0..400).map(|n| {
        let topics: &[&str] = if n % 4 == 0 { &["newsletter"] } else { &[] };
        replica.contact(&format!("c{n}"), &[("subscriptions", crate::world::texts(topics))])
    });
    replica.write(contacts.collect()).await.unwrap();
    for (id, rule_text) in [
        ("readers", r#"subscribed("newsletter")"#),
        ("tenth", r#"bucket("holdout-2026", 0, 10)"#),
        ("rest", r#"bucket("holdout-2026", 10, 100)"#),
    ] {
        let segment =
            proto::Segment { rule_text: rule_text.to_owned(), ..proto::Segment::default() };
        let request = proto::CreateSegmentRequest {
            parent: replica.parent(),
            segment_id: id.to_owned(),
            segment: Some(segment),
            request_id: String::new(),
        };
        replica.client().create_segment(request).await.unwrap();
        replica.ready(id).await;
    }
    replica.until_count("readers", 100).await;
    let tenth = replica.segment("tenth").await.unwrap().member_count;
    assert!((20..=65).contains(&tenth), "{tenth} of 400");
    replica.until_count("rest", 400 - tenth).await;
}
