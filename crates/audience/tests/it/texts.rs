//! How rules read in an approval.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{Aggregate, Behaviour, Filter, Literal, Operator, Position, Rule, Window};

fn check(rule: &Rule, expected: &str) {
    assert_eq!(rule.to_string(), expected);
}

fn has(attribute: &str) -> Rule {
    Rule::Has { attribute: attribute.to_owned() }
}

fn compare(attribute: &str, operator: Operator, value: Literal) -> Rule {
    Rule::Compare { attribute: attribute.to_owned(), operator, value }
}

fn text(value: &str) -> Literal {
    Literal::Text(value.to_owned())
}

fn count(event: &str, window: Window, operator: Operator, value: f64) -> Behaviour {
    let event = event.to_owned();
    Behaviour {
        event,
        filters: Vec::new(),
        window,
        order: None,
        aggregate: Aggregate::Count,
        operator,
        value,
    }
}

fn age(operator: Operator, offset: TimeDelta) -> Rule {
    Rule::Age { attribute: "last_activity_at".to_owned(), operator, offset }
}

#[test]
fn attributes_read_as_fields_of_the_contact() {
    check(&compare("plan", Operator::Equal, text("pro")), r#"contact.plan == "pro""#);
    check(&compare("age", Operator::NotEqual, Literal::Number(50.0)), "contact.age != 50.0");
    check(&compare("score", Operator::Less, Literal::Number(-0.5)), "contact.score < -0.5");
    check(&compare("vat", Operator::Equal, Literal::Flag(false)), "contact.vat == false");
    let time = DateTime::from_timestamp_micros(1_767_323_045_500_000).unwrap();
    check(
        &compare("create_time", Operator::GreaterOrEqual, Literal::Time(time)),
        r#"contact.create_time >= timestamp("2026-01-02T03:04:05.500Z")"#,
    );
    check(&has("phone"), "has(contact.phone)");
    check(&has("first name"), r#"has(contact["first name"])"#);
    check(
        &Rule::In { attribute: "country".to_owned(), values: vec![text("DE"), text("FR")] },
        r#"contact.country in ["DE", "FR"]"#,
    );
    check(
        &Rule::Contains { attribute: "tags".to_owned(), member: "vip".to_owned() },
        r#""vip" in contact.tags"#,
    );
}

#[test]
fn parts_of_strings_read_as_calls() {
    let matches = |position| Rule::Text {
        attribute: "email".to_owned(),
        position,
        text: "@acme.com".to_owned(),
    };
    check(&matches(Position::Anywhere), r#"contact.email.contains("@acme.com")"#);
    check(&matches(Position::Start), r#"contact.email.startsWith("@acme.com")"#);
    check(&matches(Position::End), r#"contact.email.endsWith("@acme.com")"#);
}

#[test]
fn ages_read_as_lengths_from_now() {
    let days = TimeDelta::days;
    check(&age(Operator::Less, -days(30)), r#"contact.last_activity_at < now - duration("30d")"#);
    check(&age(Operator::LessOrEqual, days(0)), "contact.last_activity_at <= now");
    check(
        &age(Operator::Greater, TimeDelta::seconds(90_061)),
        r#"contact.last_activity_at > now + duration("1d1h1m1s")"#,
    );
}

#[test]
fn behaviour_reads_from_the_event_to_the_number() {
    let days = |days| Window::within(TimeDelta::days(days));
    let login = |window, operator, value| Rule::Behaviour(count("login", window, operator, value));
    check(&login(days(30), Operator::Greater, 3.0), r#"events("login").within("30d").count() > 3"#);
    check(
        &login(days(30), Operator::GreaterOrEqual, 1.0),
        r#"events("login").within("30d").any()"#,
    );
    let between = Window::between(TimeDelta::days(90), TimeDelta::hours(36));
    check(
        &login(between, Operator::GreaterOrEqual, 5.0),
        r#"events("login").between("90d", "1d12h").count() >= 5"#,
    );
    check(&login(Window::EVER, Operator::Equal, 0.0), r#"events("login").count() == 0"#);
    let before = Window { from: None, to: TimeDelta::minutes(5) };
    check(&login(before, Operator::Less, 2.0), r#"events("login").before("5m").count() < 2"#);
}

#[test]
fn filters_and_sums_name_properties() {
    let filter = |property: &str, operator, value| Filter::Compare {
        property: property.to_owned(),
        operator,
        value,
    };
    let mut spent =
        count("purchase", Window::within(TimeDelta::days(90)), Operator::GreaterOrEqual, 200.0);
    spent.filters = vec![
        filter("amount", Operator::GreaterOrEqual, Literal::Number(50.0)),
        filter("gift", Operator::Equal, Literal::Flag(true)),
    ];
    spent.aggregate = Aggregate::Sum("amount".to_owned());
    check(
        &Rule::Behaviour(spent),
        r#"events("purchase").where(e, e.amount >= 50.0 && e.gift == true).within("90d").sum("amount") >= 200.0"#,
    );
}

#[test]
fn nested_conditions_stand_in_parentheses() {
    let login = count("login", Window::within(TimeDelta::days(30)), Operator::GreaterOrEqual, 1.0);
    let not = |rule| Rule::Not(Box::new(rule));
    let plan = compare("plan", Operator::Equal, text("pro"));
    check(&not(Rule::Behaviour(login)), r#"!events("login").within("30d").any()"#);
    check(&not(plan.clone()), r#"!(contact.plan == "pro")"#);
    check(&not(not(has("a"))), "!(!has(contact.a))");
    let either = Rule::Any(vec![has("a"), Rule::All(vec![has("b"), plan])]);
    check(
        &Rule::All(vec![either, not(Rule::Any(vec![has("c"), has("d")]))]),
        r#"(has(contact.a) || (has(contact.b) && contact.plan == "pro")) && !(has(contact.c) || has(contact.d))"#,
    );
    check(&Rule::All(vec![has("a")]), "has(contact.a)");
    check(&Rule::All(Vec::new()), "true");
    check(&not(Rule::Any(Vec::new())), "!false");
}

#[test]
fn strings_cannot_pass_for_another_rule() {
    check(
        &compare("plan", Operator::Equal, text("a\" || true || \"\\\n\u{202e}\u{0}ß")),
        r#"contact.plan == "a\" || true || \"\\\n\U0000202e\U00000000ß""#,
    );
}
