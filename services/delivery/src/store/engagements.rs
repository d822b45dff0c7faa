//! What recipients did, each thing once.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cursus_ids::{BroadcastName, WorkspaceId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::decoded;
use super::suppressions::hash;
use crate::actor::Actor;
use crate::address::AddressHash;
use crate::message::Key;
use crate::outcome::{About, labelled};

/// A message that a token names.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) about: About,
    pub(crate) address: AddressHash,
    /// The destination of the link, if the variant has that link.
    pub(crate) url: Option<String>,
}

/// Something done once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Engagement {
    pub(crate) workspace: WorkspaceId,
    pub(crate) key: Key,
    pub(crate) kind: &'static str,
    pub(crate) link_number: u16,
    pub(crate) actor: Actor,
}

/// The messages that tokens name, in the order asked for; nothing for those that do not exist.
pub(crate) async fn sent(
    conn: &mut PgConnection,
    named: &[(WorkspaceId, Key, u16)],
) -> Result<Vec<Option<Sent>>, sqlx::Error> {
    let workspaces: Vec<String> =
        named.iter().map(|(workspace, ..)| workspace.to_string()).collect();
    let keys: Vec<Uuid> = named.iter().map(|(_, key, _)| key.uuid()).collect();
    let links: Vec<i32> = named.iter().map(|(.., link)| i32::from(*link)).collect();
    let rows = sqlx::query!(
        r#"select asked.position as "position!", m.workspace_id, m.broadcast_id, m.message_id,
             m.contact_id, m.arm, m.released, m.labels as label_bits,
             m.address_hash as "address_hash!", b.experiment, b.labels,
             v.links[asked.link_number + 1] as url
         from unnest($1::text[], $2::uuid[], $3::integer[])
             with ordinality as asked (workspace_id, message_id, link_number, position)
         join messages as m using (workspace_id, message_id)
         join broadcasts as b using (workspace_id, broadcast_id)
         join variants as v using (workspace_id, broadcast_id, arm)
         where m.address_hash is not null"#,
        &workspaces,
        &keys,
        &links,
    )
    .fetch_all(conn)
    .await?;
    let mut found = vec![None; named.len()];
    for row in rows {
        let workspace = decoded(row.workspace_id.parse())?;
        let about = About {
            broadcast: BroadcastName::new(workspace, decoded(row.broadcast_id.parse())?),
            key: row.message_id.into(),
            contact_id: row.contact_id,
            experiment: row.experiment,
            arm: row.arm,
            released: row.released,
            segments: labelled(&row.labels, row.label_bits),
            privacy_proxy: false,
        };
        let place = usize::try_from(row.position - 1).ok().and_then(|n| found.get_mut(n));
        let place = place.expect("positions count what was asked for, from 1");
        *place = Some(Sent { about, address: hash(&row.address_hash)?, url: row.url });
    }
    Ok(found)
}

/// Records what is new, and says for each whether it was. The same one twice in a row of requests is new once.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    engagements: &[Engagement],
    now: DateTime<Utc>,
) -> Result<Vec<(Key, &'static str, u16, Actor)>, sqlx::Error> {
    let workspaces: Vec<String> = engagements.iter().map(|it| it.workspace.to_string()).collect();
    let keys: Vec<Uuid> = engagements.iter().map(|it| it.key.uuid()).collect();
    let kinds: Vec<String> = engagements.iter().map(|it| it.kind.to_owned()).collect();
    let links: Vec<i16> = engagements.iter().map(|it| it.link_number.cast_signed()).collect();
    let actors: Vec<String> = engagements.iter().map(|it| it.actor.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "insert into engagements (workspace_id, message_id, kind, link_number, actor, create_time)
         select distinct workspace_id, message_id, kind, link_number, actor, $6::timestamptz
         from unnest($1::text[], $2::uuid[], $3::text[], $4::smallint[], $5::text[])
             as done (workspace_id, message_id, kind, link_number, actor)
         order by workspace_id, message_id, kind, link_number, actor
         on conflict do nothing
         returning message_id, kind, link_number, actor",
        &workspaces,
        &keys,
        &kinds,
        &links,
        &actors,
        now,
    )
    .fetch_all(conn)
    .await?;
    let recorded = rows.into_iter().filter_map(|row| {
        let kind = engagements.iter().map(|it| it.kind).find(|kind| *kind == row.kind)?;
        let actor = Actor::ALL.into_iter().find(|actor| actor.as_str() == row.actor)?;
        Some((row.message_id.into(), kind, row.link_number.cast_unsigned(), actor))
    });
    Ok(recorded.collect())
}

/// Remembers that machines opened messages to these contacts.
pub(crate) async fn remember_machines(
    conn: &mut PgConnection,
    contacts: &[(String, String)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (workspaces, contacts): (Vec<String>, Vec<String>) = contacts.iter().cloned().unzip();
    sqlx::query!(
        // In order, so that two transactions can wait for each other, not both.
        "insert into machine_opens (workspace_id, contact_id, open_time)
         select distinct workspace_id, contact_id, $3::timestamptz
         from unnest($1::text[], $2::text[]) as opened (workspace_id, contact_id)
         order by workspace_id, contact_id
         on conflict (workspace_id, contact_id) do update
         set open_time = greatest(machine_opens.open_time, excluded.open_time)",
        &workspaces,
        &contacts,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which of these contacts got messages that machines opened since then.
pub(crate) async fn opened_by_machines(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    contacts: &[String],
    since: DateTime<Utc>,
) -> Result<HashSet<String>, sqlx::Error> {
    let opened = sqlx::query_scalar!(
        "select contact_id from machine_opens
         where workspace_id = $1 and contact_id = any($2) and open_time >= $3",
        workspace.as_ref(),
        contacts,
        since,
    )
    .fetch_all(conn)
    .await?;
    Ok(opened.into_iter().collect())
}
