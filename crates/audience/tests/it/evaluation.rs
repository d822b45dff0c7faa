//! Rules and contacts worked out by hand: what a segment means, and when it changes by time alone.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Block, BlockBuilder, Filter, Kind, Limits, Literal, Mentions, Operator,
    Plan, Position, Reach, Rule, Schema, Value, Window,
};

use crate::data::SECOND;

const NOW: i64 = 1_000 * SECOND;

fn schema() -> Schema {
    let attributes = [
        ("plan", Kind::Text),
        ("score", Kind::Number),
        ("vat", Kind::Flag),
        ("seen_at", Kind::Time),
        ("tags", Kind::TextSet),
    ];
    Schema::new(attributes.map(|(name, kind)| (name.to_owned(), kind)), [])
}

fn plan(rule: &Rule) -> Plan {
    Plan::compile(rule, &schema(), Limits::default()).expect("the rule is sound")
}

/// Contact 0 has everything, contact 1 has nothing, and contact 2 does not exist but has everything.
fn members(rule: &Rule) -> Vec<u16> {
    let plan = plan(rule);
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(0);
    builder.live(1);
    for slot in [0, 2] {
        builder.set(slot, "plan", Value::Text("pro"));
        builder.set(slot, "score", Value::Number(10.0));
        builder.set(slot, "vat", Value::Flag(false));
        builder.set(slot, "seen_at", Value::Time(NOW - 60 * SECOND));
        builder.set(slot, "tags", Value::Texts(vec!["vip", "beta", "vip"]));
    }
    plan.evaluate(&builder.build(), NOW).bits.iter().collect()
}

fn check(rule: &Rule, expected: &[u16]) {
    assert_eq!(members(rule), expected, "{rule}");
}

fn compare(attribute: &str, operator: Operator, value: Literal) -> Rule {
    Rule::Compare { attribute: attribute.to_owned(), operator, value }
}

fn number(operator: Operator, value: f64) -> Rule {
    compare("score", operator, Literal::Number(value))
}

