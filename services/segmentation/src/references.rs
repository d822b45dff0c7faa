//! Rules that refer to other segments. A revision means certain revisions of those, so it means the same members for
//! ever; when a segment's rule changes, every segment that depends on it gets a new revision in the same transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_audience::{Limits, Plan, Rule, Schema};
use cursus_ids::{SegmentId, WorkspaceId};
use sqlx::PgConnection;

use crate::attribute::Vocabulary;
use crate::error::Error;
use crate::store;
use crate::store::segments::Revision;

/// Compiles a stored revision with the rules of the revisions it means.
pub(crate) async fn compile(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    vocabulary: &Vocabulary,
    revision: &Revision,
) -> Result<Plan, Error> {
    let mut found = closure(conn, workspace, vec![revision.clone()]).await?;
    let rule = found.remove(&revision.segment).ok_or(Error::Corrupt("revision"))?;
    let schema = schema(vocabulary, found);
    Ok(Plan::compile_segment(revision.segment.as_ref(), &rule, &schema, Limits::default())?)
}

/// Compiles a rule that was just written, with the rules in force of the segments it refers to.
pub(crate) async fn compile_new(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    vocabulary: &Vocabulary,
    (segment, rule): (Option<&SegmentId>, &Rule),
) -> Result<Plan, Error> {
    let references = in_force(conn, workspace, rule).await?;
    let schema = schema(vocabulary, closure(conn, workspace, references).await?);
    Ok(match segment {
        Some(id) => Plan::compile_segment(id.as_ref(), rule, &schema, Limits::default())?,
        None => Plan::compile(rule, &schema, Limits::default())?,
    })
}

/// The revisions in force of the segments that a rule refers to.
pub(crate) async fn in_force(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    rule: &Rule,
) -> Result<Vec<Revision>, Error> {
    let ids: Vec<String> = rule.references().into_iter().map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    store::segments::in_force(conn, workspace, &ids).await
}

/// Gives every segment that depends on a changed one its next revision, and returns all that are new, the changed one
/// first. The workspace is locked.
pub(crate) async fn follow(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    changed: Revision,
    now: DateTime<Utc>,
) -> Result<Vec<Revision>, Error> {
    let mut next = BTreeMap::from([(changed.segment.clone(), changed.number)]);
    let mut open = vec![changed.segment.clone()];
    let mut dependents = Vec::new();
    let mut new = vec![changed];
    while let Some(segment) = open.pop() {
        for dependent in store::segments::dependents(conn, workspace, &segment).await? {
            if next.contains_key(&dependent.segment) {
                continue;
            }
            next.insert(dependent.segment.clone(), dependent.number + 1);
            open.push(dependent.segment.clone());
            dependents.push(dependent);
        }
    }
    for (before, rule, mut references) in
        store::segments::rules(conn, workspace, &dependents).await?
    {
        for reference in &mut references {
            reference.number = next.get(&reference.segment).copied().unwrap_or(reference.number);
        }
        let revision = Revision { number: before.number + 1, ..before };
        let name = (workspace, &revision);
        store::segments::insert_revision(conn, name, &rule, &references, now).await?;
        store::segments::advance(conn, workspace, &revision, now).await?;
        new.push(revision);
    }
    Ok(new)
}

/// The rules of revisions and of all that these mean, by segment; of each segment there is one revision only.
async fn closure(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    revisions: Vec<Revision>,
) -> Result<BTreeMap<SegmentId, Rule>, Error> {
    let mut found = BTreeMap::new();
    let mut open: BTreeSet<Revision> = revisions.into_iter().collect();
    // One query for each level of references, of which the compiler allows few.
    while !open.is_empty() {
        let asked: Vec<Revision> = std::mem::take(&mut open).into_iter().collect();
        for (revision, rule, references) in store::segments::rules(conn, workspace, &asked).await? {
            found.insert(revision.segment, rule);
            open.extend(references);
        }
        open.retain(|revision| !found.contains_key(&revision.segment));
    }
    Ok(found)
}

fn schema(vocabulary: &Vocabulary, rules: BTreeMap<SegmentId, Rule>) -> Schema {
    let rules = rules.into_iter().map(|(id, rule)| (id.to_string(), rule));
    vocabulary.schema().clone().with_segments(rules)
}
