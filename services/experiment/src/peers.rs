//! The feeds of the other services, in the experiment service's own words.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use cursus_api::delivery::delivery_service_client::DeliveryServiceClient;
use cursus_api::delivery::{self, Outcome, WatchOutcomesRequest, WatchOutcomesResponse, outcome};
use cursus_api::segmentation::segmentation_service_client::SegmentationServiceClient;
use cursus_api::segmentation::{self, WatchEventsRequest, WatchEventsResponse, value};
use cursus_chassis::peer::Streams;
use cursus_feed::Cursor;
use cursus_ids::{ArmId, ContactName, ExperimentName, ParseError, SegmentName};
use tonic::{Status, Streaming};

use crate::config::Config;
use crate::design::OPENED;
use crate::evidence::{Actor, Event, Exposure, micros};

const EVERYWHERE: &str = "workspaces/-";
/// As they are named in the table of evidence.
pub(crate) const DELIVERY: &str = "delivery";
pub(crate) const SEGMENTATION: &str = "segmentation";

/// A feed that can be followed.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Outcomes(DeliveryServiceClient<Streams>),
    Events(SegmentationServiceClient<Streams>),
}

/// A feed that is being followed.
#[derive(Debug)]
pub(crate) enum Runs {
    Outcomes(Streaming<WatchOutcomesResponse>),
    Events(Streaming<WatchEventsResponse>),
}

/// Facts that came together.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) exposures: Vec<Exposure>,
    pub(crate) events: Vec<Event>,
    /// When the facts happened.
    pub(crate) times: Vec<DateTime<Utc>>,
    /// Where to go on.
    pub(crate) next: Cursor,
}

/// Why a feed cannot be followed now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the {peer} service does not answer")]
    Away { peer: &'static str, source: Status },
    #[error("the {peer} service sent a cursor that is none")]
    Malformed { peer: &'static str, source: cursus_feed::MalformedCursor },
}

impl Source {
    /// Those whose address is known.
    pub(crate) fn all(config: &Config) -> anyhow::Result<Vec<Self>> {
        let mut sources = Vec::new();
        if let Some(address) = &config.delivery_url {
            let streams = config.peers.peer(address).context("delivery")?.streams();
            sources.push(Self::Outcomes(DeliveryServiceClient::new(streams)));
        }
        if let Some(address) = &config.segmentation_url {
            let streams = config.peers.peer(address).context("segmentation")?.streams();
            sources.push(Self::Events(SegmentationServiceClient::new(streams)));
        }
        Ok(sources)
    }

    /// What our place in it is stored under.
    pub(crate) fn feed(&self) -> &'static str {
        match self {
            Self::Outcomes(_) => "delivery.outcomes",
            Self::Events(_) => "segmentation.events",
        }
    }

    /// The work of following it, which one replica does.
    pub(crate) fn claims(&self) -> &'static str {
        match self {
            Self::Outcomes(_) => "experiment.outcomes",
            Self::Events(_) => "experiment.events",
        }
    }

    fn peer(&self) -> &'static str {
        match self {
            Self::Outcomes(_) => DELIVERY,
            Self::Events(_) => SEGMENTATION,
        }
    }

    /// Opens it for all workspaces.
    pub(crate) async fn open(&self, after: Cursor) -> Result<Runs, Error> {
        let (parent, cursor) = (EVERYWHERE.to_owned(), after.to_string());
        let away = |source| Error::Away { peer: self.peer(), source };
        match self.clone() {
            Self::Outcomes(mut client) => {
                let request = WatchOutcomesRequest { parent, cursor };
                let answer = client.watch_outcomes(request).await.map_err(away)?;
                Ok(Runs::Outcomes(answer.into_inner()))
            }
            Self::Events(mut client) => {
                let request = WatchEventsRequest { parent, cursor };
                let answer = client.watch_events(request).await.map_err(away)?;
                Ok(Runs::Events(answer.into_inner()))
            }
        }
    }
}

impl Runs {
    /// Waits for more; `None` when the peer ends the stream, as it does when it stops.
    pub(crate) async fn next(&mut self) -> Result<Option<Run>, Error> {
        match self {
            Self::Outcomes(stream) => {
                let away = |source| Error::Away { peer: DELIVERY, source };
                let run = stream.message().await.map_err(away)?;
                run.map(|run| from_outcomes(run.outcomes, &run.cursor)).transpose()
            }
            Self::Events(stream) => {
                let away = |source| Error::Away { peer: SEGMENTATION, source };
                let run = stream.message().await.map_err(away)?;
                run.map(|run| from_events(run.events, &run.cursor)).transpose()
            }
        }
    }
}

fn from_outcomes(outcomes: Vec<Outcome>, cursor: &str) -> Result<Run, Error> {
    let next = cursor.parse().map_err(|source| Error::Malformed { peer: DELIVERY, source })?;
    let mut run = Run { exposures: Vec::new(), events: Vec::new(), times: Vec::new(), next };
    for outcome in outcomes {
        let Some(time) = outcome.outcome_time.and_then(moment) else { continue };
        run.times.push(time);
        // Facts of mailings without an experiment, or of names we do not know, are none of ours.
        let (Ok(experiment), Ok(unit)) = (outcome.experiment.parse(), outcome.contact.parse())
        else {
            continue;
        };
        match outcome.kind() {
            outcome::Kind::Accepted | outcome::Kind::HeldOut => {
                run.exposures.extend(exposure(outcome, experiment, &unit, time));
            }
            _ => run.events.extend(reaction(outcome, experiment, unit, time)),
        }
    }
    Ok(run)
}

