//! Queries about which deals name a contact that departs.

use cursus_ids::WorkspaceId;
use sqlx::PgConnection;

/// Locks the deals that name a contact, in the order of their ids.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "select from deals
         where workspace_id = $1
             and deal_id in (
                 select deal_id from deal_contacts where workspace_id = $1 and ordinal = $2)
         order by deal_id
         for no key update",
        workspace.as_ref(),
        ordinal,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the deals that name a contact name another.
pub(crate) async fn give(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, target): (i32, i32),
) -> sqlx::Result<()> {
    sqlx::query!(
        "with given as (
             delete from deal_contacts where workspace_id = $1 and ordinal = $2 returning deal_id
         )
         insert into deal_contacts (workspace_id, deal_id, ordinal)
         select $1, deal_id, $3 from given
         on conflict do nothing",
        workspace.as_ref(),
        source,
        target,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has no deal name a contact any more.
pub(crate) async fn withdraw(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    ordinal: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from deal_contacts where workspace_id = $1 and ordinal = $2",
        workspace.as_ref(),
        ordinal,
    )
    .execute(conn)
    .await?;
    Ok(())
}
