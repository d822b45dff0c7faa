//! What contacts did and what deals they have, in the contract and in the engine.

use cursus_api::segmentation as proto;
use cursus_audience::{Aggregate, Behaviour, Deals, Filter, Order, RuleError, Sequel, Window};

use super::values::{
    decode_literal, decode_literals, duration, encode_duration, encode_literal, encode_operator,
    encode_position, offset, operator, position, unset,
};

pub(super) fn decode_behaviour(
    behaviour: proto::Behaviour,
    path: &str,
) -> Result<Behaviour, RuleError> {
    let aggregate = aggregate(behaviour.aggregate(), behaviour.property.clone(), path)?;
    let comparison = |(index, told): (usize, proto::PropertyComparison)| {
        let path = format!("{path}.where[{index}]");
        Ok(Filter::Compare {
            property: told.property,
            operator: operator(told.operator, &path)?,
            value: decode_literal(told.value, &format!("{path}.value"))?,
        })
    };
    let comparisons = behaviour.r#where.into_iter().enumerate().map(comparison);
    let mut filters = comparisons.collect::<Result<Vec<_>, _>>()?;
    filters.extend(decode_conditions(behaviour.conditions, path)?);
    Ok(Behaviour {
        event: behaviour.event,
        filters,
        window: Window {
            from: duration(behaviour.from, &format!("{path}.from"))?,
            to: duration(behaviour.to, &format!("{path}.to"))?.unwrap_or_default(),
        },
        order: behaviour.order.map(|order| decode_order(order, path)).transpose()?,
        aggregate,
        operator: operator(behaviour.operator, path)?,
        value: behaviour.value,
    })
}

pub(super) fn encode_behaviour(behaviour: &Behaviour) -> proto::Behaviour {
    let (aggregate, property) = encode_aggregate(&behaviour.aggregate);
    // Comparisons stay where clients built before there were other conditions look for them. Those after the first
    // other one cannot, or the order would be lost.
    let comparison = |filter: &Filter| match filter {
        Filter::Compare { property, operator, value } => Some(proto::PropertyComparison {
            property: property.clone(),
            operator: encode_operator(*operator).into(),
            value: Some(encode_literal(value)),
        }),
        _ => None,
    };
    let comparisons: Vec<_> = behaviour.filters.iter().map_while(comparison).collect();
    let conditions = behaviour.filters.iter().skip(comparisons.len()).map(encode_condition);
    proto::Behaviour {
        event: behaviour.event.clone(),
        conditions: conditions.collect(),
        r#where: comparisons,
        from: behaviour.window.from.map(encode_duration),
        to: Some(behaviour.window.to).filter(|to| !to.is_zero()).map(encode_duration),
        order: behaviour.order.as_ref().map(encode_order),
        aggregate: aggregate.into(),
        property,
        operator: encode_operator(behaviour.operator).into(),
        value: behaviour.value,
    }
}

pub(super) fn decode_deals(deals: proto::Deals, path: &str) -> Result<Deals, RuleError> {
    Ok(Deals {
        aggregate: aggregate(deals.aggregate(), deals.property, path)?,
        filters: decode_conditions(deals.conditions, path)?,
        operator: operator(deals.operator, path)?,
        value: deals.value,
    })
}

pub(super) fn encode_deals(deals: &Deals) -> proto::Deals {
    let (aggregate, property) = encode_aggregate(&deals.aggregate);
    proto::Deals {
        conditions: deals.filters.iter().map(encode_condition).collect(),
        aggregate: aggregate.into(),
        property,
        operator: encode_operator(deals.operator).into(),
        value: deals.value,
    }
}

fn decode_conditions(
    conditions: Vec<proto::PropertyCondition>,
    path: &str,
) -> Result<Vec<Filter>, RuleError> {
    let decode = |(index, told)| decode_condition(told, &format!("{path}.conditions[{index}]"));
    conditions.into_iter().enumerate().map(decode).collect()
}

