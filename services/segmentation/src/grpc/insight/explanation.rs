//! Explanations as clients read them.

use chrono::DateTime;
use cursus_api::segmentation as proto;
use cursus_audience::{Counted, Evidence, Explanation, Until};
use prost_types::Timestamp;

use crate::grpc::rule;
use crate::value::Value;

/// Recurses as deep as the rule with the segments it refers to; it was checked when it was compiled.
pub(super) fn clause(told: &Explanation<'_>) -> proto::Clause {
    let (until_time, open_end_time) = match told.until {
        Until::Moment(moment) => (timestamp(moment), None),
        Until::NotBefore(moment) => (None, timestamp(moment)),
        Until::Never => (None, None),
    };
    proto::Clause {
        text: told.text.clone(),
        holds: told.holds,
        since_time: told.since.and_then(timestamp),
        until_time,
        open_end_time,
        evidence: evidence(&told.evidence),
        clauses: told.clauses.iter().map(clause).collect(),
    }
}

fn evidence(told: &Evidence<'_>) -> Option<proto::clause::Evidence> {
    use proto::clause::Evidence as Encoded;
    match told {
        Evidence::Clauses => None,
        Evidence::Attribute { name, value } => {
            let value = value.clone().map(|value| (&Value::from(value)).into());
            let attribute = (*name).to_owned();
            Some(Encoded::Attribute(proto::AttributeEvidence { attribute, value }))
        }
        Evidence::Events(told) => Some(Encoded::Events(counted(told))),
        Evidence::Deals(told) => Some(Encoded::Deals(counted(told))),
        Evidence::Bucket(part) => part.map(|part| Encoded::Bucket(part.into())),
    }
}

fn counted(told: &Counted) -> proto::CountedEvidence {
    proto::CountedEvidence {
        count: i64::try_from(told.count).unwrap_or(i64::MAX),
        value: told.value,
        times: told.times.iter().copied().filter_map(timestamp).collect(),
        deciding_time: told.deciding_time.and_then(timestamp),
    }
}

/// Moments beyond what a timestamp can say are never.
fn timestamp(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros).map(rule::encode_moment)
}
