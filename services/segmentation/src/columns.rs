//! What the service keeps in memory of a workspace, without the service around it: for benchmarks, not part of the API.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cursus_audience::{Block, Mentions, Plan};
use cursus_ids::WorkspaceId;
use sqlx::{Connection, PgConnection};

use crate::blocks::{self, Extent};
use crate::{block, references, store};

/// The contacts of a workspace as of a moment, and the rules in force.
#[derive(Debug)]
pub struct Columns {
    pub blocks: Vec<Block>,
    /// By the segments' ids.
    pub plans: BTreeMap<String, Plan>,
}

/// Compiles every segment and reads all blocks, as an evaluation does that finds none of them in memory.
pub async fn load(
    conn: &mut PgConnection,
    workspace: &str,
    now: DateTime<Utc>,
) -> anyhow::Result<Columns> {
    let workspace: WorkspaceId = workspace.parse()?;
    let mut tx = conn.begin().await?;
    let conn = &mut *tx;
    let vocabulary = store::attributes::all(conn, &workspace).await?;
    let mut plans = BTreeMap::new();
    let mut mentions = Mentions::default();
    for (revision, _) in store::segments::followed(conn, &workspace).await? {
        let plan = references::compile(conn, &workspace, &vocabulary, &revision).await?;
        mentions.merge(plan.mentions());
        plans.insert(revision.segment.to_string(), plan);
    }
    let contact_count = store::contact_count(conn, &workspace).await?;
    let mut blocks = Vec::new();
    for block in &block::all(&workspace, contact_count).collect::<Vec<_>>() {
        let extent = Extent { block, contact_count, slots: None };
        blocks.push(blocks::load(conn, extent, &vocabulary, mentions.clone(), now).await?);
    }
    tx.rollback().await?;
    Ok(Columns { blocks, plans })
}
