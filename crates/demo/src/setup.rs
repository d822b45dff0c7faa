//! Fills the workspace: attributes, contacts, their history, a sender, and who may not be mailed.

use std::time::Instant;

use anyhow::ensure;
use cursus_api::delivery::{
    CreateSenderRequest, CreateSuppressionRequest, Sender, Suppression, suppression::Reason,
};
use cursus_api::segmentation::{
    Attribute, Contact, CreateAttributeRequest, Event, ImportContactsRequest,
    ImportContactsResponse, ImportEventsRequest,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::figures::rate;
use crate::surface::{name, persist, request_id, workspace};
use crate::{Figures, Narrator, Surface, World};

/// Rows in one message of an import.
const CHUNK: usize = 2_500;

pub(crate) async fn fill(
    world: &World,
    surface: &Surface,
    narrator: &dyn Narrator,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    narrator.step(&format!("Import {}", world.title));
    attributes(world, surface).await?;
    contacts(world, surface, narrator, figures).await?;
    events(world, surface, narrator).await?;
    sender(surface).await?;
    suppressions(world, surface, narrator).await
}

async fn attributes(world: &World, surface: &Surface) -> anyhow::Result<()> {
    for (id, kind) in &world.attributes {
        let request = CreateAttributeRequest {
            parent: workspace(),
            attribute_id: (*id).to_owned(),
            attribute: Some(Attribute { kind: (*kind).into(), ..Attribute::default() }),
            request_id: request_id(),
        };
        persist(async || surface.segmentation.clone().create_attribute(request.clone()).await)
            .await?;
    }
    Ok(())
}

async fn contacts(
    world: &World,
    surface: &Surface,
    narrator: &dyn Narrator,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let good = world.people.iter().map(|person| Contact {
        name: name("contacts", &person.id),
        email: person.email.clone(),
        attributes: person.attributes.iter().map(|(id, v)| ((*id).to_owned(), v.clone())).collect(),
        ..Contact::default()
    });
    let bad = world
        .bad_rows
        .iter()
        .map(|(row, _)| Contact { name: name("contacts", &row.name), ..row.clone() });
    let rows: Vec<_> = good.chain(bad).collect();
    let started = Instant::now();
    let answer = import(surface, &rows).await?;
    figures.import_rows_per_second = rate(rows.len(), started.elapsed());
    for refusal in &answer.refusals {
        narrator.fact(&format!(
            "row {} refused: {} ({})",
            refusal.row, refusal.message, refusal.reason
        ));
    }
    let reasons: Vec<_> = answer.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
    let expected: Vec<_> = world.bad_rows.iter().map(|(_, reason)| *reason).collect();
    ensure!(reasons == expected, "refused {reasons:?}, expected {expected:?}");
    narrator.fact(&format!(
        "{} contacts at {:.0} rows/s",
        answer.created_count + answer.updated_count,
        figures.import_rows_per_second
    ));
    Ok(())
}

async fn import(surface: &Surface, rows: &[Contact]) -> anyhow::Result<ImportContactsResponse> {
    let parts: Vec<_> = rows
        .chunks(CHUNK)
        .map(|rows| ImportContactsRequest { parent: workspace(), contacts: rows.to_vec() })
        .collect();
    persist(async || {
        surface.segmentation.clone().import_contacts(stream::iter(parts.clone())).await
    })
    .await
}

async fn events(world: &World, surface: &Surface, narrator: &dyn Narrator) -> anyhow::Result<()> {
    if world.history.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    record(surface, &world.history).await?;
    narrator.fact(&format!(
        "{} past events at {:.0} events/s",
        world.history.len(),
        rate(world.history.len(), started.elapsed())
    ));
    Ok(())
}

/// Records events whose contacts are given by id.
pub(crate) async fn record(surface: &Surface, events: &[Event]) -> anyhow::Result<()> {
    let parts: Vec<_> = events
        .chunks(CHUNK)
        .map(|events| ImportEventsRequest {
            parent: workspace(),
            events: events
                .iter()
                .map(|event| Event { contact: name("contacts", &event.contact), ..event.clone() })
                .collect(),
        })
        .collect();
    let answer = persist(async || {
        surface.segmentation.clone().import_events(stream::iter(parts.clone())).await
    })
    .await?;
    ensure!(answer.refused_count == 0, "refused: {:?}", answer.refusals.first());
    Ok(())
}

async fn sender(surface: &Surface) -> anyhow::Result<()> {
    let request = CreateSenderRequest {
        parent: workspace(),
        sender_id: "news".to_owned(),
        sender: Some(Sender {
            display_name: "Example News".to_owned(),
            address: "news@mail.example".to_owned(),
            ..Sender::default()
        }),
        request_id: request_id(),
    };
    persist(async || surface.admin.clone().create_sender(request.clone()).await).await?;
    Ok(())
}

async fn suppressions(
    world: &World,
    surface: &Surface,
    narrator: &dyn Narrator,
) -> anyhow::Result<()> {
    if world.unsubscribed.is_empty() {
        return Ok(());
    }
    stream::iter(&world.unsubscribed)
        .map(|address| async move {
            let request = CreateSuppressionRequest {
                parent: workspace(),
                suppression: Some(Suppression {
                    address: address.clone(),
                    reason: Reason::Unsubscribed.into(),
                    ..Suppression::default()
                }),
                request_id: request_id(),
            };
            persist(async || surface.delivery.clone().create_suppression(request.clone()).await)
                .await
        })
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await?;
    narrator.fact(&format!("{} had unsubscribed before", world.unsubscribed.len()));
    Ok(())
}