fn decode_condition(told: proto::PropertyCondition, path: &str) -> Result<Filter, RuleError> {
    use proto::property_condition::Kind;
    let property = told.property;
    Ok(match told.kind {
        None => return Err(unset(path, "a condition")),
        Some(Kind::Comparison(comparison)) => Filter::Compare {
            property,
            operator: operator(comparison.operator, path)?,
            value: decode_literal(comparison.value, &format!("{path}.value"))?,
        },
        Some(Kind::Membership(list)) => {
            Filter::In { property, values: decode_literals(list.values, path)? }
        }
        Some(Kind::Text(part)) => {
            Filter::Text { property, position: position(part.position, path)?, text: part.text }
        }
        Some(Kind::Has(())) => Filter::Has { property },
        Some(Kind::Age(age)) => Filter::Age {
            property,
            operator: operator(age.operator, path)?,
            offset: offset(age.offset, path)?,
        },
    })
}

fn encode_condition(filter: &Filter) -> proto::PropertyCondition {
    use proto::property_condition::Kind;
    let (property, kind) = match filter {
        Filter::Has { property } => (property, Kind::Has(())),
        Filter::Compare { property, operator, value } => {
            let operator = encode_operator(*operator).into();
            let value = Some(encode_literal(value));
            (property, Kind::Comparison(proto::ValueComparison { operator, value }))
        }
        Filter::In { property, values } => {
            let values = values.iter().map(encode_literal).collect();
            (property, Kind::Membership(proto::ValueList { values }))
        }
        Filter::Text { property, position, text } => {
            let position = encode_position(*position).into();
            (property, Kind::Text(proto::TextPart { position, text: text.clone() }))
        }
        Filter::Age { property, operator, offset } => {
            let operator = encode_operator(*operator).into();
            let offset = Some(encode_duration(*offset));
            (property, Kind::Age(proto::MomentComparison { operator, offset }))
        }
    };
    proto::PropertyCondition { property: property.clone(), kind: Some(kind) }
}

fn decode_order(order: proto::Order, path: &str) -> Result<Order, RuleError> {
    use proto::order::Sequel as Told;
    let sequel = match order.sequel() {
        Told::FollowedBy => Sequel::FollowedBy,
        Told::NotFollowedBy => Sequel::NotFollowedBy,
        Told::Unspecified => return Err(unset(&format!("{path}.order.sequel"), "a sequel")),
    };
    let path = format!("{path}.order.within");
    let within = duration(order.within, &path)?.ok_or_else(|| unset(&path, "a duration"))?;
    Ok(Order { sequel, event: order.event, within })
}

fn encode_order(order: &Order) -> proto::Order {
    use proto::order::Sequel as Told;
    let sequel = match order.sequel {
        Sequel::FollowedBy => Told::FollowedBy,
        Sequel::NotFollowedBy => Told::NotFollowedBy,
    };
    proto::Order {
        sequel: sequel.into(),
        event: order.event.clone(),
        within: Some(encode_duration(order.within)),
    }
}

fn aggregate(
    told: proto::behaviour::Aggregate,
    property: String,
    path: &str,
) -> Result<Aggregate, RuleError> {
    use proto::behaviour::Aggregate as Told;
    Ok(match told {
        Told::Count => Aggregate::Count,
        Told::Sum => Aggregate::Sum(property),
        Told::Min => Aggregate::Min(property),
        Told::Max => Aggregate::Max(property),
        Told::Average => Aggregate::Average(property),
        Told::Unspecified => return Err(unset(&format!("{path}.aggregate"), "an aggregate")),
    })
}

fn encode_aggregate(aggregate: &Aggregate) -> (proto::behaviour::Aggregate, String) {
    use proto::behaviour::Aggregate as Told;
    match aggregate {
        Aggregate::Count => (Told::Count, String::new()),
        Aggregate::Sum(property) => (Told::Sum, property.clone()),
        Aggregate::Min(property) => (Told::Min, property.clone()),
        Aggregate::Max(property) => (Told::Max, property.clone()),
        Aggregate::Average(property) => (Told::Average, property.clone()),
    }
}
