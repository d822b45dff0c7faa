//! Transitions as facts, as they are listed and as they are watched.
//!
//! A fact holds what crossed together, packed: a block that changed by a new rule is a few kilobytes, however many of
//! its contacts crossed. It is told contact by contact when it is read.

use chrono::{DateTime, Utc};
use cursus_api::segmentation as proto;
use cursus_chassis::{Caller, Role};
use cursus_ids::{ContactName, SegmentName};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use prost::Message;
use tonic::{Request, Response, Status};

use super::request::{MOST_AT_ONCE, at_most, enter};
use super::{Answer, Grpc, convert, rule};
use crate::block::{pack_slots, unpack_slots};
use crate::error::Error;
use crate::page::Page;
use crate::store::segments::Revision;
use crate::transition::{Cause, Crossing, Direction, Transition};
use crate::transitions::{Fact, Of, Place, Stay};

/// A fact is cut where it grows beyond this: a reader holds many at once.
const LARGEST: usize = 64 << 10;

#[derive(Clone, PartialEq, Message)]
struct StoredFact {
    #[prost(int32, tag = "1")]
    block: i32,
    #[prost(int64, tag = "2")]
    record_micros: i64,
    #[prost(message, repeated, tag = "3")]
    crossings: Vec<StoredCrossing>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredCrossing {
    #[prost(string, tag = "1")]
    segment: String,
    #[prost(int64, tag = "2")]
    revision: i64,
    #[prost(enumeration = "proto::transition::Cause", tag = "3")]
    cause: i32,
    #[prost(int64, tag = "4")]
    micros: i64,
    #[prost(bytes = "vec", tag = "5")]
    entered: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    left: Vec<u8>,
}

/// What crossed in a block as the payloads of facts, in order.
pub(crate) fn to_facts<'a>(
    block: i32,
    crossings: impl IntoIterator<Item = &'a Crossing>,
    record_time: DateTime<Utc>,
) -> Vec<Vec<u8>> {
    let empty = || StoredFact {
        block,
        record_micros: record_time.timestamp_micros(),
        crossings: Vec::new(),
    };
    let mut facts = Vec::new();
    let mut fact = empty();
    let mut size = 0;
    for crossing in crossings {
        let stored = StoredCrossing::from(crossing);
        size += stored.encoded_len();
        fact.crossings.push(stored);
        if size >= LARGEST {
            facts.push(std::mem::replace(&mut fact, empty()).encode_to_vec());
            size = 0;
        }
    }
    if !fact.crossings.is_empty() {
        facts.push(fact.encode_to_vec());
    }
    facts
}

/// Reads what [`to_facts`] wrote.
pub(crate) fn from_fact(payload: &[u8]) -> Result<Fact, Error> {
    let stored = StoredFact::decode(payload).map_err(|_| Error::Corrupt("fact"))?;
    let crossings = stored.crossings.into_iter().map(Crossing::try_from);
    Ok(Fact {
        block: stored.block,
        record_time: moment(stored.record_micros)?,
        crossings: crossings.collect::<Result<_, _>>()?,
    })
}

impl From<&Crossing> for StoredCrossing {
    fn from(crossing: &Crossing) -> Self {
        Self {
            segment: crossing.revision.segment.to_string(),
            revision: crossing.revision.number,
            cause: proto::transition::Cause::from(crossing.cause).into(),
            micros: crossing.time.timestamp_micros(),
            entered: pack_slots(&crossing.entered),
            left: pack_slots(&crossing.left),
        }
    }
}

impl TryFrom<StoredCrossing> for Crossing {
    type Error = Error;

    fn try_from(stored: StoredCrossing) -> Result<Self, Error> {
        let cause = stored.cause().try_into()?;
        let segment = stored.segment.parse().map_err(|_| Error::Corrupt("id"))?;
        Ok(Self {
            revision: Revision { segment, number: stored.revision },
            cause,
            time: moment(stored.micros)?,
            entered: unpack_slots(&stored.entered)?,
            left: unpack_slots(&stored.left)?,
        })
    }
}

impl From<Cause> for proto::transition::Cause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Event => Self::Event,
            Cause::Attribute => Self::Attribute,
            Cause::Time => Self::Time,
            Cause::RuleChanged => Self::RuleChanged,
            Cause::ContactCreated => Self::ContactCreated,
            Cause::ContactMerged => Self::ContactMerged,
            Cause::ContactErased => Self::ContactErased,
        }
    }
}

impl TryFrom<proto::transition::Cause> for Cause {
    type Error = Error;

    fn try_from(told: proto::transition::Cause) -> Result<Self, Error> {
        use proto::transition::Cause as Told;
        Ok(match told {
            Told::Event => Self::Event,
            Told::Attribute => Self::Attribute,
            Told::Time => Self::Time,
            Told::RuleChanged => Self::RuleChanged,
            Told::ContactCreated => Self::ContactCreated,
            Told::ContactMerged => Self::ContactMerged,
            Told::ContactErased => Self::ContactErased,
            Told::Unspecified => return Err(Error::Corrupt("cause")),
        })
    }
}

