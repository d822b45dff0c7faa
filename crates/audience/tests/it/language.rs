//! What orders, deals, aggregates, accounts, segments, topics and buckets mean, worked out by hand; and what of them is
//! refused.

use cursus_audience::{
    BUCKET_KEY, Block, BlockBuilder, DEALS, Kind, Limits, Plan, Rule, RuleError, SUBSCRIPTIONS,
    Schema, Value, bucket_key,
};

use crate::data::SECOND;

fn kinds<const N: usize>(kinds: [(&str, Kind); N]) -> [(String, Kind); N] {
    kinds.map(|(name, kind)| (name.to_owned(), kind))
}

fn schema() -> Schema {
    let attributes = kinds([
        ("plan", Kind::Text),
        ("account.industry", Kind::Text),
        ("account.employees", Kind::Number),
        (SUBSCRIPTIONS, Kind::TextSet),
        (BUCKET_KEY, Kind::Number),
    ]);
    Schema::new(attributes, [])
        .with_deals(kinds([
            ("stage", Kind::Text),
            ("amount", Kind::Number),
            ("close_time", Kind::Time),
            ("partners", Kind::TextSet),
        ]))
        .with_properties("paid", kinds([("amount", Kind::Number), ("due", Kind::Time)]))
}

fn read(text: &str) -> Rule {
    Rule::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn plan(text: &str) -> Plan {
    let compiled = Plan::compile(&read(text), &schema(), Limits::default());
    compiled.unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str, schema: &Schema) -> RuleError {
    Plan::compile(&read(text), schema, Limits::default()).expect_err(text)
}

/// What a contact, in slot 7, is loaded with.
type Load<'a> = &'a dyn Fn(&mut BlockBuilder);

fn block(plan: &Plan, load: Load<'_>) -> Block {
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(7);
    load(&mut builder);
    builder.build()
}

fn holds(text: &str, load: Load<'_>) -> bool {
    let plan = plan(text);
    let block = block(&plan, load);
    let alone = plan.evaluate_one(&block, 7, 0).0;
    assert_eq!(plan.evaluate(&block, 0).bits.contains(7), alone, "{text}");
    alone
}

/// Follows a rule through time from second 0: the seconds at which the contact enters or leaves.
fn changes(text: &str, load: Load<'_>) -> Vec<i64> {
    let plan = plan(text);
    let block = block(&plan, load);
    let mut changes = Vec::new();
    let mut belongs = false;
    let mut now = Some(0);
    while let Some(moment) = now {
        let (then, next) = plan.evaluate_one(&block, 7, moment);
        if then != belongs {
            assert_eq!(moment % SECOND, 0, "{text}");
            changes.push(moment / SECOND);
        }
        (belongs, now) = (then, next);
    }
    changes
}

fn events(name: &'static str, seconds: &'static [i64]) -> impl Fn(&mut BlockBuilder) {
    move |builder| {
        for second in seconds {
            builder.event(7, name, second * SECOND, &[]);
        }
    }
}

fn carts_and_purchases(
    carts: &'static [i64],
    purchases: &'static [i64],
) -> impl Fn(&mut BlockBuilder) {
    move |builder| {
        events("cart", carts)(builder);
        events("purchase", purchases)(builder);
    }
}

#[test]
fn what_follows_counts_from_the_moment_it_comes() {
    let check = |text: &str, carts, purchases, expected: &[i64]| {
        assert_eq!(changes(text, &carts_and_purchases(carts, purchases)), expected, "{text}");
    };
    let followed = r#"events("cart").followed_by("purchase", "10s")"#;
    check(followed, &[100], &[105], &[105]);
    check(followed, &[100], &[110], &[110]);
    check(followed, &[100], &[111], &[]);
    check(followed, &[100], &[], &[]);
    // At the very moment it comes with it, and not after it.
    check(followed, &[100], &[100], &[]);
    check(followed, &[100], &[100, 101], &[101]);
    let recently = r#"events("cart").within("30s").followed_by("purchase", "10s")"#;
    check(recently, &[100, 120], &[105], &[105, 130]);
    check(recently, &[100, 120], &[105, 125], &[105, 150]);
    let twice = r#"events("cart").within("30s").followed_by("purchase", "10s").count() >= 2"#;
    check(twice, &[100, 104], &[105], &[105, 130]);
    check(twice, &[100, 120], &[105, 125], &[125, 130]);
    let again = r#"events("cart").followed_by("cart", "10s")"#;
    check(again, &[100, 105], &[], &[105]);
    check(again, &[100, 100], &[], &[]);
}

#[test]
fn what_does_not_follow_counts_when_it_no_longer_can() {
    let check = |text: &str, carts, purchases, expected: &[i64]| {
        assert_eq!(changes(text, &carts_and_purchases(carts, purchases)), expected, "{text}");
    };
    let abandoned = r#"events("cart").not_followed_by("purchase", "10s")"#;
    check(abandoned, &[100], &[], &[110]);
    check(abandoned, &[100], &[105], &[]);
    check(abandoned, &[100], &[110], &[]);
    check(abandoned, &[100], &[111], &[110]);
    check(abandoned, &[100], &[100], &[110]);
    check(abandoned, &[100, 104], &[105], &[]);
    check(abandoned, &[100, 106], &[105], &[116]);
    let recently = r#"events("cart").within("30s").not_followed_by("purchase", "10s")"#;
    check(recently, &[100], &[], &[110, 130]);
    check(recently, &[100, 115], &[], &[110, 145]);
    check(recently, &[100, 115], &[120], &[110, 130]);
    let never = r#"!events("cart").within("30s").not_followed_by("purchase", "10s").any()"#;
    check(never, &[100], &[], &[0, 110, 130]);
}

#[test]
fn an_order_that_could_never_be_counted_is_refused() {
    let error =
        refused(r#"events("cart").within("1d").not_followed_by("purchase", "24h")"#, &schema());
    assert_eq!(
        error.to_string(),
        "`rule.order.within`: expected a whole number of seconds from 1 to 86399, found 86400s"
    );
    plan(r#"events("cart").within("1d").followed_by("purchase", "24h")"#);
    plan(r#"events("cart").before("1d").not_followed_by("purchase", "24h")"#);
}

fn paid(amounts: &'static [f64]) -> impl Fn(&mut BlockBuilder) {
    move |builder| {
        builder.event(7, "paid", -SECOND, &[]);
        for amount in amounts {
            builder.event(7, "paid", -SECOND, &[("amount", Value::Number(*amount))]);
        }
    }
}

#[test]
fn the_least_the_greatest_and_the_mean_of_nothing_compare_with_nothing() {
    for aggregate in ["min", "max", "avg"] {
        for operator in ["==", "!=", "<", ">="] {
            let text = format!(r#"events("paid").{aggregate}("amount") {operator} 0"#);
            assert!(!holds(&text, &paid(&[])), "{text}");
        }
    }
    assert!(holds(r#"events("paid").sum("amount") == 0"#, &paid(&[])));
    let three = paid(&[3.0, -1.0, 7.0]);
    assert!(holds(r#"events("paid").min("amount") == -1"#, &three));
    assert!(holds(r#"events("paid").max("amount") == 7"#, &three));
    assert!(holds(r#"events("paid").avg("amount") == 3"#, &three));
    assert!(holds(r#"events("paid").sum("amount") == 9"#, &three));
    assert!(holds(r#"events("paid").count() == 4"#, &three));
}

#[test]
fn the_greatest_changes_when_it_leaves_the_window() {
    let load = |builder: &mut BlockBuilder| {
        for (second, amount) in [(10, 5.0), (20, 9.0), (30, 2.0)] {
            builder.event(7, "paid", second * SECOND, &[("amount", Value::Number(amount))]);
        }
    };
    assert_eq!(changes(r#"events("paid").within("100s").max("amount") >= 9"#, &load), [20, 120]);
    assert_eq!(changes(r#"events("paid").within("100s").min("amount") >= 5"#, &load), [10, 30]);
    assert_eq!(changes(r#"events("paid").within("100s").avg("amount") > 5"#, &load), [20, 120]);
}

fn deal(stage: &'static str, amount: f64, closes: i64) -> impl Fn(&mut BlockBuilder) {
    move |builder| {
        let properties = [
            ("stage", Value::Text(stage)),
            ("amount", Value::Number(amount)),
            ("close_time", Value::Time(closes * SECOND)),
        ];
        builder.event(7, DEALS, i64::MAX, &properties);
    }
}

#[test]
fn deals_count_whenever_they_were_made() {
    let both = |builder: &mut BlockBuilder| {
        deal("won", 10_000.0, 0)(builder);
        deal("negotiation", 500.0, 0)(builder);
    };
    assert!(holds(r#"deals.exists(d, d.stage == "negotiation" && d.amount >= 500)"#, &both));
    assert!(!holds(r#"deals.exists(d, d.stage == "negotiation" && d.amount > 500)"#, &both));
    assert!(holds("deals.count() == 2", &both));
    assert!(holds(r#"deals.where(d, d.stage in ["won", "lost"]).sum("amount") == 10000"#, &both));
    assert!(holds(r#"deals.where(d, d.stage.startsWith("neg")).max("amount") == 500"#, &both));
    assert!(holds("!deals.exists(d, has(d.partners))", &both));
    assert!(!holds("deals.any()", &|_: &mut BlockBuilder| {}));
}

#[test]
fn deals_change_by_time_alone_as_their_times_pass() {
    let soon = r#"deals.exists(d, d.close_time <= now + duration("14s") && d.close_time > now)"#;
    assert_eq!(changes(soon, &deal("open", 1.0, 100)), [86, 100]);
    let overdue = r#"deals.where(d, d.close_time <= now).sum("amount") >= 3"#;
    let two = |builder: &mut BlockBuilder| {
        deal("open", 1.0, 100)(builder);
        deal("open", 2.0, 200)(builder);
    };
    assert_eq!(changes(overdue, &two), [200]);
    assert_eq!(changes("deals.where(d, d.close_time <= now).count() == 1", &two), [100, 200]);
}

#[test]
fn an_email_clicked_by_a_machine_is_not_engagement() {
    let clicked = r#"events("email.clicked").where(e, e.actor == "human").within("90d").any()"#;
    let by = |actor: &'static str| {
        move |builder: &mut BlockBuilder| {
            builder.event(7, "email.clicked", -SECOND, &[("actor", Value::Text(actor))]);
        }
    };
    assert!(holds(clicked, &by("human")));
    assert!(!holds(clicked, &by("machine")));
    assert!(!holds(clicked, &by("unknown")));
}

#[test]
fn an_account_s_attributes_are_asked_like_a_contact_s() {
    let software = |builder: &mut BlockBuilder| {
        builder.set(7, "account.industry", Value::Text("software"));
        builder.set(7, "account.employees", Value::Number(50.0));
    };
    assert!(holds(r#"account.industry == "software" && account.employees >= 50"#, &software));
    assert!(holds(r#"account.industry.contains("soft") && has(account.employees)"#, &software));
    assert!(!holds(r#"account.industry in ["media"]"#, &software));
    let error = refused(r#"account.industri == "software""#, &schema());
    assert_eq!(error.closest.as_deref(), Some("account.industry"));
}

#[test]
fn a_contact_is_subscribed_to_the_topics_in_its_set() {
    let topics = |builder: &mut BlockBuilder| {
        builder.set(7, SUBSCRIPTIONS, Value::Texts(vec!["newsletter"]));
    };
    assert!(holds(r#"subscribed("newsletter")"#, &topics));
    assert!(!holds(r#"subscribed("offers")"#, &topics));
    let error = refused(r#"subscribed("newsletter")"#, &Schema::default());
    assert_eq!(error.found, "`subscriptions`");
}

#[test]
fn buckets_with_one_salt_divide_contacts_without_a_gap() {
    let load = |id: usize| {
        move |builder: &mut BlockBuilder| {
            builder.set(7, BUCKET_KEY, Value::Number(bucket_key(&id.to_string())));
        }
    };
    for id in 0..50 {
        let tenths = (0..100).step_by(10).filter(|from| {
            holds(&format!(r#"bucket("holdout-2026", {from}, {})"#, from + 10), &load(id))
        });
        assert_eq!(tenths.count(), 1);
        assert!(holds(r#"bucket("holdout-2026", 0, 100)"#, &load(id)));
    }
    assert!(!holds(r#"bucket("holdout-2026", 0, 100)"#, &|_: &mut BlockBuilder| {}));
    for (text, expected) in [
        (
            r#"bucket("a", 10, 10)"#,
            "`rule.from`: expected less than the end, which is 10, found 10",
        ),
        (r#"bucket("a", 10, 9)"#, "`rule.from`: expected less than the end, which is 9, found 10"),
    ] {
        assert_eq!(refused(text, &schema()).to_string(), expected);
    }
    let beyond = Rule::Bucket { salt: String::new(), from: 0, to: 101 };
    assert_eq!(Plan::compile(&beyond, &schema(), Limits::default()).unwrap_err().path, "rule.to");
    assert_eq!(refused(r#"bucket("a", 0, 10)"#, &Schema::default()).found, "`bucket`");
    assert!(
        Plan::compile(
            &Rule::Has { attribute: BUCKET_KEY.to_owned() },
            &schema(),
            Limits::default()
        )
        .is_err()
    );
}

#[test]
fn known_properties_are_checked_and_unknown_ones_have_a_closest() {
    for (text, expected) in [
        (
            r#"events("paid").where(e, e.amuont > 1).any()"#,
            "`rule.where[0].property`: expected a property of the event, found `amuont`; did you mean `amount`?",
        ),
        (
            r#"events("paid").where(e, e.amount > "1").any()"#,
            "`rule.where[0].value`: expected a number, found a string",
        ),
        (
            r#"events("paid").where(e, e.amount in ["1"]).any()"#,
            "`rule.where[0].values[0]`: expected a number, found a string",
        ),
        (
            r#"events("paid").where(e, e.due in [1]).any()"#,
            "`rule.where[0].property`: expected a property that is a string or a number, found `due`, which is a timestamp",
        ),
        (
            r#"events("paid").where(e, e.amount.contains("1")).any()"#,
            "`rule.where[0].property`: expected a property that is a string, found `amount`, which is a number",
        ),
        (
            r#"events("paid").where(e, e.amount < now).any()"#,
            "`rule.where[0].property`: expected a property that is a timestamp, found `amount`, which is a number",
        ),
        (
            r#"events("paid").max("due") > 1"#,
            "`rule.max`: expected a property that is a number, found `due`, which is a timestamp",
        ),
        (
            r#"deals.exists(d, d.stag == "won")"#,
            "`rule.where[0].property`: expected a property of deals, found `stag`; did you mean `stage`?",
        ),
        (
            r#"deals.exists(d, d.partners == "a")"#,
            "`rule.where[0].value`: expected `in`: a set of strings is not compared, found a string",
        ),
        (
            r#"deals.avg("stag") > 1"#,
            "`rule.avg`: expected a property of deals, found `stag`; did you mean `stage`?",
        ),
        (
            r#"events("other").where(e, e.x in [1, "2"]).any()"#,
            "`rule.where[0].values[1]`: expected a number, found a string",
        ),
    ] {
        assert_eq!(refused(text, &schema()).to_string(), expected);
    }
    plan(r#"events("other").where(e, e.anything in ["1"] && has(e.more)).sum("any") > 1"#);
    assert_eq!(refused("deals.any()", &Schema::default()).expected, "a workspace with deals");
    assert_eq!(refused(r#"events("$deals").any()"#, &schema()).path, "rule.event");
}

fn with_segments<const N: usize>(segments: [(&str, &str); N]) -> Schema {
    schema().with_segments(segments.map(|(id, text)| (id.to_owned(), read(text))))
}

#[test]
fn a_segment_s_rule_takes_the_place_of_its_reference() {
    let schema = with_segments([
        ("paying", r#"contact.plan == "pro" && in_segment("active")"#),
        ("active", r#"events("login").within("30s").any()"#),
    ]);
    let rule = read(r#"in_segment("paying") || !in_segment("active")"#);
    assert_eq!(rule.references().into_iter().collect::<Vec<_>>(), ["active", "paying"]);
    let plan = Plan::compile(&rule, &schema, Limits::default()).unwrap();
    assert_eq!(plan.segments().collect::<Vec<_>>(), ["active", "paying"]);
    assert_eq!(plan.mentions().events.keys().collect::<Vec<_>>(), ["login"]);
    let block = block(&plan, &|builder| {
        builder.event(7, "login", 10 * SECOND, &[]);
    });
    let at = |second: i64| plan.evaluate_one(&block, 7, second * SECOND);
    assert_eq!(at(0), (true, Some(10 * SECOND)));
    assert_eq!(at(10), (false, Some(40 * SECOND)));
    assert_eq!(at(40), (true, None));
}

#[test]
fn a_segment_that_is_unknown_or_in_a_circle_is_refused() {
    let schema = with_segments([
        ("a", r#"has(contact.plan) && in_segment("b")"#),
        ("b", r#"!in_segment("c")"#),
        ("c", r#"in_segment("b")"#),
        ("broken", "has(contact.gone)"),
        ("worse", r#"in_segment("broken")"#),
    ]);
    for (text, expected) in [
        (
            r#"true && in_segment("borken")"#,
            "`rule.all[1].segment`: expected a segment of the workspace, found `borken`; did you mean `broken`?",
        ),
        (
            r#"in_segment("a") && true"#,
            "`rule.all[0].segment`: expected segments that do not refer to each other in a circle, found `b -> c -> b`",
        ),
        (
            r#"in_segment("worse")"#,
            "`rule.segment`: expected a segment that can be used here, found `worse`, in whose rule `rule.segment`: \
             expected a segment that can be used here, found `broken`, in whose rule `rule.attribute`: \
             expected an attribute of the workspace, found `gone`",
        ),
    ] {
        assert_eq!(refused(text, &schema).to_string(), expected);
    }
    let schema = with_segments([("a", "true"), ("b", r#"in_segment("a")"#)]);
    let rule = read(r#"in_segment("b")"#);
    let error = Plan::compile_segment("a", &rule, &schema, Limits::default()).unwrap_err();
    assert_eq!(error.found, "`a -> b -> a`");
    assert!(Plan::compile_segment("c", &rule, &schema, Limits::default()).is_ok());
}

#[test]
fn segments_that_double_again_and_again_are_refused_cheaply() {
    let twice = |next: usize| read(&format!(r#"in_segment("s{next}") && in_segment("s{next}")"#));
    let segments = |count| (0..count).map(|index| (format!("s{index}"), twice(index + 1)));
    let deep = schema().with_segments(segments(100));
    let error = refused(r#"in_segment("s0")"#, &deep);
    assert!(error.found.contains("expected at most 16 levels, found more"), "{error}");
    assert!(error.to_string().len() < 4_000);
    let wide = schema()
        .with_segments(segments(10))
        .with_segments([("s10".to_owned(), Rule::All(Vec::new()))]);
    let error = refused(r#"in_segment("s0")"#, &wide);
    assert!(error.found.contains("expected at most 500 nodes, found more"), "{error}");
    // Few nodes, but each as large as a node may be.
    let list: Vec<String> = (0..10_000).map(|index| format!("'{index:050}'")).collect();
    let long = with_segments([("long", &format!("contact.plan in [{}]", list.join(", ")))]);
    let error = refused(&["in_segment('long')"; 10].join("||"), &long);
    assert!(error.found.contains("expected at most 1048576 bytes, found more"), "{error}");
    Plan::compile(&read("in_segment('long')"), &long, Limits::default()).unwrap();
}
