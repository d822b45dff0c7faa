//! Any rule reads back from its text as it was, and any text is read or refused.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Deals, Filter, Limits, Literal, Operator, Order, Position, Rule,
    RuleText, Sequel, Window,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::data::worlds;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_rule_reads_back_from_its_text(rule in any_rules()) {
        let text = rule.to_string();
        let read = Rule::parse(&text, &generous());
        prop_assert_eq!(read, Ok(normalised(rule)), "{}", text);
    }

    #[test]
    fn a_rule_that_makes_sense_reads_back_and_still_does(world in worlds()) {
        let text = world.rule.to_string();
        let read = RuleText::parse(&text, &Limits::default()).unwrap();
        prop_assert!(read.compile(&world.schema(), Limits::default()).is_ok(), "{}", text);
        prop_assert_eq!(read.into_rule(), normalised(world.rule), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        refused_in_its_place(&text);
    }

    #[test]
    fn any_words_of_the_language_are_read_or_refused(words in vec(select(&WORDS[..]), 0..30)) {
        refused_in_its_place(&words.concat());
    }

    #[test]
    fn a_text_with_a_fault_is_read_or_refused(
        rule in any_rules(),
        at: prop::sample::Index,
        wrong in ".{0,3}",
        taken in 0_usize..8,
    ) {
        let mut letters: Vec<char> = rule.to_string().chars().collect();
        let at = at.index(letters.len());
        letters.splice(at..(at + taken).min(letters.len()), wrong.chars());
        refused_in_its_place(&letters.into_iter().collect::<String>());
    }
}

const WORDS: [&str; 60] = [
    "&&",
    "||",
    "!",
    "(",
    ")",
    "[",
    "]",
    ".",
    ",",
    "==",
    "<",
    "+",
    "-",
    " ",
    "\n",
    "//",
    "\"",
    "'",
    "\\",
    "1",
    "0.5",
    "1e9",
    "\"a\"",
    "'1d'",
    "\"2026-01-01T00:00:00Z\"",
    "in",
    "true",
    "false",
    "now",
    "duration(",
    "timestamp(",
    "contact.",
    "account.",
    "contact.a",
    "account.b",
    "has(",
    "in_segment(",
    "subscribed(",
    "bucket(",
    "events(",
    "events('a')",
    ".where(",
    "e",
    "e.",
    "e.a",
    ".within('1d')",
    ".between(",
    ".before(",
    ".followed_by('a', '1d')",
    ".not_followed_by(",
    ".any()",
    ".count()",
    ".sum('a')",
    ".min(",
    ".avg(",
    "deals",
    "deals.exists(d, ",
    "d.a",
    ".contains('a')",
    "has(e.a)",
];

fn refused_in_its_place(text: &str) {
    if let Err(error) = Rule::parse(text, &Limits::default()) {
        let place = error.place;
        assert!(text.get(place.start..place.end).is_some(), "{text}: {error}");
        assert!(place.line >= 1 && place.column >= 1);
        assert!(!error.to_string().is_empty());
    }
}

fn generous() -> Limits {
    Limits { nodes: 10_000, depth: 100, string: 10_000, ..Limits::default() }
}

/// A conjunction or disjunction of one reads as that one.
fn normalised(rule: Rule) -> Rule {
    match rule {
        Rule::All(mut rules) | Rule::Any(mut rules) if rules.len() == 1 => {
            normalised(rules.remove(0))
        }
        Rule::All(rules) => Rule::All(rules.into_iter().map(normalised).collect()),
        Rule::Any(rules) => Rule::Any(rules.into_iter().map(normalised).collect()),
        Rule::Not(rule) => Rule::Not(Box::new(normalised(*rule))),
        leaf => leaf,
    }
}