impl From<Transition> for proto::Transition {
    fn from(transition: Transition) -> Self {
        use proto::transition::{Cause, Direction as Told};
        let direction = match transition.direction {
            Direction::Entered => Told::Entered,
            Direction::Left => Told::Left,
        };
        Self {
            contact: transition.contact.to_string(),
            segment: transition.segment.to_string(),
            revision: transition.revision,
            direction: direction.into(),
            cause: Cause::from(transition.cause).into(),
            transition_time: Some(rule::encode_moment(transition.time)),
            record_time: Some(rule::encode_moment(transition.record_time)),
        }
    }
}

impl Grpc {
    pub(super) async fn segments_checked(
        &self,
        request: Request<proto::CheckSegmentsRequest>,
    ) -> Answer<proto::CheckSegmentsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let contact: ContactName = request.contact.parse().map_err(Error::name("contact"))?;
        caller.enter(&contact.workspace)?;
        at_most(MOST_AT_ONCE, request.segments.len(), "segments")?;
        let segments = convert::segments(&request.segments, &contact.workspace, "segments")?;
        let checked = self.members.check_segments(&contact, &segments).await?;
        let (members, revisions) = checked.into_iter().unzip();
        Ok(Response::new(proto::CheckSegmentsResponse { members, revisions }))
    }

    pub(super) async fn contact_segments(
        &self,
        request: Request<proto::ListContactSegmentsRequest>,
    ) -> Answer<proto::ListContactSegmentsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let contact: ContactName = request.parent.parse().map_err(Error::name("parent"))?;
        caller.enter(&contact.workspace)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } =
            self.transitions.segments_of(&self.members, &contact, asked).await?;
        let encode = |found: Stay| proto::ContactSegment {
            segment: found.segment.to_string(),
            revision: found.revision,
            enter_time: found.enter_time.map(rule::encode_moment),
        };
        Ok(Response::new(proto::ListContactSegmentsResponse {
            segments: items.into_iter().map(encode).collect(),
            next_page_token: next_token,
        }))
    }

    pub(super) async fn transitions_listed(
        &self,
        request: Request<proto::ListTransitionsRequest>,
    ) -> Answer<proto::ListTransitionsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let of = of(&request.parent)?;
        caller.enter(of.workspace())?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.transitions.list(&of, asked).await?;
        Ok(Response::new(proto::ListTransitionsResponse {
            transitions: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    pub(super) fn transitions_watched(
        &self,
        request: Request<proto::WatchTransitionsRequest>,
    ) -> Answer<BoxStream<'static, Result<proto::WatchTransitionsResponse, Status>>> {
        let (caller, request) = Caller::admit(request, Role::Service)?;
        let workspace = match request.parent.as_str() {
            // Nobody enters this one who may not enter all.
            "workspaces/-" => caller.enter("*").map(|()| None)?,
            parent => Some(enter(&caller, parent)?.to_string()),
        };
        let place = request.cursor.parse()?;
        let runs = self.transitions.watch(workspace, place, self.shutdown.clone());
        let encode =
            |(transitions, place): (Vec<Transition>, Place)| proto::WatchTransitionsResponse {
                transitions: transitions.into_iter().map(Into::into).collect(),
                cursor: place.to_string(),
            };
        Ok(Response::new(Box::pin(runs.map_ok(encode).map_err(Status::from))))
    }
}

/// Whose transitions are listed: a segment's or a contact's.
fn of(parent: &str) -> Result<Of, Error> {
    if let Ok(segment) = parent.parse::<SegmentName>() {
        return Ok(Of::Segment(segment));
    }
    let contact = parent.parse::<ContactName>().map_err(|_| {
        let message = "name a segment, `workspaces/{workspace}/segments/{segment}`, or a contact, \
            `workspaces/{workspace}/contacts/{contact}`";
        Error::invalid("parent", message)
    })?;
    Ok(Of::Contact(contact))
}

fn moment(micros: i64) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_micros(micros).ok_or(Error::Corrupt("fact"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(entered: usize) -> Crossing {
        Crossing {
            revision: Revision { segment: "vip".parse().unwrap(), number: 3 },
            cause: Cause::RuleChanged,
            time: DateTime::from_timestamp_micros(7).unwrap(),
            entered: (0..=u16::MAX).take(entered).collect(),
            left: vec![9],
        }
    }

    #[test]
    fn what_crossed_survives_the_way_through_the_feed() {
        let record_time = DateTime::from_timestamp_micros(8).unwrap();
        let told = [crossing(2), crossing(65_536)];
        let facts = to_facts(5, &told, record_time);
        assert_eq!(facts.len(), 1);
        let read = from_fact(&facts[0]).unwrap();
        assert_eq!((read.block, read.record_time), (5, record_time));
        assert_eq!(read.crossings, told);
        assert!(from_fact(b"nonsense").is_err());
    }

    #[test]
    fn a_fact_is_bounded_however_much_crossed() {
        let told = vec![crossing(65_536); 100];
        let facts = to_facts(0, &told, DateTime::UNIX_EPOCH);
        assert!(facts.iter().all(|fact| fact.len() < LARGEST + (20 << 10)));
        let read: usize = facts.iter().map(|fact| from_fact(fact).unwrap().crossings.len()).sum();
        assert_eq!(read, 100);
    }
}
