//! Filling the segmentation service's database with a data set: its own migrations, then rows as the service writes
//! them, copied.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Command;

use super::data::DataSet;
use crate::workspace::Workspace;
use crate::{screen, tools};

const ROWS: &str = include_str!("rows.py");
/// The workspace, as the benchmark in the service calls it.
const TENANT: &str = "acme";

/// The attributes as somebody would have declared them, by the numbers that `rows.py` packs, and a partition for each
/// month of events, as housekeeping would have made them.
const PREPARE: &str = "
    insert into attributes (workspace_id, attribute_id, number, kind, description, create_time)
    select 'acme', attribute_id, number, kind, '', timestamptz '2023-07-01'
    from unnest(
        array['country', 'industry', 'plan', 'lifecycle_stage', 'deal_stage', 'employees', 'annual_revenue', 'mrr',
            'is_admin', 'signed_up_at'],
        array['text', 'text', 'text', 'text', 'text', 'number', 'number', 'number', 'flag', 'time']
    ) with ordinality as declared (attribute_id, kind, number);
    select create_events_partition(month::date)
    from generate_series(timestamp '2025-07-01', timestamp '2026-09-01', interval '1 month') as month;
    insert into workspaces (workspace_id, contact_count) values ('acme', 0)";
const CONTACTS: &str = "
    copy contacts (workspace_id, ordinal, create_time, update_time, contact_id, email, attributes)
    from stdin (format binary)";
const EVENTS: &str = "
    copy events (workspace_id, event_name, ordinal, event_time, record_time, event_id, properties)
    from stdin (format binary)";
const INDEX: &str =
    "select replace(pg_get_indexdef('events_by_contact'::regclass), ' ON ONLY ', ' ON ')";
/// Ordinals have no gaps.
const COUNT: &str = "
    update workspaces set contact_count = contacts.count
    from (select count(*)::int as count, max(ordinal) as last from contacts where workspace_id = 'acme') as contacts
    where contacts.count = contacts.last + 1
    returning contact_count";

/// What was filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    pub(crate) contacts: u32,
    pub(crate) events: u64,
    /// How long the events took, with their index.
    pub(crate) events_took: Duration,
}

/// Fills an empty database.
pub(crate) async fn load(
    workspace: &Workspace,
    data: &DataSet,
    url: &str,
) -> anyhow::Result<Loaded> {
    let modules = tools::python_columns(workspace).await?;
    let mut conn = PgConnection::connect(url).await?;
    let migrations = workspace.root().join("services/segmentation/migrations");
    Migrator::new(migrations).await?.run(&mut conn).await?;
    sqlx::raw_sql(PREPARE).execute(&mut conn).await?;

    let step = screen::step("copying contacts into Postgres");
    copy(&mut conn, CONTACTS, ("contacts", &data.contacts()), &modules).await?;
    let contacts: Option<i32> = sqlx::query_scalar(COUNT).fetch_optional(&mut conn).await?;
    let contacts = contacts.context("the contacts' ids are not 1, 2, 3 and so on")?;
    step.done();

    let began = Instant::now();
    let step = screen::step("copying events into Postgres");
    // An index that is made afterwards is the same, and made sooner.
    let index: String = sqlx::query_scalar(INDEX).fetch_one(&mut conn).await?;
    sqlx::raw_sql("drop index events_by_contact").execute(&mut conn).await?;
    let events = copy(&mut conn, EVENTS, ("events", &data.events()), &modules).await?;
    step.done();
    let step = screen::step("indexing the events");
    sqlx::raw_sql("set maintenance_work_mem = '512MB'").execute(&mut conn).await?;
    sqlx::raw_sql(AssertSqlSafe(index)).execute(&mut conn).await?;
    step.done();
    let events_took = began.elapsed();

    // As the server would by itself, sooner or later.
    let step = screen::step("vacuuming");
    sqlx::raw_sql("vacuum (analyze) contacts, events").execute(&mut conn).await?;
    sqlx::raw_sql("checkpoint").execute(&mut conn).await?;
    step.done();
    conn.close().await?;
    Ok(Loaded { contacts: contacts.try_into()?, events, events_took })
}

/// Copies a file into a table, and returns how many rows there were.
async fn copy(
    conn: &mut PgConnection,
    statement: &str,
    (table, file): (&str, &Path),
    modules: &Path,
) -> anyhow::Result<u64> {
    let mut rows = Command::new("python3");
    rows.args(["-c", ROWS, table]).arg(file).arg(TENANT).env("PYTHONPATH", modules);
    rows.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut rows = rows.spawn().context("cannot run python3")?;
    let out = rows.stdout.take().context("no rows")?;
    let mut copying = conn.copy_in_raw(statement).await?;
    copying.read_from(out).await?;
    let status = rows.wait().await?;
    if !status.success() {
        copying.abort("the rows ended early").await?;
        bail!("{} cannot be read", file.display());
    }
    Ok(copying.finish().await?)
}