/// Whether or not they make sense, with any name and any string.
fn any_rules() -> impl Strategy<Value = Rule> {
    let of_attribute =
        (any_attributes(), any_filters()).prop_map(|(attribute, filter)| match filter {
            Filter::Has { .. } => Rule::Has { attribute },
            Filter::Compare { operator, value, .. } => Rule::Compare { attribute, operator, value },
            Filter::In { values, .. } => Rule::In { attribute, values },
            Filter::Text { position, text, .. } => Rule::Text { attribute, position, text },
            Filter::Age { operator, offset, .. } => Rule::Age { attribute, operator, offset },
        });
    let contains = (any_attributes(), any_texts())
        .prop_map(|(attribute, member)| Rule::Contains { attribute, member });
    let leaf = prop_oneof![
        3 => of_attribute,
        1 => contains,
        2 => any_behaviours().prop_map(Rule::Behaviour),
        1 => any_deals().prop_map(Rule::Deals),
        1 => any_texts().prop_map(|segment| Rule::InSegment { segment }),
        1 => any_texts().prop_map(|topic| Rule::Subscribed { topic }),
        1 => (any_texts(), 0..=100_u8, 0..=100_u8)
            .prop_map(|(salt, from, to)| Rule::Bucket { salt, from, to }),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Rule::All),
            vec(inner.clone(), 0..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

fn any_texts() -> impl Strategy<Value = String> {
    let names =
        select(&["plan", "in", "true", "contact", "e", "a b", "account.plan", "account."][..]);
    prop_oneof![
        2 => names.prop_map(str::to_owned),
        1 => ".{0,10}",
        1 => vec(any::<char>(), 0..5).prop_map(String::from_iter),
    ]
}

fn any_attributes() -> impl Strategy<Value = String> {
    prop_oneof![any_texts(), any_texts().prop_map(|name| format!("account.{name}"))]
}

fn any_numbers() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE,
        (-1_000_i32..1_000).prop_map(f64::from),
    ]
}

fn any_literals() -> impl Strategy<Value = Literal> {
    // The years 1 to 9999.
    let times = (-62_135_596_800_000_000_i64..253_402_300_800_000_000).prop_map(|micros| {
        Literal::Time(DateTime::from_timestamp_micros(micros).expect("it is in those years"))
    });
    prop_oneof![
        any_texts().prop_map(Literal::Text),
        any_numbers().prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Flag),
        times,
    ]
}

fn any_operators() -> impl Strategy<Value = Operator> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    select(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual][..])
}

fn any_lengths() -> impl Strategy<Value = TimeDelta> {
    prop_oneof![0_i64..100_000, 0..10_000_000_000_i64].prop_map(TimeDelta::seconds)
}

fn any_filters() -> impl Strategy<Value = Filter> {
    let positions = select(&[Position::Anywhere, Position::Start, Position::End][..]);
    let offsets = (any_lengths(), any::<bool>());
    prop_oneof![
        any_texts().prop_map(|property| Filter::Has { property }),
        (any_texts(), any_operators(), any_literals())
            .prop_map(|(property, operator, value)| Filter::Compare { property, operator, value }),
        (any_texts(), vec(any_literals(), 0..4))
            .prop_map(|(property, values)| Filter::In { property, values }),
        (any_texts(), positions, any_texts()).prop_map(|(property, position, text)| Filter::Text {
            property,
            position,
            text
        }),
        (any_texts(), any_operators(), offsets).prop_map(|(property, operator, (length, back))| {
            Filter::Age { property, operator, offset: if back { -length } else { length } }
        }),
    ]
}

fn any_aggregates() -> impl Strategy<Value = Aggregate> {
    let of = [Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Average];
    prop_oneof![
        Just(Aggregate::Count),
        (0..of.len(), any_texts()).prop_map(move |(index, property)| of[index](property)),
    ]
}

fn any_behaviours() -> impl Strategy<Value = Behaviour> {
    let windows = (option::of(any_lengths()), any_lengths(), any::<bool>()).prop_map(
        |(from, to, until_now)| Window { from, to: if until_now { TimeDelta::zero() } else { to } },
    );
    let sequels = select(&[Sequel::FollowedBy, Sequel::NotFollowedBy][..]);
    let orders = (sequels, any_texts(), any_lengths()).prop_map(|(sequel, event, within)| Order {
        sequel,
        event,
        within,
    });
    let numbers = (any_aggregates(), any_operators(), any_numbers());
    (any_texts(), vec(any_filters(), 0..4), windows, option::of(orders), numbers).prop_map(
        |(event, filters, window, order, (aggregate, operator, value))| Behaviour {
            event,
            filters,
            window,
            order,
            aggregate,
            operator,
            value,
        },
    )
}

fn any_deals() -> impl Strategy<Value = Deals> {
    (vec(any_filters(), 0..4), any_aggregates(), any_operators(), any_numbers()).prop_map(
        |(filters, aggregate, operator, value)| Deals { filters, aggregate, operator, value },
    )
}
