//! Why a contact belongs, since when and until when: by hand, and against the oracle.

use cursus_audience::{
    BUCKET_KEY, Block, BlockBuilder, Counted, DEALS, Evidence, Explanation, Kind, Limits, Plan,
    Rule, SUBSCRIPTIONS, Schema, Until, Value, bucket_key,
};
use proptest::prelude::*;

use crate::data::{SECOND, World, clocks, load, worlds};
use crate::oracle::Contact;

const NOW: i64 = 1_000 * SECOND;

fn read(text: &str) -> Rule {
    Rule::parse(text, &Limits::default()).expect("the text is sound")
}

fn plan(text: &str) -> Plan {
    let kinds = [
        ("plan", Kind::Text),
        ("seats", Kind::Number),
        ("vat", Kind::Flag),
        ("seen", Kind::Time),
        (SUBSCRIPTIONS, Kind::TextSet),
        (BUCKET_KEY, Kind::Number),
    ];
    let schema = Schema::new(kinds.map(|(name, kind)| (name.to_owned(), kind)), [])
        .with_deals([("amount".to_owned(), Kind::Number)])
        .with_segments([("active".to_owned(), read(r#"events("login").within("100s").any()"#))]);
    Plan::compile(&read(text), &schema, Limits::default()).expect("the rule is sound")
}

fn block(plan: &Plan) -> Block {
    let mut builder = BlockBuilder::new(plan.mentions().clone().with_all_of_the_past());
    builder.live(7);
    builder.set(7, "plan", Value::Text("pro"));
    builder.set(7, "seen", Value::Time(NOW - 50 * SECOND));
    builder.set(7, SUBSCRIPTIONS, Value::Texts(vec!["offers", "news"]));
    builder.set(7, BUCKET_KEY, Value::Number(bucket_key("ada")));
    for (ago, amount) in [(500, 7.0), (90, 1.0), (60, 3.0), (30, 2.0)] {
        let amount = [("amount", Value::Number(amount))];
        builder.event(7, "login", NOW - ago * SECOND, &amount);
        builder.event(7, DEALS, 0, &amount);
    }
    builder.build()
}

/// What an explanation of one clause says, times in seconds before and after now.
fn check(
    text: &str,
    holds: bool,
    evidence: &Evidence<'_>,
    (since, until): (Option<i64>, Option<i64>),
) {
    let plan = plan(text);
    let block = block(&plan);
    let explained = plan.explain(&block, 7, NOW).expect("the contact exists");
    assert_eq!(explained.text, read(text).to_string());
    assert_eq!(explained.holds, holds, "{text}");
    assert_eq!(&explained.evidence, evidence, "{text}");
    assert_eq!(explained.since.map(|since| (NOW - since) / SECOND), since, "{text}");
    let until = until.map_or(Until::Never, |until| Until::Moment(NOW + until * SECOND));
    assert_eq!(explained.until, until, "{text}");
    assert_eq!(plan.deadline(&block, 7, NOW), until, "{text}");
}

fn events(value: f64, agos: &[i64], deciding: Option<i64>) -> Evidence<'static> {
    Evidence::Events(Counted {
        count: agos.len(),
        value: Some(value),
        times: agos.iter().map(|ago| NOW - ago * SECOND).collect(),
        deciding_time: deciding.map(|ago| NOW - ago * SECOND),
    })
}

#[test]
fn behaviour_is_explained_by_the_events_that_are_counted() {
    let recent = &[30, 60, 90];
    let since_first = |since| (Some(since), None);
    check(
        r#"events("login").within("100s").count() >= 2"#,
        true,
        &events(3.0, recent, Some(60)),
        (Some(60), Some(40)),
    );
    check(
        r#"events("login").within("100s").count() >= 4"#,
        false,
        &events(3.0, recent, None),
        (None, None),
    );
    check(
        r#"events("login").within("100s").count() < 3"#,
        false,
        &events(3.0, recent, Some(90)),
        (Some(30), Some(10)),
    );
    check(
        r#"events("login").within("100s").max("amount") >= 3.0"#,
        true,
        &events(3.0, recent, Some(60)),
        (Some(60), Some(40)),
    );
    check(
        r#"events("login").within("100s").sum("amount") >= 5.0"#,
        true,
        &events(6.0, recent, None),
        (Some(30), Some(40)),
    );
    check(
        r#"events("login").where(e, e.amount > 2.0).count() == 2"#,
        true,
        &events(2.0, &[60, 500], Some(500)),
        since_first(60),
    );
    check(
        r#"events("login").within("100s").not_followed_by("login", "40s").any()"#,
        false,
        &events(0.0, &[], None),
        // The one of 500 s ago was, from 460 to 400 s ago.
        (Some(400), Some(10)),
    );
    check(
        r#"events("login").within("100s").followed_by("login", "40s").any()"#,
        true,
        &events(2.0, &[60, 90], Some(60)),
        (Some(60), Some(40)),
    );
}

#[test]
fn attributes_are_explained_by_their_value() {
    let attribute = |name, value| Evidence::Attribute { name, value };
    check(
        r#"contact.plan == "free""#,
        false,
        &attribute("plan", Some(Value::Text("pro"))),
        (None, None),
    );
    check("contact.seats > 1.0", false, &attribute("seats", None), (None, None));
    check("has(contact.vat)", false, &attribute("vat", None), (None, None));
    check(
        r#"contact.seen <= now - duration("20s")"#,
        true,
        &attribute("seen", Some(Value::Time(NOW - 50 * SECOND))),
        (Some(30), None),
    );
    check(
        r#"contact.seen > now - duration("1m")"#,
        true,
        &attribute("seen", Some(Value::Time(NOW - 50 * SECOND))),
        (None, Some(10)),
    );
    check(
        r#"subscribed("news")"#,
        true,
        &attribute(SUBSCRIPTIONS, Some(Value::Texts(vec!["news", "offers"]))),
        (None, None),
    );
    check(r#"bucket("holdout-2026", 80, 81)"#, true, &Evidence::Bucket(Some(80)), (None, None));
    let all = Counted { count: 4, value: Some(13.0), ..Counted::default() };
    check(r#"deals.sum("amount") > 12.0"#, true, &Evidence::Deals(all), (None, None));
}

#[test]
fn an_explanation_has_a_part_for_each_clause_as_written() {
    let plan = plan(
        r#"contact.plan == "pro" && !(in_segment("active") && contact.seats > 1.0) && events("login").count() >= 4"#,
    );
    let block = block(&plan);
    let explained = plan.explain(&block, 7, NOW).unwrap();
    let texts = |explained: &Explanation<'_>| -> Vec<(String, bool)> {
        explained.clauses.iter().map(|clause| (clause.text.clone(), clause.holds)).collect()
    };
    let owned = |texts: &[(&str, bool)]| -> Vec<(String, bool)> {
        texts.iter().map(|(text, holds)| ((*text).to_owned(), *holds)).collect()
    };
    assert_eq!(
        texts(&explained),
        owned(&[
            (r#"contact.plan == "pro""#, true),
            (r#"!(in_segment("active") && contact.seats > 1.0)"#, true),
            (r#"events("login").count() >= 4"#, true),
        ])
    );
    let both = &explained.clauses[1].clauses[0];
    assert_eq!(
        texts(both),
        owned(&[(r#"in_segment("active")"#, true), ("contact.seats > 1.0", false)])
    );
    let segment = &both.clauses[0];
    assert_eq!(texts(segment), owned(&[(r#"events("login").within("1m40s").any()"#, true)]));
    assert_eq!(segment.since, Some(NOW - 90 * SECOND));
    assert_eq!(segment.until, Until::Moment(NOW + 70 * SECOND));
    // The whole asks for attributes, of which it is not known since when they are so.
    assert_eq!(explained.since, None);
    assert_eq!(explained.until, Until::Never);
}

#[test]
fn since_when_is_only_said_if_all_of_the_past_is_loaded() {
    let plan = plan(r#"events("login").within("100s").any()"#);
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(7);
    builder.event(7, "login", NOW, &[]);
    let block = builder.build();
    let explained = plan.explain(&block, 7, NOW).unwrap();
    assert!(explained.holds);
    assert_eq!(explained.since, None);
    assert_eq!(plan.explain(&block, 6, NOW), None);
    assert_eq!(plan.deadline(&block, 6, NOW), Until::Never);
}

#[test]
fn a_life_with_too_many_moments_is_not_followed_to_its_end() {
    let plan = plan(r#"events("login").within("1000d").sum("amount") >= 1.0"#);
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(7);
    // Each of the first leaves the window without an effect, until the last does.
    for second in 0..3_000 {
        builder.event(7, "login", second * SECOND, &[("amount", Value::Number(0.0))]);
    }
    builder.event(7, "login", 3_000 * SECOND, &[("amount", Value::Number(1.0))]);
    let block = builder.build();
    let leaves = |second: i64| (86_400_000 + second) * SECOND;
    let soon = plan.deadline(&block, 7, leaves(2_000));
    assert_eq!(soon, Until::Moment(leaves(3_000)));
    let Until::NotBefore(moment) = plan.deadline(&block, 7, leaves(0)) else {
        panic!("it would take too long");
    };
    assert!(moment > leaves(0) && moment < leaves(3_000));
}

/// Whether only events, moments and buckets are asked for.
fn is_history(rule: &Rule, world: &World) -> bool {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().all(|rule| is_history(rule, world)),
        Rule::Not(rule) => is_history(rule, world),
        Rule::InSegment { segment } => is_history(&world.segments[segment], world),
        Rule::Behaviour(_) | Rule::Age { .. } | Rule::Bucket { .. } => true,
        _ => false,
    }
}

/// The rule of each clause of an explanation, with the explanation.
fn clauses<'a>(
    rule: &'a Rule,
    explained: &'a Explanation<'a>,
    world: &'a World,
) -> Vec<(&'a Rule, &'a Explanation<'a>)> {
    let operands: Vec<&Rule> = match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().collect(),
        Rule::Not(rule) => vec![rule],
        Rule::InSegment { segment } => vec![&world.segments[segment]],
        _ => Vec::new(),
    };
    assert_eq!(operands.len(), explained.clauses.len());
    let inner = operands.into_iter().zip(&explained.clauses);
    let inner = inner.flat_map(|(rule, explained)| clauses(rule, explained, world));
    std::iter::once((rule, explained)).chain(inner).collect()
}

fn check_clause(world: &World, contact: &Contact, now: i64, rule: &Rule, found: &Explanation<'_>) {
    assert_eq!(found.text, rule.to_string());
    let moments = world.moments();
    let holds = |moment: i64| world.holds(rule, contact, moment);
    assert_eq!(found.holds, holds(now));
    match found.until {
        Until::Moment(until) => {
            assert!(until > now);
            assert_ne!(holds(until), found.holds, "{} at {until}", found.text);
            assert!(moments.range(now..until).all(|moment| holds(*moment) == found.holds));
        }
        Until::Never => assert!(moments.range(now..).all(|moment| holds(*moment) == found.holds)),
        Until::NotBefore(_) => panic!("lives are short here"),
    }
    match found.since {
        Some(since) => {
            assert!(since <= now && is_history(rule, world));
            assert_ne!(holds(since - 1), found.holds, "{} before {since}", found.text);
            assert_eq!(holds(since), found.holds, "{} at {since}", found.text);
            assert!(moments.range(since..=now).all(|moment| holds(*moment) == found.holds));
        }
        None if is_history(rule, world) => {
            assert!(moments.range(..=now).all(|moment| holds(*moment) == found.holds));
        }
        None => {}
    }
    if let (Rule::Behaviour(rule), Evidence::Events(counted)) = (rule, &found.evidence) {
        let is_counted = |moment: &i64| {
            contact.events.iter().any(|event| event.name == rule.event && event.time == *moment)
        };
        assert!(counted.times.iter().chain(&counted.deciding_time).all(is_counted));
        assert!(counted.times.is_sorted_by(|later, earlier| later >= earlier));
        assert_eq!(counted.times.len(), counted.count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_explanation_says_what_the_oracle_says_and_exactly_how_long(world in worlds(), now in clocks()) {
        let plan = Plan::compile(&world.rule, &world.schema(), Limits::default()).unwrap();
        let block = load(&world.contacts, &plan.mentions().clone().with_all_of_the_past());
        for (slot, contact) in &world.contacts {
            let explained = plan.explain(&block, *slot, now).unwrap();
            prop_assert_eq!(plan.deadline(&block, *slot, now), explained.until);
            for (rule, found) in clauses(&world.rule, &explained, &world) {
                check_clause(&world, contact, now, rule, found);
            }
        }
    }
}
