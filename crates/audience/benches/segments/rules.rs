//! The benchmark segments, each as a rule and once more as a plain question about one contact.

use chrono::TimeDelta;
use cursus_audience::{Aggregate, Behaviour, Filter, Literal, Operator, Rule, Window};

use crate::audience::Person;

pub(crate) struct Segment {
    pub(crate) name: &'static str,
    pub(crate) rule: fn() -> Rule,
    pub(crate) belongs: fn(Person<'_>) -> bool,
    /// What the faster of DuckDB and ClickHouse takes at a million contacts, on two idle cores.
    pub(crate) peer_millis: f64,
}

pub(crate) const SEGMENTS: [Segment; 8] = [
    Segment {
        name: "S1 attribute",
        rule: || Rule::All(vec![is("country", &["DE", "FR", "NL"]), is("plan", &["pro"])]),
        belongs: |person| person.is("country", &["DE", "FR", "NL"]) && person.is("plan", &["pro"]),
        peer_millis: 4.3,
    },
    Segment {
        name: "S2 firmographic",
        rule: || {
            Rule::All(vec![
                is("industry", &["software"]),
                employees(Operator::GreaterOrEqual, 50.0),
                employees(Operator::Less, 500.0),
                is("lifecycle_stage", &["customer"]),
            ])
        },
        belongs: |person| {
            person.is("industry", &["software"])
                && (50..500).contains(&person.employees())
                && person.is("lifecycle_stage", &["customer"])
        },
        peer_millis: 7.1,
    },
    Segment {
        name: "S3 engaged",
        rule: || count("email_opened", within(30), 3.0),
        belongs: |person| person.events("email_opened", (30.0, 0.0)).count() >= 3,
        peer_millis: 21.0,
    },
    Segment {
        name: "S4 churn risk",
        rule: || {
            let earlier = Window::between(TimeDelta::days(90), TimeDelta::days(30));
            Rule::All(vec![
                is("lifecycle_stage", &["customer"]),
                count("login", earlier, 5.0),
                not(count("login", within(30), 1.0)),
            ])
        },
        belongs: |person| {
            person.is("lifecycle_stage", &["customer"])
                && person.events("login", (90.0, 30.0)).count() >= 5
                && person.events("login", (30.0, 0.0)).count() == 0
        },
        peer_millis: 58.0,
    },
    Segment {
        name: "S5 big spender",
        rule: || {
            let spent = Rule::Behaviour(Behaviour {
                event: "purchase".to_owned(),
                filters: Vec::new(),
                window: within(90),
                aggregate: Aggregate::Sum("amount".to_owned()),
                operator: Operator::GreaterOrEqual,
                value: 200.0,
            });
            Rule::All(vec![spent, not(count("email_clicked", within(60), 1.0))])
        },
        belongs: |person| {
            let purchases = person.events("purchase", (90.0, 0.0));
            purchases.map(|(amount, _)| amount).sum::<f64>() >= 200.0
                && person.events("email_clicked", (60.0, 0.0)).count() == 0
        },
        peer_millis: 47.0,
    },
    Segment {
        name: "S6 nested",
        rule: || {
            let trial = count("trial_started", within(14), 1.0);
            let reports = vec![filter(Operator::Equal, "reports")];
            let reports = filtered("feature_used", reports, within(365), 1.0);
            let views = count("page_viewed", within(7), 10.0);
            Rule::Any(vec![
                Rule::All(vec![trial, not(reports)]),
                Rule::All(vec![is("plan", &["pro"]), views]),
            ])
        },
        belongs: |person| {
            let mut features = person.events("feature_used", (365.0, 0.0));
            (person.events("trial_started", (14.0, 0.0)).count() > 0
                && !features.any(|(_, feature)| feature == "reports"))
                || (person.is("plan", &["pro"])
                    && person.events("page_viewed", (7.0, 0.0)).count() >= 10)
        },
        peer_millis: 75.0,
    },
    Segment {
        name: "S7 unengaged",
        rule: || {
            Rule::All(vec![
                not(count("email_opened", within(180), 1.0)),
                not(count("email_clicked", within(180), 1.0)),
                Rule::Age {
                    attribute: "signed_up_at".to_owned(),
                    operator: Operator::Less,
                    offset: TimeDelta::days(-180),
                },
            ])
        },
        belongs: |person| {
            person.events("email_opened", (180.0, 0.0)).count() == 0
                && person.events("email_clicked", (180.0, 0.0)).count() == 0
                && person.signed_up_days_ago() > 180.0
        },
        peer_millis: 82.0,
    },
    Segment {
        name: "S8 adopters",
        rule: || {
            // No other feature of the benchmark is between these two in the order of the alphabet.
            let features = vec![
                filter(Operator::GreaterOrEqual, "api"),
                filter(Operator::LessOrEqual, "automation"),
            ];
            Rule::All(vec![
                is("lifecycle_stage", &["customer", "opportunity"]),
                filtered("feature_used", features, within(30), 2.0),
            ])
        },
        belongs: |person| {
            let features = person.events("feature_used", (30.0, 0.0));
            person.is("lifecycle_stage", &["customer", "opportunity"])
                && features.filter(|(_, it)| ["api", "automation"].contains(it)).count() >= 2
        },
        peer_millis: 28.0,
    },
];

fn is(attribute: &str, values: &[&str]) -> Rule {
    let values = values.iter().map(|text| Literal::Text((*text).to_owned())).collect();
    Rule::In { attribute: attribute.to_owned(), values }
}

fn employees(operator: Operator, value: f64) -> Rule {
    Rule::Compare { attribute: "employees".to_owned(), operator, value: Literal::Number(value) }
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

fn within(days: i64) -> Window {
    Window::within(TimeDelta::days(days))
}

fn count(event: &str, window: Window, least: f64) -> Rule {
    filtered(event, Vec::new(), window, least)
}

fn filter(operator: Operator, text: &str) -> Filter {
    Filter { property: "feature".to_owned(), operator, value: Literal::Text(text.to_owned()) }
}

fn filtered(event: &str, filters: Vec<Filter>, window: Window, least: f64) -> Rule {
    Rule::Behaviour(Behaviour {
        event: event.to_owned(),
        filters,
        window,
        aggregate: Aggregate::Count,
        operator: Operator::GreaterOrEqual,
        value: least,
    })
}
