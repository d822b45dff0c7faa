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
use crate::store::changes::Changed;
use crate::store::contacts::Stored;
use crate::transition::Cause;

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
    match lock(tx, workspace, (source, target)).await? {
        None => Ok(()),
        Some(pair) => join(tx, workspace, pair, now).await,
    }
}

/// The same, if the source is a contact of its own: one that became somebody is not given to somebody else. Says whether
/// there was something to merge.
pub(crate) async fn merge_own(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, target): (&ContactId, &ContactId),
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    match lock(tx, workspace, (source, target)).await {
        Ok(Some((from, into))) if from.contact_id == source.as_ref() => {
            join(tx, workspace, (from, into), now).await?;
            Ok(true)
        }
        Ok(_) | Err(Error::NoSuch { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks the contacts that two ids stand for, unless they are one.
async fn lock(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    (source, target): (&ContactId, &ContactId),
) -> Result<Option<(Stored, Stored)>, Error> {
    let missing = |id: &ContactId| {
        Error::no_such(What::Contact, &ContactName::new(workspace.clone(), id.clone()))
    };
    let ids = [source, target].map(ToString::to_string);
    for _ in 0..ATTEMPTS {
        let found = store::contacts::by_id(tx, workspace, &ids).await?;
        let stored = |id: &ContactId| {
            let found = found.iter().find(|(asked, _)| asked == id.as_ref());
            found.map(|(_, stored)| stored).ok_or_else(|| missing(id))
        };
        let (from, into) = (stored(source)?, stored(target)?);
        if from.ordinal == into.ordinal {
            return Ok(None);
        }
        // In the order of everybody: see `accounts`. The target may come to the source's account and deals.
        store::deal_contacts::lock(tx, workspace, from.ordinal).await?;
        let accounts: Vec<String> = from.account_id.iter().cloned().collect();
        store::accounts::share(tx, workspace, &accounts).await?;
        let ordinals = [from.ordinal, into.ordinal];
        let locked = store::contacts::lock_departing(tx, workspace, &ordinals).await?;
        if let Ok([one, other]) = <[Stored; 2]>::try_from(locked) {
            let pair = if one.ordinal == from.ordinal { (one, other) } else { (other, one) };
            if pair.0.account_id == from.account_id {
                return Ok(Some(pair));
            }
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
    target.account_id = holding.account.map(Into::into);
    target.create_time = target.create_time.min(source.create_time);
    target.update_time = now;
    store::contacts::delete(tx, workspace, source.ordinal).await?;
    store::contacts::update_merged(tx, workspace, &target).await?;
    let became = (source.ordinal, source.contact_id.as_str());
    store::departures::insert_merged(tx, workspace, became, target.ordinal).await?;
    let names = store::events::names(tx, workspace).await?;
    store::events::give(tx, workspace, &names, (source.ordinal, target.ordinal)).await?;
    store::deal_contacts::give(tx, workspace, (source.ordinal, target.ordinal)).await?;
    let blocks = block::changed(workspace, [source.ordinal, target.ordinal]);
    let changed = Changed::each(None, &blocks);
    store::changes::insert_caused(tx, workspace, &changed, Cause::ContactMerged).await?;
    Ok(store::containers::notify(tx, workspace).await?)
}
