//! Exposures, and what units did.

use std::collections::{BTreeSet, HashMap};

use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

use super::{count, to_json};
use crate::evidence::{Actor, Event, Exposure, Word};

/// Writes exposures, of which no two are of the same unit. The earliest of a unit counts, in whatever order they come; once
/// a bandit was asked for a unit, the one that was told first. Those of experiments or arms that do not exist are left out.
/// Returns how many units were exposed for the first time.
pub(crate) async fn expose(
    conn: &mut PgConnection,
    exposures: &[Exposure],
) -> Result<u64, sqlx::Error> {
    if exposures.is_empty() {
        return Ok(0);
    }
    let texts = |text: fn(&Exposure) -> String| exposures.iter().map(text).collect::<Vec<_>>();
    let times: Vec<_> = exposures.iter().map(|it| it.time).collect();
    let released: Vec<bool> = exposures.iter().map(|it| it.released).collect();
    let proxies: Vec<bool> = exposures.iter().map(|it| it.privacy_proxy).collect();
    let row = sqlx::query!(
        r#"with written as (
             insert into exposures (workspace_id, experiment_id, contact_id, arm, segments, exposure_time, released,
                                    privacy_proxy)
             select told.workspace_id, told.experiment_id, told.contact_id, place.arm,
                    string_to_array(told.segments, E'\n'), told.exposure_time, told.released, told.privacy_proxy
             from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::boolean[], $8::boolean[])
                 as told (workspace_id, experiment_id, contact_id, arm, segments, exposure_time, released, privacy_proxy)
             join experiments using (workspace_id, experiment_id)
             left join lateral (
                 select (listed.ordinality - 1)::smallint as arm
                 from jsonb_array_elements(experiments.design -> 'arms') with ordinality as listed (arm, ordinality)
                 where listed.arm ->> 'id' = told.arm
             ) as place on true
             where told.arm = '' or place.arm is not null
             order by told.workspace_id, told.experiment_id, told.contact_id
             on conflict (workspace_id, experiment_id, contact_id) do update
             set arm = excluded.arm, segments = excluded.segments, exposure_time = excluded.exposure_time,
                 released = excluded.released, privacy_proxy = excluded.privacy_proxy
             where (excluded.exposure_time, excluded.released) < (exposures.exposure_time, exposures.released)
               -- A bandit's periods are counted once, so its units stay in theirs.
               and not exists (
                   select from allotments
                   where allotments.workspace_id = exposures.workspace_id
                     and allotments.experiment_id = exposures.experiment_id
                     and allotments.contact_id = exposures.contact_id
               )
             returning xmax = 0 as is_new
         )
         select count(*) filter (where is_new) as "count!" from written"#,
        &texts(|it| it.experiment.workspace.to_string()),
        &texts(|it| it.experiment.id.to_string()),
        &texts(|it| it.unit.to_string()),
        &texts(|it| it.arm.clone()),
        &texts(|it| it.segments.join("\n")),
        &times,
        &released,
        &proxies,
    )
    .fetch_one(conn)
    .await?;
    Ok(count(row.count))
}

/// Keeps what units did; an id that was told before has no effect. Returns how many were new.
pub(crate) async fn keep(conn: &mut PgConnection, events: &[Event]) -> Result<u64, sqlx::Error> {
    if events.is_empty() {
        return Ok(0);
    }
    let texts = |text: fn(&Event) -> String| events.iter().map(text).collect::<Vec<_>>();
    let times: Vec<_> = events.iter().map(|it| it.time).collect();
    // A version that still runs reads only whether it was a person.
    let human: Vec<bool> = events.iter().map(|it| it.actor == Actor::Human).collect();
    let micros = events.iter().map(|it| to_json(&it.micros)).collect::<Result<Vec<_>, _>>()?;
    let inserted = sqlx::query!(
        "insert into evidence
             (workspace_id, source, outcome_id, contact_id, event, experiment_id, outcome_time, human, micros,
              actor)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                              $7::timestamptz[], $8::boolean[], $9::jsonb[], $10::text[])
             as told (workspace_id, source, outcome_id, contact_id, event, experiment_id, outcome_time, human, micros,
                      actor)
         order by told.workspace_id, told.source, told.outcome_id
         on conflict do nothing",
        &texts(|it| it.unit.workspace.to_string()),
        &texts(|it| it.source.clone()),
        &texts(|it| it.id.clone()),
        &texts(|it| it.unit.id.to_string()),
        &texts(|it| it.name.clone()),
        &texts(|it| it.experiment.as_ref().map(|name| name.id.to_string()).unwrap_or_default()),
        &times,
        &human,
        &micros,
        &texts(|it| it.actor.as_str().to_owned()),
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected())
}

/// Keeps words on who did what; of one outcome the latest counts, in whatever order they come. Returns how many are later
/// than what was known.
pub(crate) async fn reclassify(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    words: &[Word],
) -> Result<u64, sqlx::Error> {
    let texts = |text: fn(&Word) -> String| words.iter().map(text).collect::<Vec<_>>();
    let times: Vec<_> = words.iter().map(|it| it.time).collect();
    let written = sqlx::query!(
        r#"insert into words (workspace_id, source, outcome_id, actor, classify_time)
         select distinct on (told.source, told.outcome_id)
                $1, told.source, told.outcome_id, told.actor, told.classify_time
         from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[])
             as told (source, outcome_id, actor, classify_time)
         order by told.source, told.outcome_id, told.classify_time desc, told.actor collate "C" desc
         on conflict (workspace_id, source, outcome_id) do update
         set actor = excluded.actor, classify_time = excluded.classify_time
         where (excluded.classify_time, excluded.actor collate "C") > (words.classify_time, words.actor collate "C")"#,
        workspace.as_ref(),
        &texts(|it| it.source.clone()),
        &texts(|it| it.outcome_id.clone()),
        &texts(|it| it.actor.as_str().to_owned()),
        &times,
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected())
}

/// What the experiments of some workspaces count: the properties that are summed, by workspace and event.
pub(crate) async fn watched(
    conn: &mut PgConnection,
    workspaces: &BTreeSet<WorkspaceId>,
) -> Result<HashMap<(String, String), Vec<String>>, sqlx::Error> {
    let workspaces: Vec<String> = workspaces.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        "select workspace_id, event, property from watched where workspace_id = any($1)",
        &workspaces,
    )
    .fetch_all(conn)
    .await?;
    let mut watched: HashMap<(String, String), Vec<String>> = HashMap::new();
    for row in rows {
        watched.entry((row.workspace_id, row.event)).or_default().push(row.property);
    }
    Ok(watched)
}
