//! People made by a seeded generator: a software company's trial users and customers.
//!
//! Each person draws their luck once. What they do after a message compares that luck with the
//! chance the message has with somebody like them, so the better subject line is better for a
//! reason that the report can find.

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::content::Source;
use cursus_api::experiment::{Design, InconclusivePolicy};
use cursus_api::segmentation::{
    AttributeKind, Behaviour, Contact, Event, Operator, Rule, behaviour, rule::Kind,
};
use prost_types::{Duration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Person, Reaction, Segment, Variant, World, design, rule};

const DAY: i64 = 24 * 3600;
const FIRST_NAMES: [&str; 12] = [
    "Ada", "Björn", "Chidi", "Daria", "Émile", "Fatima", "Grace", "Hiro", "Inés", "Jürgen",
    "Kwame", "Lì",
];
const COUNTRIES: [&str; 6] = ["DE", "FR", "GB", "JP", "NG", "US"];

pub(super) fn world(seed: u64, count: usize) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let now = now();
    let mut history = Vec::new();
    let people: Vec<_> =
        (0..count).map(|index| person(index, now, &mut rng, &mut history)).collect();
    let variants = vec![
        variant(
            "question",
            "Subject as a question",
            "{{ contact.first_name | default(\"Hello\") }}, ready for the new editor?",
            "You asked for it.",
        ),
        variant(
            "benefit",
            "Subject with a benefit",
            "The new editor saves you an hour a week",
            "An hour back, every week.",
        ),
    ];
    let every = |step: usize, offset: usize| {
        people.iter().skip(offset).step_by(step).map(|person| person.email.clone()).collect()
    };
    World {
        title: format!("a synthetic audience of {count} contacts, seed {seed}"),
        attributes: vec![
            ("first_name", AttributeKind::Text),
            ("country", AttributeKind::Text),
            ("plan", AttributeKind::Text),
            ("seats", AttributeKind::Number),
        ],
        history,
        segments: segments(),
        design: Design {
            arms: design::arms(&variants),
            holdout_share: 0.1,
            test_share: 0.5,
            metrics: design::metrics(),
            decision_window: Some(Duration { seconds: 20, nanos: 0 }),
            response_median: Some(Duration { seconds: 3, nanos: 0 }),
            response_log_sd: 1.0,
            inconclusive_policy: InconclusivePolicy::Hold.into(),
            ..Design::default()
        },
        variants,
        assigned: false,
        bad_rows: bad_rows(),
        unknown_addresses: every(997, 13),
        unsubscribed: every(499, 7),
        people,
    }
}

fn person(index: usize, now: DateTime<Utc>, rng: &mut StdRng, history: &mut Vec<Event>) -> Person {
    let id = format!("person-{:06}", index + 1);
    let trial = rng.random_bool(0.3);
    let logins = rng.random_range(0..6_i64);
    // Nobody's last login is near the edge of the window, so membership does not hang on the
    // moment at which the demo runs.
    let active = logins > 0 && rng.random_bool(0.6);
    for login in 0..logins {
        let days = if active && login == 0 { 2 } else { rng.random_range(40..90) };
        history.push(Event {
            event_id: format!("{id}-login-{login}"),
            contact: id.clone(),
            event_name: "login".to_owned(),
            event_time: Some(timestamp(now - TimeDelta::seconds(days * DAY))),
            properties: [].into(),
        });
    }
    let mut attributes = vec![
        ("country", rule::text(COUNTRIES[rng.random_range(0..COUNTRIES.len())])),
        ("plan", rule::text(if trial { "trial" } else { "pro" })),
        ("seats", rule::number(f64::from(rng.random_range(1..200_u32)))),
    ];
    // One in eight has no first name, so that the default in the subject is needed.
    if rng.random_bool(0.875) {
        let name = FIRST_NAMES[rng.random_range(0..FIRST_NAMES.len())];
        attributes.push(("first_name", rule::text(name)));
    }
    Person {
        email: format!("{id}@people.example"),
        id,
        attributes,
        in_segment: vec![true, trial, active, !active],
        assigned_arm: None,
        reactions: reactions(trial, active, rng),
    }
}

/// The chance to visit is the message's times the person's; a visitor may buy.
fn reactions(trial: bool, active: bool, rng: &mut StdRng) -> Vec<Reaction> {
    let (open_luck, visit_luck, buy_luck) =
        (rng.random::<f64>(), rng.random::<f64>(), rng.random::<f64>());
    let spend_cents = rng.random_range(900..19_900_i64);
    let person = if active { 1.4 } else { 0.8 } * if trial { 1.2 } else { 1.0 };
    // A question, a benefit, nothing at all.
    [0.05, 0.09, 0.02]
        .into_iter()
        .map(|message| {
            let visits = visit_luck < message * person;
            let buys = visits && buy_luck < 0.2;
            Reaction {
                opens: visits || open_luck < 0.25,
                visits,
                spend_cents: if buys { spend_cents } else { 0 },
            }
        })
        .collect()
}

fn segments() -> Vec<Segment> {
    let logged_in = |operator: Operator, value: f64| Rule {
        kind: Some(Kind::Behaviour(Behaviour {
            event: "login".to_owned(),
            from: Some(Duration { seconds: 30 * DAY, nanos: 0 }),
            aggregate: behaviour::Aggregate::Count.into(),
            operator: operator.into(),
            value,
            ..Behaviour::default()
        })),
    };
    vec![
        Segment { id: "everyone", display_name: "Everyone", rule: rule::everyone() },
        Segment {
            id: "trial",
            display_name: "On trial",
            rule: rule::compare("plan", Operator::Equal, rule::text("trial")),
        },
        Segment {
            id: "active",
            display_name: "Active",
            rule: logged_in(Operator::GreaterOrEqual, 1.0),
        },
        Segment { id: "silent", display_name: "Silent", rule: logged_in(Operator::Equal, 0.0) },
    ]
}

fn bad_rows() -> Vec<(Contact, &'static str)> {
    let contact = |id: &str, attribute: &str, value| Contact {
        name: id.to_owned(),
        email: "row@people.example".to_owned(),
        attributes: [(attribute.to_owned(), value)].into(),
        ..Contact::default()
    };
    vec![
        (contact("bad row", "plan", rule::text("pro")), "INVALID_FIELD"),
        (contact("bad-1", "plann", rule::text("pro")), "UNKNOWN_ATTRIBUTE"),
        (contact("bad-2", "seats", rule::text("many")), "WRONG_KIND"),
    ]
}

fn variant(
    arm: &'static str,
    display_name: &'static str,
    subject: &str,
    mark: &'static str,
) -> Variant {
    Variant {
        arm,
        display_name,
        mark,
        source: Source {
            subject: subject.to_owned(),
            preheader: "Five things that are quicker now".to_owned(),
            mjml: include_str!("synthetic.mjml").replace("MARK", mark),
            text: String::new(),
        },
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: 0 }
}

#[expect(clippy::disallowed_methods, reason = "the demo lives in real time, as its services do")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_people() {
        let (one, other) = (world(7, 200), world(7, 200));
        for (a, b) in one.people.iter().zip(&other.people) {
            assert_eq!((&a.attributes, &a.in_segment), (&b.attributes, &b.in_segment));
        }
    }

    #[test]
    fn the_benefit_is_never_worse_than_the_question_for_the_same_person() {
        for person in world(1, 2_000).people {
            let [question, benefit, alone] = person.reactions[..] else {
                panic!("three reactions")
            };
            assert!(question.visits <= benefit.visits && alone.visits <= question.visits);
        }
    }
}