fn exposure(
    outcome: Outcome,
    experiment: ExperimentName,
    unit: &ContactName,
    exposure_time: DateTime<Utc>,
) -> Option<Exposure> {
    let is_held_out = outcome.kind() == outcome::Kind::HeldOut;
    // An arm that is missing must not make a contact that was mailed one that was held out.
    let is_ours =
        if is_held_out { outcome.arm.is_empty() } else { outcome.arm.parse::<ArmId>().is_ok() };
    if unit.workspace != experiment.workspace || !is_ours {
        return None;
    }
    Some(Exposure {
        unit: unit.id.clone(),
        arm: outcome.arm,
        time: exposure_time,
        segments: distinct_segments(outcome.segments).unwrap_or_default(),
        released: outcome.released,
        privacy_proxy: outcome.privacy_proxy,
        experiment,
    })
}

fn reaction(
    outcome: Outcome,
    experiment: ExperimentName,
    unit: ContactName,
    time: DateTime<Utc>,
) -> Option<Event> {
    let (event, actor) = match outcome.kind() {
        outcome::Kind::Opened => (OPENED, actor(&outcome)),
        outcome::Kind::Clicked => ("email.clicked", actor(&outcome)),
        // A machine only follows links; unsubscribing takes more.
        outcome::Kind::Unsubscribed => ("email.unsubscribed", Actor::Human),
        _ => return None,
    };
    (unit.workspace == experiment.workspace).then(|| Event {
        source: DELIVERY.to_owned(),
        id: outcome.outcome_id,
        unit,
        name: event.to_owned(),
        experiment: Some(experiment),
        time,
        actor,
        micros: BTreeMap::new(),
    })
}

fn actor(outcome: &Outcome) -> Actor {
    match outcome.actor() {
        delivery::Actor::Human => Actor::Human,
        delivery::Actor::Machine => Actor::Machine,
        delivery::Actor::Unknown | delivery::Actor::Unspecified => Actor::Unknown,
    }
}

fn from_events(events: Vec<segmentation::Event>, cursor: &str) -> Result<Run, Error> {
    let next = cursor.parse().map_err(|source| Error::Malformed { peer: SEGMENTATION, source })?;
    let mut run = Run { exposures: Vec::new(), events: Vec::new(), times: Vec::new(), next };
    for event in events {
        let Some(time) = event.event_time.and_then(moment) else { continue };
        run.times.push(time);
        let Ok(unit) = event.contact.parse() else { continue };
        let amount = |(property, value): (String, segmentation::Value)| match value.kind {
            Some(value::Kind::Number(amount)) => Some((property, micros(amount)?)),
            _ => None,
        };
        run.events.push(Event {
            source: SEGMENTATION.to_owned(),
            id: event.event_id,
            unit,
            name: event.event_name,
            experiment: None,
            time,
            actor: Actor::Human,
            micros: event.properties.into_iter().filter_map(amount).collect(),
        });
    }
    Ok(run)
}

/// Each segment's name once. What is no name cannot be stored: names are kept in lines.
pub(crate) fn distinct_segments(mut segments: Vec<String>) -> Result<Vec<String>, ParseError> {
    for segment in &segments {
        segment.parse::<SegmentName>()?;
    }
    segments.sort();
    segments.dedup();
    Ok(segments)
}

/// A moment; `None` if the message names none.
pub(crate) fn moment(time: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    // From 0001-01-01 to 9999-12-31, as the message's definition says.
    let is_defined = (-62_135_596_800..=253_402_300_799).contains(&time.seconds);
    is_defined.then(|| DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: outcome::Kind, arm: &str) -> Outcome {
        Outcome {
            outcome_id: "o1".to_owned(),
            kind: kind.into(),
            outcome_time: Some(prost_types::Timestamp { seconds: 5, nanos: 0 }),
            contact: "workspaces/acme/contacts/ana".to_owned(),
            experiment: "workspaces/acme/experiments/spring".to_owned(),
            arm: arm.to_owned(),
            ..Outcome::default()
        }
    }

    fn run(outcome: Outcome) -> (usize, Vec<Actor>) {
        let run = from_outcomes(vec![outcome], "").unwrap();
        (run.exposures.len(), run.events.iter().map(|event| event.actor).collect())
    }

    #[test]
    fn handing_over_and_holding_out_expose_and_nothing_else_does() {
        assert_eq!(run(outcome(outcome::Kind::Accepted, "men")), (1, vec![]));
        assert_eq!(run(outcome(outcome::Kind::HeldOut, "")), (1, vec![]));
        for kind in [outcome::Kind::Failed, outcome::Kind::Ambiguous, outcome::Kind::Unspecified] {
            assert_eq!(run(outcome(kind, "men")), (0, vec![]));
        }
    }

    #[test]
    fn a_mailed_contact_without_an_arm_does_not_join_the_holdout() {
        assert_eq!(run(outcome(outcome::Kind::Accepted, "")), (0, vec![]));
    }

    #[test]
    fn opens_and_clicks_are_whose_delivery_says_and_every_unsubscription_is_a_persons() {
        for (told, actor) in [
            (delivery::Actor::Human, Actor::Human),
            (delivery::Actor::Machine, Actor::Machine),
            (delivery::Actor::Unknown, Actor::Unknown),
        ] {
            let clicked = Outcome { actor: told.into(), ..outcome(outcome::Kind::Clicked, "men") };
            assert_eq!(run(clicked), (0, vec![actor]));
        }
        assert_eq!(run(outcome(outcome::Kind::Unsubscribed, "men")), (0, vec![Actor::Human]));
    }
}
