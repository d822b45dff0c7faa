//! Making two contacts of one person one. The source's id stands for the target from then on; its ordinal is nobody's.
//!
//! Everything happens in one transaction, the events' move included, so that nobody ever sees a half: what is recorded
//! for either contact meanwhile waits for it and then goes to the target. The blocks of both are marked as changed;
//! membership follows in the background as for any change. Snapshots stay as they are: see `snapshots`.

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_ids::{ContactId, ContactName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::asked::{Asked, Begin};
use crate::block;
use crate::error::{Error, What};
use crate::ordinals::Ordinals;
use crate::packed;
use crate::store;
use crate::store::contacts::Stored;

/// How often one of the two may depart between being found and being locked.
const ATTEMPTS: u32 = 4;

/// Merges contacts of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Merges {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) ordinals: Ordinals,
}

impl Merges {
    /// Merges once, however often it is asked. No answer is kept for repetitions: it would hold the contact, and
    /// outlive its erasure.
    pub(crate) async fn merge(
        &self,
        workspace: &WorkspaceId,
        pair: (&ContactId, &ContactId),
        asked: Asked<'_, impl Message>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin::<()>(&mut tx, workspace).await? {
            Begin::Repeat(()) => return Ok(()),
            Begin::First(first) => first,
        };
        merge(&mut tx, workspace, pair, self.ambient.now()).await?;
        first.finish(&mut tx, &()).await?;
        tx.commit().await?;
        // The other replicas hear of it; this one answers for the target at once.
        let mut conn = self.pool.acquire().await?;
        self.ordinals.refresh(&mut conn).await
    }
}

/// Merges in the caller's transaction: best before anything else is written in it, for both contacts are locked here, and
/// those who lock contacts in another order may be in each other's way. Two ids that stand for one contact already are
/// merged.
pub(crate) async fn merge(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, target): (&ContactId, &ContactId),
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if source == target {
        return Err(Error::invalid("source", "is the target itself; name two contacts"));
    }
    let missing = |id: &ContactId| {
        Error::no_such(What::Contact, &ContactName::new(workspace.clone(), id.clone()))
    };
    let ids = [source, target].map(ToString::to_string);
    for _ in 0..ATTEMPTS {
        let found = store::contacts::ordinals(tx, workspace, &ids).await?;
        let ordinal = |id: &ContactId| {
            let found = found.iter().find(|(asked, _)| asked == id.as_ref());
            found.map(|(_, ordinal)| *ordinal).ok_or_else(|| missing(id))
        };
        let (from, into) = (ordinal(source)?, ordinal(target)?);
        if from == into {
            return Ok(());
        }
        let locked = store::contacts::lock_departing(tx, workspace, &[from, into]).await?;
        if let Ok([one, other]) = <[Stored; 2]>::try_from(locked) {
            let (from, into) = if one.ordinal == from { (one, other) } else { (other, one) };
            return join(tx, workspace, (from, into), now).await;
        }
    }
    Err(Error::Contended)
}

/// Gives everything of one contact to another. Both are locked.
async fn join(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, mut target): (Stored, Stored),
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut holding = target.holding()?;
    holding.absorb(source.holding()?);
    target.attributes = packed::pack_attributes(&holding.attributes);
    target.email = holding.email;
    target.create_time = target.create_time.min(source.create_time);
    target.update_time = now;
    store::contacts::delete(tx, workspace, source.ordinal).await?;
    store::contacts::update_merged(tx, workspace, &target).await?;
    let became = (source.ordinal, source.contact_id.as_str());
    store::departures::insert_merged(tx, workspace, became, target.ordinal).await?;
    let names = store::events::names(tx, workspace).await?;
    store::events::give(tx, workspace, &names, (source.ordinal, target.ordinal)).await?;
    let blocks = block::changed(workspace, [source.ordinal, target.ordinal]);
    store::blocks::insert_changes(tx, workspace, &blocks, None).await?;
    Ok(store::containers::notify(tx, workspace).await?)
}
