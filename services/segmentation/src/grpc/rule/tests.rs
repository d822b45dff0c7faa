//! What a client sends, what is stored and what the engine is given are the same rule.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Deals, Filter, Limits, Literal, Operator, Order, Position, Sequel, Window,
};

use super::*;

fn everything() -> Rule {
    let age = |attribute: &str, offset| Rule::Age {
        attribute: attribute.to_owned(),
        operator: Operator::Less,
        offset,
    };
    Rule::All(vec![
        Rule::Not(Box::new(Rule::Has { attribute: "phone".to_owned() })),
        Rule::Any(vec![
            Rule::Compare {
                attribute: "born".to_owned(),
                operator: Operator::GreaterOrEqual,
                value: Literal::Time(DateTime::from_timestamp(-5, 7_000).unwrap()),
            },
            Rule::In {
                attribute: "plan".to_owned(),
                values: vec![Literal::Text("pro".to_owned()), Literal::Number(1.5)],
            },
            age("seen", -TimeDelta::milliseconds(1_500)),
            age("due", TimeDelta::days(2)),
        ]),
        Rule::Text {
            attribute: "account.domain".to_owned(),
            position: Position::End,
            text: "acme.com".to_owned(),
        },
        Rule::Contains { attribute: "tags".to_owned(), member: "vip".to_owned() },
        Rule::Behaviour(Behaviour {
            event: "purchase".to_owned(),
            filters: filters(),
            window: Window::between(TimeDelta::days(90), TimeDelta::days(30)),
            order: Some(Order {
                sequel: Sequel::NotFollowedBy,
                event: "refund".to_owned(),
                within: TimeDelta::hours(24),
            }),
            aggregate: Aggregate::Sum("amount".to_owned()),
            operator: Operator::Greater,
            value: 200.0,
        }),
        Rule::Behaviour(Behaviour {
            event: "login".to_owned(),
            filters: Vec::new(),
            window: Window::EVER,
            order: None,
            aggregate: Aggregate::Count,
            operator: Operator::Equal,
            value: 0.0,
        }),
        Rule::Deals(Deals {
            filters: filters(),
            aggregate: Aggregate::Max("amount".to_owned()),
            operator: Operator::LessOrEqual,
            value: 1e6,
        }),
        Rule::InSegment { segment: "vip".to_owned() },
        Rule::Subscribed { topic: "newsletter".to_owned() },
        Rule::Bucket { salt: "holdout-2026".to_owned(), from: 0, to: 10 },
    ])
}

/// Comparisons before and after the others: none may change its place.
fn filters() -> Vec<Filter> {
    let gift = |flag| Filter::Compare {
        property: "gift".to_owned(),
        operator: Operator::NotEqual,
        value: Literal::Flag(flag),
    };
    vec![
        gift(true),
        gift(false),
        Filter::Has { property: "coupon".to_owned() },
        Filter::In { property: "shop".to_owned(), values: vec![Literal::Text("web".to_owned())] },
        gift(true),
        Filter::Text {
            property: "url".to_owned(),
            position: Position::Start,
            text: "https://".to_owned(),
        },
        Filter::Age {
            property: "due".to_owned(),
            operator: Operator::Less,
            offset: TimeDelta::days(14),
        },
    ]
}

#[test]
fn every_kind_of_rule_survives_storage() {
    assert_eq!(from_bytes(&to_bytes(&everything())).unwrap(), everything());
}

#[test]
fn every_example_of_the_language_survives_storage() {
    for text in [
        r#"account.industry == "software" && account.employees >= 50.0"#,
        r#"deals.exists(d, d.stage == "negotiation" && d.close_time < now + duration("14d"))"#,
        r#"events("order").avg("amount") >= 20.5 || events("order").min("amount") < 1.0"#,
        r#"events("trial").followed_by("purchase", "14d").any()"#,
        r#"events("email.clicked").where(e, e.actor == "human").within("90d").any()"#,
        r#"in_segment("vip") && subscribed("newsletter") && bucket("holdout-2026", 0, 10)"#,
    ] {
        let rule = Rule::parse(text, &Limits::default()).unwrap();
        assert_eq!(from_bytes(&to_bytes(&rule)).unwrap().to_string(), text);
    }
}

#[test]
fn comparisons_stay_where_older_clients_look_for_them() {
    let rule = r#"events("a").where(e, e.b == 1.0 && e.c != "d").any()"#;
    let rule = Rule::parse(rule, &Limits::default()).unwrap();
    let Some(proto::rule::Kind::Behaviour(behaviour)) = encode(&rule).kind else {
        panic!("it is one")
    };
    assert_eq!((behaviour.r#where.len(), behaviour.conditions.len()), (2, 0));
}

fn check(kind: proto::rule::Kind, path: &str) {
    let rule = proto::Rule { kind: Some(kind) };
    let all = proto::rule::Kind::All(proto::All { rules: vec![rule] });
    let error = decode(proto::Rule { kind: Some(all) }, "rule").unwrap_err();
    assert_eq!(error.path, path, "{error}");
}

#[test]
fn what_is_missing_is_named_by_its_path() {
    use proto::rule::Kind;
    let not = proto::Rule { kind: None };
    check(Kind::Not(Box::new(not)), "rule.all[0].not");
    check(Kind::Comparison(proto::Comparison::default()), "rule.all[0].operator");
    let comparison = proto::Comparison { operator: 1, ..Default::default() };
    check(Kind::Comparison(comparison), "rule.all[0].value");
    check(Kind::Text(proto::TextMatch::default()), "rule.all[0].position");
    let age = proto::AgeComparison { operator: 1, ..Default::default() };
    check(Kind::Age(age), "rule.all[0].offset");
    check(Kind::Behaviour(proto::Behaviour::default()), "rule.all[0].aggregate");
    let filter = proto::PropertyComparison { operator: 99, ..Default::default() };
    let behaviour = proto::Behaviour { aggregate: 1, r#where: vec![filter], ..Default::default() };
    check(Kind::Behaviour(behaviour), "rule.all[0].where[0].operator");
    let condition = proto::PropertyCondition::default();
    let behaviour =
        proto::Behaviour { aggregate: 1, conditions: vec![condition], ..Default::default() };
    check(Kind::Behaviour(behaviour), "rule.all[0].conditions[0]");
    let order = proto::Order::default();
    let behaviour = proto::Behaviour { aggregate: 1, order: Some(order), ..Default::default() };
    check(Kind::Behaviour(behaviour), "rule.all[0].order.sequel");
    check(Kind::Deals(proto::Deals::default()), "rule.all[0].aggregate");
    let bucket = |from, to| Kind::Bucket(proto::Bucket { salt: String::new(), from, to });
    check(bucket(-1, 10), "rule.all[0].from");
    check(bucket(0, 1_000), "rule.all[0].to");
}

#[test]
fn times_and_durations_beyond_all_bounds_are_no_times_and_no_durations() {
    let time = |seconds, nanos| moment(prost_types::Timestamp { seconds, nanos });
    assert!(time(0, 999_999_999).is_some());
    assert!(time(i64::MAX, 0).is_none() && time(0, -1).is_none());
    assert!(length(prost_types::Duration { seconds: i64::MAX, nanos: 0 }).is_none());
}
