//! Random rules that make sense.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Deals, Filter, Kind, Literal, Operator, Order, Position, Rule, Sequel,
    Window,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::data::{DEAL_PROPERTIES, EVENTS, PROPERTIES, numbers, texts, times};

fn operators() -> impl Strategy<Value = Operator> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    select(&[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual][..])
}

fn equality() -> impl Strategy<Value = Operator> {
    select(&[Operator::Equal, Operator::NotEqual][..])
}

/// Rules of a workspace with these attributes, which may refer to these segments.
pub(crate) fn rules(
    attributes: &BTreeMap<String, Kind>,
    segments: &[&'static str],
) -> impl Strategy<Value = Rule> + use<> {
    let attributes: Vec<_> =
        attributes.iter().map(|(name, kind)| attribute_rules(name, *kind)).collect();
    let attribute = proptest::strategy::Union::new(attributes);
    let subscribed = texts().prop_map(|topic| Rule::Subscribed { topic });
    let mut leaf = prop_oneof![
        4 => attribute,
        6 => behaviours(),
        3 => deals(),
        1 => subscribed,
        1 => buckets(),
    ]
    .boxed();
    if !segments.is_empty() {
        let reference = select(segments.to_vec())
            .prop_map(|segment| Rule::InSegment { segment: segment.to_owned() });
        leaf = prop_oneof![8 => leaf, 1 => reference].boxed();
    }
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Rule::All),
            vec(inner.clone(), 0..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

fn buckets() -> impl Strategy<Value = Rule> {
    (texts(), 0..100_u8, 1..=100_u8).prop_map(|(salt, from, length)| {
        let to = from.saturating_add(length).min(100);
        Rule::Bucket { salt, from, to }
    })
}

fn attribute_rules(attribute: &str, kind: Kind) -> BoxedStrategy<Rule> {
    let has = Just(Rule::Has { attribute: attribute.to_owned() });
    let specific = match kind {
        Kind::Text => prop_oneof![
            compare(attribute, operators(), texts().prop_map(Literal::Text)),
            list(attribute, texts().prop_map(Literal::Text)),
            text_match(attribute),
        ]
        .boxed(),
        Kind::Number => prop_oneof![
            compare(attribute, operators(), numbers().prop_map(Literal::Number)),
            list(attribute, numbers().prop_map(Literal::Number)),
        ]
        .boxed(),
        Kind::Flag => compare(attribute, equality(), any::<bool>().prop_map(Literal::Flag)).boxed(),
        Kind::Time => {
            prop_oneof![compare(attribute, operators(), times().prop_map(time)), age(attribute)]
                .boxed()
        }
        Kind::TextSet => {
            let attribute = attribute.to_owned();
            texts()
                .prop_map(move |member| Rule::Contains { attribute: attribute.clone(), member })
                .boxed()
        }
    };
    prop_oneof![1 => has, 4 => specific].boxed()
}

fn time(micros: i64) -> Literal {
    Literal::Time(DateTime::from_timestamp_micros(micros).expect("it is near 1970"))
}

fn compare(
    attribute: &str,
    operators: impl Strategy<Value = Operator> + 'static,
    literals: impl Strategy<Value = Literal> + 'static,
) -> BoxedStrategy<Rule> {
    let attribute = attribute.to_owned();
    (operators, literals)
        .prop_map(move |(operator, value)| Rule::Compare {
            attribute: attribute.clone(),
            operator,
            value,
        })
        .boxed()
}

fn list(
    attribute: &str,
    literals: impl Strategy<Value = Literal> + 'static,
) -> BoxedStrategy<Rule> {
    let attribute = attribute.to_owned();
    vec(literals, 1..4)
        .prop_map(move |values| Rule::In { attribute: attribute.clone(), values })
        .boxed()
}

fn text_match(attribute: &str) -> impl Strategy<Value = Rule> + use<> {
    let attribute = attribute.to_owned();
    let positions = select(&[Position::Anywhere, Position::Start, Position::End][..]);
    (positions, texts()).prop_map(move |(position, text)| Rule::Text {
        attribute: attribute.clone(),
        position,
        text,
    })
}

fn age(attribute: &str) -> impl Strategy<Value = Rule> + use<> {
    let attribute = attribute.to_owned();
    (operators(), -10_i64..=10).prop_map(move |(operator, seconds)| Rule::Age {
        attribute: attribute.clone(),
        operator,
        offset: TimeDelta::seconds(seconds),
    })
}

fn behaviours() -> impl Strategy<Value = Rule> {
    let filters = vec(filters(), 0..3);
    (select(&EVENTS[..]), filters, windows_and_orders(), aggregates("amount"), operators())
        .prop_map(|(event, filters, (window, order), (aggregate, value), operator)| {
            let event = event.to_owned();
            Rule::Behaviour(Behaviour { event, filters, window, order, aggregate, operator, value })
        })
}

fn deals() -> impl Strategy<Value = Rule> {
    let filters = vec(deal_filters(), 0..3);
    (filters, aggregates("amount"), operators()).prop_map(
        |(filters, (aggregate, value), operator)| {
            Rule::Deals(Deals { filters, aggregate, operator, value })
        },
    )
}

fn aggregates(property: &'static str) -> impl Strategy<Value = (Aggregate, f64)> {
    let counts = (0_u8..5).prop_map(|count| (Aggregate::Count, f64::from(count)));
    let of = [Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Average];
    let of = (0..of.len()).prop_map(move |index| of[index](property.to_owned()));
    prop_oneof![1 => counts, 1 => (of, numbers())]
}

/// Of events: any property may be asked anything.
fn filters() -> impl Strategy<Value = Filter> {
    let kinds = select(&[Kind::Text, Kind::Number, Kind::Flag, Kind::Time, Kind::TextSet][..]);
    (select(&PROPERTIES[..]), kinds).prop_flat_map(|(name, kind)| filters_of(name, kind))
}

fn deal_filters() -> impl Strategy<Value = Filter> {
    select(&DEAL_PROPERTIES[..]).prop_flat_map(|(name, kind)| filters_of(name, kind))
}

fn filters_of(property: &str, kind: Kind) -> BoxedStrategy<Filter> {
    attribute_rules(property, kind)
        .prop_map(|rule| match rule {
            Rule::Compare { attribute, operator, value } => {
                Filter::Compare { property: attribute, operator, value }
            }
            Rule::In { attribute, values } => Filter::In { property: attribute, values },
            Rule::Text { attribute, position, text } => {
                Filter::Text { property: attribute, position, text }
            }
            Rule::Age { attribute, operator, offset } => {
                Filter::Age { property: attribute, operator, offset }
            }
            // Nothing else is asked of a set of strings.
            Rule::Has { attribute } | Rule::Contains { attribute, .. } => {
                Filter::Has { property: attribute }
            }
            other => panic!("{other} asks nothing of an attribute"),
        })
        .boxed()
}

/// What must not follow an event has to be over before the event leaves the window.
fn windows_and_orders() -> impl Strategy<Value = (Window, Option<Order>)> {
    let sequels = select(&[Sequel::FollowedBy, Sequel::NotFollowedBy][..]);
    let orders = option::weighted(0.4, (sequels, select(&EVENTS[..]), 1_i64..8));
    (windows(), orders).prop_map(|(window, order)| {
        let order = order.map(|(sequel, event, seconds)| Order {
            sequel,
            event: event.to_owned(),
            within: TimeDelta::seconds(seconds),
        });
        let fits = |order: &Order| {
            order.sequel == Sequel::FollowedBy || window.from.is_none_or(|from| order.within < from)
        };
        (window, order.filter(fits))
    })
}

fn windows() -> impl Strategy<Value = Window> {
    (1_i64..12, 0_i64..8, 0..4).prop_map(|(length, to, shape)| {
        let to = TimeDelta::seconds(to);
        let length = TimeDelta::seconds(length);
        match shape {
            0 => Window::EVER,
            1 => Window { from: None, to },
            2 => Window::within(length),
            _ => Window::between(to + length, to),
        }
    })
}
