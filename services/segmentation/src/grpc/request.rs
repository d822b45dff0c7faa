//! What many requests have in common: a parent to enter, names to read, rows to count.

use std::collections::HashSet;

use cursus_chassis::Caller;
use cursus_ids::{ContactName, SegmentName, WorkspaceId, parse_parent};
use tonic::Status;

use super::convert;
use crate::error::Error;
use crate::refusal::Refusal;

/// The most rows of one request.
pub(super) const MOST_AT_ONCE: usize = 1_000;

/// Reads the parent of a request, and refuses a workspace that is not the caller's.
pub(super) fn enter(caller: &Caller, parent: &str) -> Result<WorkspaceId, Status> {
    let workspace = parse_parent(parent).map_err(Error::name("parent"))?;
    caller.enter(&workspace)?;
    Ok(workspace)
}

pub(super) fn segment(caller: &Caller, name: &str, field: &str) -> Result<SegmentName, Status> {
    let name: SegmentName = name.parse().map_err(Error::name(field))?;
    caller.enter(&name.workspace)?;
    Ok(name)
}

/// Reads the contacts of a workspace that a request asks about.
pub(super) fn contacts(
    told: &[String],
    workspace: &WorkspaceId,
    field: &str,
) -> Result<Vec<ContactName>, Error> {
    names(told, field, |name, field| convert::contact_of(name, workspace, field))
}

/// Reads what a request asks about, each by its name.
pub(super) fn names<T>(
    names: &[String],
    field: &str,
    read: impl Fn(&str, &str) -> Result<T, Refusal>,
) -> Result<Vec<T>, Error> {
    at_most(MOST_AT_ONCE, names.len(), field)?;
    let read = |(index, name): (usize, &String)| {
        read(name, &format!("{field}[{index}]"))
            .map_err(|refusal| Error::invalid(refusal.field, refusal.message))
    };
    names.iter().enumerate().map(read).collect()
}

/// Reads every row, or names the first that is refused.
pub(super) fn rows<T, U>(
    told: Vec<T>,
    mut read: impl FnMut(T) -> Result<U, Refusal>,
) -> Result<Vec<U>, Error> {
    let read =
        |(row, told)| read(told).map_err(|refusal| Error::Refused { row: Some(row), refusal });
    told.into_iter().enumerate().map(read).collect()
}

pub(super) fn at_most(limit: usize, count: usize, field: &str) -> Result<(), Error> {
    if count <= limit {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("send at most {limit} at once")))
    }
}

pub(super) fn each_once<'a>(ids: impl Iterator<Item = &'a str>, field: &str) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (row, id) in ids.enumerate() {
        if !seen.insert(id) {
            let refusal = Refusal::invalid(field, format!("`{id}` is written twice"));
            return Err(Error::Refused { row: Some(row), refusal });
        }
    }
    Ok(())
}
