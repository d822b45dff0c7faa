//! What is refused, where, and with which advice.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Filter, Kind, Limits, Literal, Operator, Plan, Position, Rule, RuleError,
    Schema, Window,
};

fn schema() -> Schema {
    let attributes = [
        ("country", Kind::Text),
        ("plan", Kind::Text),
        ("score", Kind::Number),
        ("vat", Kind::Flag),
        ("seen_at", Kind::Time),
        ("tags", Kind::TextSet),
    ];
    let attributes = attributes.map(|(name, kind)| (name.to_owned(), kind));
    Schema::new(attributes, ["login", "purchase"].map(str::to_owned))
}

fn limits() -> Limits {
    Limits {
        nodes: 20,
        depth: 4,
        operands: 6,
        list: 3,
        string: 100,
        text: 10_000,
        window: TimeDelta::days(365),
    }
}

fn refused(rule: &Rule) -> RuleError {
    Plan::compile(rule, &schema(), limits()).expect_err(&rule.to_string())
}

/// Compares the whole message, which has the path, what was expected and what was found.
fn check(rule: &Rule, expected: &str) {
    assert_eq!(refused(rule).to_string(), expected);
}

fn accepted(rule: &Rule) {
    if let Err(error) = Plan::compile(rule, &schema(), limits()) {
        panic!("{rule}: {error}");
    }
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

fn list(attribute: &str, values: Vec<Literal>) -> Rule {
    Rule::In { attribute: attribute.to_owned(), values }
}

fn logins() -> Behaviour {
    Behaviour {
        event: "login".to_owned(),
        filters: Vec::new(),
        window: Window::within(TimeDelta::days(30)),
        order: None,
        aggregate: Aggregate::Count,
        operator: Operator::GreaterOrEqual,
        value: 3.0,
    }
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

#[test]
fn an_unknown_attribute_is_refused_with_its_path_and_the_closest_name() {
    let rule = Rule::All(vec![has("plan"), compare("contry", Operator::Equal, text("DE"))]);
    let error = refused(&rule);
    assert_eq!(error.path, "rule.all[1].attribute");
    assert_eq!(error.closest.as_deref(), Some("country"));
    check(
        &Rule::Any(vec![not(has("contry"))]),
        "`rule.any[0].not.attribute`: expected an attribute of the workspace, found `contry`; did you mean `country`?",
    );
    check(
        &has("shoe_size"),
        "`rule.attribute`: expected an attribute of the workspace, found `shoe_size`",
    );
}

#[test]
fn an_unknown_event_is_refused_with_the_closest_name() {
    let of = |event: &str| Rule::Behaviour(Behaviour { event: event.to_owned(), ..logins() });
    check(
        &of("purchsae"),
        "`rule.event`: expected the name of an event of the workspace, found `purchsae`; did you mean `purchase`?",
    );
    check(&of(""), "`rule.event`: expected the name of an event of the workspace, found ``");
}

#[test]
fn any_event_is_accepted_while_none_is_known() {
    let rule = Rule::Behaviour(Behaviour { event: "anything".to_owned(), ..logins() });
    let open = Schema::new([], []);
    assert!(Plan::compile(&rule, &open, limits()).is_ok());
    let nameless = Rule::Behaviour(Behaviour { event: String::new(), ..logins() });
    assert_eq!(Plan::compile(&nameless, &open, limits()).unwrap_err().path, "rule.event");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    check(
        &compare("score", Operator::Equal, text("ten")),
        "`rule.value`: expected a number, found a string",
    );
    check(
        &compare("seen_at", Operator::Less, Literal::Number(1.0)),
        "`rule.value`: expected a timestamp, found a number",
    );
    check(
        &compare("tags", Operator::Equal, text("vip")),
        "`rule.value`: expected `in`: a set of strings is not compared, found a string",
    );
    check(
        &list("country", vec![text("DE"), Literal::Flag(true)]),
        "`rule.values[1]`: expected a string, found a boolean",
    );
}

#[test]
fn an_attribute_of_another_kind_is_refused() {
    check(
        &list("vat", vec![Literal::Flag(true)]),
        "`rule.attribute`: expected an attribute that is a string or a number, found `vat`, which is a boolean",
    );
    check(
        &Rule::Text {
            attribute: "score".to_owned(),
            position: Position::End,
            text: "0".to_owned(),
        },
        "`rule.attribute`: expected an attribute that is a string, found `score`, which is a number",
    );
    check(
        &Rule::Contains { attribute: "plan".to_owned(), member: "pro".to_owned() },
        "`rule.attribute`: expected an attribute that is a set of strings, found `plan`, which is a string",
    );
    check(
        &Rule::Age {
            attribute: "vat".to_owned(),
            operator: Operator::Less,
            offset: TimeDelta::zero(),
        },
        "`rule.attribute`: expected an attribute that is a timestamp, found `vat`, which is a boolean",
    );
}

#[test]
fn booleans_have_no_order() {
    accepted(&compare("vat", Operator::NotEqual, Literal::Flag(true)));
    check(
        &compare("vat", Operator::Less, Literal::Flag(true)),
        "`rule.operator`: expected `==` or `!=`, as booleans have no order, found `<`",
    );
    let filter = Filter::Compare {
        property: "gift".to_owned(),
        operator: Operator::Greater,
        value: Literal::Flag(true),
    };
    check(
        &Rule::Behaviour(Behaviour { filters: vec![filter], ..logins() }),
        "`rule.where[0].operator`: expected `==` or `!=`, as booleans have no order, found `>`",
    );
}

#[test]
fn values_that_nothing_equals_are_refused() {
    check(
        &compare("score", Operator::Less, Literal::Number(f64::NAN)),
        "`rule.value`: expected a finite number, found `NaN`",
    );
    check(
        &list("score", vec![Literal::Number(1.0), Literal::Number(f64::INFINITY)]),
        "`rule.values[1]`: expected a finite number, found `inf`",
    );
    check(&list("plan", Vec::new()), "`rule.values`: expected at least one value, found none");
    let time = DateTime::from_timestamp(0, 1).unwrap();
    check(
        &compare("seen_at", Operator::Equal, Literal::Time(time)),
        "`rule.value`: expected a timestamp in whole microseconds, found `1970-01-01T00:00:00.000000001Z`",
    );
}

#[test]
fn a_count_is_compared_with_a_whole_number() {
    let with = |value| Rule::Behaviour(Behaviour { value, ..logins() });
    for value in [0.0, 1.0, 1e9] {
        accepted(&with(value));
    }
    for (value, shown) in [(2.5, "2.5"), (-1.0, "-1"), (1e9 + 1.0, "1000000001"), (f64::NAN, "NaN")]
    {
        check(
            &with(value),
            &format!("`rule.value`: expected a whole number from 0 to 1000000000, found {shown}"),
        );
    }
}

#[test]
fn filters_and_sums_need_names_and_comparable_values() {
    let with = |property: &str, value| {
        let filter =
            Filter::Compare { property: property.to_owned(), operator: Operator::Equal, value };
        Rule::Behaviour(Behaviour { filters: vec![filter], ..logins() })
    };
    accepted(&with("never seen", text("")));
    check(&with("", text("")), "`rule.where[0].property`: expected a name, found an empty string");
    accepted(&with("at", Literal::Time(DateTime::UNIX_EPOCH)));
    let sum = |property: &str, value| {
        let aggregate = Aggregate::Sum(property.to_owned());
        Rule::Behaviour(Behaviour { aggregate, value, ..logins() })
    };
    accepted(&sum("amount", -2.5));
    check(&sum("", 1.0), "`rule.sum`: expected a name, found an empty string");
    check(&sum("amount", f64::INFINITY), "`rule.value`: expected a finite number, found `inf`");
}

#[test]
fn windows_are_whole_seconds_in_order_and_within_the_limit() {
    let over = |window| Rule::Behaviour(Behaviour { window, ..logins() });
    let days = TimeDelta::days;
    let range = "expected a whole number of seconds from";
    accepted(&over(Window::within(days(365))));
    accepted(&over(Window::EVER));
    accepted(&over(Window::between(days(2), days(1))));
    check(
        &over(Window::within(days(366))),
        &format!("`rule.from`: {range} 1 to 31536000, found 31622400s"),
    );
    check(
        &over(Window::within(TimeDelta::zero())),
        &format!("`rule.from`: {range} 1 to 31536000, found 0s"),
    );
    check(
        &over(Window::within(TimeDelta::milliseconds(1_500))),
        &format!("`rule.from`: {range} 1 to 31536000, found 1.5s"),
    );
    check(
        &over(Window::between(days(1), days(1))),
        &format!("`rule.to`: {range} 0 to 86399, found 86400s"),
    );
    check(
        &over(Window { from: None, to: -days(1) }),
        &format!("`rule.to`: {range} 0 to 31536000, found -86400s"),
    );
    assert_eq!(refused(&over(Window::within(TimeDelta::MAX))).path, "rule.from");
    assert_eq!(refused(&over(Window::within(TimeDelta::MIN))).path, "rule.from");
}

#[test]
fn offsets_are_whole_seconds_within_a_hundred_years() {
    let by =
        |offset| Rule::Age { attribute: "seen_at".to_owned(), operator: Operator::Less, offset };
    accepted(&by(TimeDelta::days(-36_525)));
    for offset in
        [TimeDelta::days(-36_526), TimeDelta::MAX, TimeDelta::MIN, TimeDelta::milliseconds(-1)]
    {
        assert_eq!(refused(&by(offset)).path, "rule.offset", "{offset}");
    }
}

#[test]
fn a_rule_over_the_limits_is_refused_where_it_grows_over_them() {
    let many = |count| vec![has("plan"); count];
    accepted(&Rule::All(many(6)));
    check(&Rule::All(many(7)), "`rule.all`: expected at most 6 operands, found 7");
    check(
        &Rule::Any(vec![has("plan"), Rule::Any(many(7))]),
        "`rule.any[1].any`: expected at most 6 operands, found 7",
    );
    check(&Rule::All(vec![Rule::Any(many(6)); 4]), "`rule`: expected at most 20 nodes, found more");
    accepted(&not(not(not(has("plan")))));
    check(
        &not(not(not(not(has("plan"))))),
        "`rule.not.not.not.not`: expected at most 4 levels, found more",
    );
    check(&list("plan", vec![text("a"); 4]), "`rule.values`: expected at most 3 values, found 4");
    let filter = Filter::Compare {
        property: "amount".to_owned(),
        operator: Operator::Equal,
        value: Literal::Number(1.0),
    };
    check(
        &Rule::Behaviour(Behaviour { filters: vec![filter; 7], ..logins() }),
        "`rule.where`: expected at most 6 filters, found 7",
    );
}

#[test]
fn every_string_is_within_the_limit() {
    let long = || "x".repeat(101);
    let behaviour = |change: fn(&mut Behaviour, String)| {
        let mut behaviour = logins();
        change(&mut behaviour, long());
        Rule::Behaviour(behaviour)
    };
    let filter = |property: String, value| {
        vec![Filter::Compare { property, operator: Operator::Equal, value }]
    };
    let plan = || "plan".to_owned();
    for (rule, path) in [
        (has(&long()), "rule.attribute"),
        (compare("plan", Operator::Equal, text(&long())), "rule.value"),
        (compare(&long(), Operator::Equal, text("")), "rule.attribute"),
        (list("plan", vec![text(""), text(&long())]), "rule.values[1]"),
        (Rule::Text { attribute: plan(), position: Position::Start, text: long() }, "rule.text"),
        (Rule::Contains { attribute: plan(), member: long() }, "rule.member"),
        (behaviour(|b, long| b.event = long), "rule.event"),
        (behaviour(|b, long| b.aggregate = Aggregate::Sum(long)), "rule.sum"),
        (
            Rule::Behaviour(Behaviour { filters: filter(long(), text("")), ..logins() }),
            "rule.where[0].property",
        ),
        (
            Rule::Behaviour(Behaviour { filters: filter(plan(), text(&long())), ..logins() }),
            "rule.where[0].value",
        ),
    ] {
        let error = refused(&rule);
        assert_eq!((error.path.as_str(), error.found.as_str()), (path, "101"));
        assert_eq!(error.expected, "at most 100 bytes");
    }
}

#[test]
fn a_rule_a_million_levels_deep_is_refused_without_descending() {
    let mut rule = has("plan");
    for _ in 0..1_000_000 {
        rule = not(rule);
    }
    let error = Plan::compile(&rule, &schema(), limits()).unwrap_err();
    assert_eq!(error.expected, "at most 4 levels");
    // Dropping it would recurse; whoever decodes rules bounds their depth.
    while let Rule::Not(inner) = rule {
        rule = *inner;
    }
}

#[test]
fn long_names_are_cut_in_messages() {
    let name = "ß\n".repeat(40);
    let generous = Limits { string: 1_000, ..limits() };
    let error = Plan::compile(&has(&name), &schema(), generous).unwrap_err();
    assert!(error.found.ends_with("…`"), "{error}");
    assert!(!error.found.contains('\n'), "{error}");
}