fn text(value: &str) -> Literal {
    Literal::Text(value.to_owned())
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

fn logins(window: Window, operator: Operator, count: f64) -> Rule {
    Rule::Behaviour(Behaviour {
        event: "login".to_owned(),
        filters: Vec::new(),
        window,
        order: None,
        aggregate: Aggregate::Count,
        operator,
        value: count,
    })
}

fn within(seconds: i64) -> Window {
    Window::within(TimeDelta::seconds(seconds))
}

/// One contact with logins at these seconds.
fn block(plan: &Plan, seconds: &[i64]) -> Block {
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(7);
    for second in seconds {
        builder.event(7, "login", second * SECOND, &[]);
    }
    builder.build()
}

/// Follows a rule through time from second 0: the moments at which the contact enters or leaves.
fn changes(rule: &Rule, logins: &[i64]) -> Vec<i64> {
    let plan = plan(rule);
    let block = block(&plan, logins);
    let mut changes = Vec::new();
    let (mut belongs, mut next) = plan.evaluate_one(&block, 7, 0);
    if belongs {
        changes.push(0);
    }
    while let Some(moment) = next {
        let (then, after) = plan.evaluate_one(&block, 7, moment);
        if then != belongs {
            assert_eq!(moment % SECOND, 0);
            changes.push(moment / SECOND);
        }
        assert!(after.is_none_or(|after| after > moment));
        (belongs, next) = (then, after);
    }
    changes
}

#[test]
fn comparisons_with_a_missing_value_are_false() {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    check(&number(Equal, 10.0), &[0]);
    check(&number(NotEqual, 10.0), &[]);
    check(&number(NotEqual, 11.0), &[0]);
    check(&number(Less, 10.0), &[]);
    check(&number(LessOrEqual, 10.0), &[0]);
    check(&number(Greater, 9.0), &[0]);
    check(&number(GreaterOrEqual, 10.5), &[]);
    check(&not(number(Equal, 11.0)), &[0, 1]);
    check(&compare("plan", NotEqual, text("free")), &[0]);
    check(&compare("plan", Greater, text("free")), &[0]);
    check(&compare("vat", Equal, Literal::Flag(false)), &[0]);
    check(&compare("vat", NotEqual, Literal::Flag(false)), &[]);
}

#[test]
fn only_has_asks_whether_there_is_a_value() {
    for attribute in ["plan", "score", "vat", "seen_at", "tags"] {
        let has = Rule::Has { attribute: attribute.to_owned() };
        check(&has, &[0]);
        check(&not(has), &[1]);
    }
}

#[test]
fn lists_strings_and_sets_are_searched() {
    let attribute = |name: &str| name.to_owned();
    let list = |name, values| Rule::In { attribute: attribute(name), values };
    check(&list("plan", vec![text("free"), text("pro")]), &[0]);
    check(&list("plan", vec![text("free"), text("PRO")]), &[]);
    check(&list("score", [12.0, 10.0, 11.0].map(Literal::Number).to_vec()), &[0]);
    check(&list("score", [12.0, -10.0].map(Literal::Number).to_vec()), &[]);
    let matches = |position, part: &str| Rule::Text {
        attribute: attribute("plan"),
        position,
        text: part.to_owned(),
    };
    check(&matches(Position::Anywhere, "r"), &[0]);
    check(&matches(Position::Start, "pr"), &[0]);
    check(&matches(Position::Start, "ro"), &[]);
    check(&matches(Position::End, "ro"), &[0]);
    check(&matches(Position::End, ""), &[0]);
    let contains =
        |member: &str| Rule::Contains { attribute: attribute("tags"), member: member.to_owned() };
    check(&contains("vip"), &[0]);
    check(&contains("VIP"), &[]);
}

#[test]
fn timestamps_compare_with_fixed_moments_and_with_now() {
    let at = |second: i64| Literal::Time(DateTime::from_timestamp(second, 0).unwrap());
    check(&compare("seen_at", Operator::Equal, at(940)), &[0]);
    check(&compare("seen_at", Operator::Less, at(940)), &[]);
    let age = |operator, seconds| Rule::Age {
        attribute: "seen_at".to_owned(),
        operator,
        offset: TimeDelta::seconds(seconds),
    };
    check(&age(Operator::Equal, -60), &[0]);
    check(&age(Operator::Less, -60), &[]);
    check(&age(Operator::Less, -59), &[0]);
    check(&age(Operator::Greater, -61), &[0]);
    check(&age(Operator::Greater, 0), &[]);
}

#[test]
fn empty_conjunctions_hold_and_empty_disjunctions_do_not() {
    check(&Rule::All(Vec::new()), &[0, 1]);
    check(&Rule::Any(Vec::new()), &[]);
}

#[test]
fn a_contact_leaves_at_the_microsecond_its_window_closes() {
    let rule = logins(within(30), Operator::GreaterOrEqual, 1.0);
    let plan = plan(&rule);
    let block = block(&plan, &[100]);
    let closes = 130 * SECOND;
    for (now, expected) in [
        (100 * SECOND - 1, (false, Some(100 * SECOND))),
        (100 * SECOND, (true, Some(closes))),
        (closes - 1, (true, Some(closes))),
        (closes, (false, None)),
    ] {
        assert_eq!(plan.evaluate_one(&block, 7, now), expected, "{now}");
        assert_eq!(plan.evaluate(&block, now).next_change, expected.1, "{now}");
    }
}

#[test]
fn membership_follows_the_clock_alone() {
    use Operator::{Equal, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let check = |rule: &Rule, logins: &[i64], expected: &[i64]| {
        assert_eq!(changes(rule, logins), expected, "{rule} {logins:?}");
    };
    let at_least = |count| logins(within(30), GreaterOrEqual, count);
    // Two of three within 30 s: from the second login until the second one leaves.
    check(&at_least(2.0), &[10, 20, 35], &[20, 50]);
    check(&at_least(4.0), &[10, 20, 35], &[]);
    check(&at_least(0.0), &[10], &[0]);
    // Absence ends with a login and begins again when it leaves the window.
    check(&not(at_least(1.0)), &[10, 100], &[0, 10, 40, 100, 130]);
    check(&logins(within(30), Less, 2.0), &[10, 20], &[0, 20, 40]);
    check(&logins(within(30), LessOrEqual, 0.0), &[10], &[0, 10, 40]);
    check(&logins(within(30), Equal, 1.0), &[10, 20], &[10, 20, 40, 50]);
    check(&logins(within(30), NotEqual, 1.0), &[10, 20], &[0, 10, 20, 40, 50]);
    // One event entering at the moment another leaves keeps the count.
    check(&at_least(1.0), &[10, 40], &[10, 70]);
    check(&at_least(1.0), &[10, 10, 10], &[10, 40]);
    let between = Window::between(TimeDelta::seconds(90), TimeDelta::seconds(30));
    check(&logins(between, GreaterOrEqual, 2.0), &[10, 20, 100], &[50, 100]);
    check(&logins(Window::EVER, GreaterOrEqual, 2.0), &[10, 20], &[20]);
    let before = Window { from: None, to: TimeDelta::seconds(5) };
    check(&logins(before, GreaterOrEqual, 1.0), &[10], &[15]);
}

#[test]
fn presence_and_absence_together_follow_the_clock() {
    // Active between 60 and 20 seconds ago, and silent since.
    let churning = Rule::All(vec![
        logins(
            Window::between(TimeDelta::seconds(60), TimeDelta::seconds(20)),
            Operator::GreaterOrEqual,
            2.0,
        ),
        not(logins(within(20), Operator::GreaterOrEqual, 1.0)),
    ]);
    assert_eq!(changes(&churning, &[10, 20]), [40, 70]);
    // The visit at 50 first breaks the silence, then keeps the activity until 20 is too long ago.
    assert_eq!(changes(&churning, &[10, 20, 50]), [40, 50, 70, 80]);
}

#[test]
fn no_deadline_is_set_for_what_time_cannot_change() {
    for rule in [number(Operator::Equal, 1.0), logins(Window::EVER, Operator::Less, 1.0)] {
        let plan = plan(&rule);
        assert_eq!(plan.evaluate(&block(&plan, &[10]), NOW).next_change, None, "{rule}");
    }
}

#[test]
fn a_contact_whom_a_cheap_clause_excludes_sets_no_deadline() {
    let rule = Rule::All(vec![
        logins(within(2_000), Operator::GreaterOrEqual, 1.0),
        compare("plan", Operator::Equal, text("pro")),
    ]);
    let plan = plan(&rule);
    assert_eq!(plan.evaluate(&block(&plan, &[10]), NOW).next_change, None);
}

#[test]
fn filters_and_sums_read_properties() {
    let spent = |filters: Vec<Filter>, value| {
        Rule::Behaviour(Behaviour {
            event: "purchase".to_owned(),
            filters,
            window: within(100),
            order: None,
            aggregate: Aggregate::Sum("amount".to_owned()),
            operator: Operator::GreaterOrEqual,
            value,
        })
    };
    let filter = |property: &str, operator, value| Filter::Compare {
        property: property.to_owned(),
        operator,
        value,
    };
    let check = |rule: &Rule, expected: bool| {
        let plan = plan(rule);
        let mut builder = BlockBuilder::new(plan.mentions().clone());
        builder.live(0);
        let now = NOW - SECOND;
        let shop = ("shop", Value::Text("web"));
        builder.event(0, "purchase", now, &[("amount", Value::Number(30.0)), shop.clone()]);
        builder.event(0, "purchase", now, &[("amount", Value::Number(40.0))]);
        builder.event(0, "purchase", now, &[("amount", Value::Text("50")), shop]);
        builder.event(0, "purchase", NOW - 100 * SECOND, &[("amount", Value::Number(1e6))]);
        assert_eq!(plan.evaluate_one(&builder.build(), 0, NOW).0, expected, "{rule}");
    };
    check(&spent(Vec::new(), 70.0), true);
    check(&spent(Vec::new(), 70.5), false);
    let web = || filter("shop", Operator::Equal, text("web"));
    check(&spent(vec![web()], 30.0), true);
    check(&spent(vec![web()], 30.5), false);
    check(&spent(vec![filter("shop", Operator::NotEqual, text("web"))], 0.5), false);
    let big = filter("amount", Operator::Greater, Literal::Number(35.0));
    check(&spent(vec![big.clone()], 40.0), true);
    check(&spent(vec![big.clone(), web()], 0.0), true);
    check(&spent(vec![big, web()], 0.5), false);
}

#[test]
fn the_funnel_counts_in_the_written_order() {
    let rule = Rule::All(vec![
        Rule::Has { attribute: "plan".to_owned() },
        number(Operator::Greater, 1.0),
        number(Operator::Greater, 2.0),
    ]);
    let plan = plan(&rule);
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    for slot in 0..5_u16 {
        builder.live(slot);
        builder.set(slot, "score", Value::Number(f64::from(slot)));
        if slot > 0 {
            builder.set(slot, "plan", Value::Text("pro"));
        }
    }
    let funnel = plan.funnel(&builder.build(), NOW);
    let steps: Vec<(&str, u32)> =
        funnel.iter().map(|step| (step.text.as_str(), step.remaining)).collect();
    assert_eq!(
        steps,
        [("has(contact.plan)", 4), ("contact.score > 1.0", 3), ("contact.score > 2.0", 2)]
    );
}

#[test]
fn mentions_name_what_a_loader_has_to_fetch() {
    let filter = Filter::Compare {
        property: "shop".to_owned(),
        operator: Operator::Equal,
        value: text("web"),
    };
    let rule = Rule::Any(vec![
        number(Operator::Equal, 1.0),
        logins(within(30), Operator::GreaterOrEqual, 1.0),
        Rule::Behaviour(Behaviour {
            event: "login".to_owned(),
            filters: vec![filter],
            window: within(50),
            order: None,
            aggregate: Aggregate::Sum("amount".to_owned()),
            operator: Operator::Equal,
            value: 0.0,
        }),
    ]);
    let mut mentions = plan(&rule).mentions().clone();
    let names = |mentions: &Mentions| -> Vec<String> {
        mentions.attributes.iter().map(|field| field.name.clone()).collect()
    };
    assert_eq!(names(&mentions), ["score"]);
    let properties: Vec<_> = mentions.events["login"]
        .properties
        .iter()
        .map(|field| (field.name.as_str(), field.kind))
        .collect();
    assert_eq!(properties, [("amount", Kind::Number), ("shop", Kind::Text)]);
    assert_eq!(mentions.events["login"].reach, Reach::Last(TimeDelta::seconds(50)));

    let forever = plan(&logins(Window::EVER, Operator::Equal, 0.0));
    assert!(!mentions.covers(forever.mentions()));
    mentions.merge(forever.mentions());
    assert_eq!(mentions.events["login"].reach, Reach::Ever);
    assert!(mentions.covers(forever.mentions()));
}

#[test]
fn the_last_value_set_counts_and_values_of_another_kind_do_not() {
    let rule = Rule::All(vec![
        number(Operator::Equal, 2.0),
        compare("plan", Operator::Equal, text("pro")),
        compare("vat", Operator::Equal, Literal::Flag(false)),
        not(Rule::Contains { attribute: "tags".to_owned(), member: "old".to_owned() }),
        Rule::Contains { attribute: "tags".to_owned(), member: "new".to_owned() },
    ]);
    let plan = plan(&rule);
    let mut builder = BlockBuilder::new(plan.mentions().clone());
    builder.live(u16::MAX);
    for (attribute, value) in [
        ("score", Value::Number(1.0)),
        ("score", Value::Number(2.0)),
        ("score", Value::Number(f64::NAN)),
        ("score", Value::Text("3")),
        ("plan", Value::Text("free")),
        ("plan", Value::Text("pro")),
        ("plan", Value::Number(0.0)),
        ("vat", Value::Flag(true)),
        ("vat", Value::Flag(false)),
        ("tags", Value::Texts(vec!["old"])),
        ("tags", Value::Texts(vec!["new"])),
        ("unknown", Value::Flag(true)),
    ] {
        builder.set(u16::MAX, attribute, value);
    }
    let block = builder.build();
    assert_eq!(plan.evaluate(&block, NOW).bits.iter().collect::<Vec<_>>(), [u16::MAX]);
    assert!(plan.evaluate_one(&block, u16::MAX, NOW).0);
}

#[test]
fn moments_at_the_ends_of_time_do_not_overflow() {
    for operator in [Operator::GreaterOrEqual, Operator::Equal] {
        for window in [within(30), Window::EVER] {
            let plan = plan(&logins(window, operator, 1.0));
            let mut builder = BlockBuilder::new(plan.mentions().clone());
            builder.live(0);
            for time in [i64::MIN, 0, i64::MAX] {
                builder.event(0, "login", time, &[]);
            }
            let block = builder.build();
            for now in [i64::MIN, i64::MAX] {
                assert_eq!(
                    plan.evaluate(&block, now).next_change,
                    plan.evaluate_one(&block, 0, now).1
                );
            }
        }
    }
}

#[test]
fn an_empty_block_has_no_members() {
    let plan = plan(&Rule::All(Vec::new()));
    let block = BlockBuilder::new(plan.mentions().clone()).build();
    assert!(plan.evaluate(&block, NOW).bits.is_empty());
    assert_eq!(plan.evaluate_one(&block, 0, NOW), (false, None));
}

#[test]
fn a_plan_refuses_a_block_loaded_for_another_rather_than_answer_wrongly() {
    let nothing = plan(&Rule::All(Vec::new()));
    let block = BlockBuilder::new(nothing.mentions().clone()).build();
    let scored = plan(&number(Operator::Equal, 1.0));
    assert!(std::panic::catch_unwind(|| scored.evaluate(&block, NOW)).is_err());
    assert!(std::panic::catch_unwind(|| scored.funnel(&block, NOW)).is_err());
}
