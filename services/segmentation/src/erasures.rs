//! Erasing contacts. The contact disappears in the transaction that is asked for it; what is left of it elsewhere is erased
//! by `worker::erasing`, and the receipt says when nothing is left.

use std::collections::HashSet;

use cursus_ambient::Ambient;
use cursus_ids::{ContactId, ContactName, ErasureName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::asked::{Asked, Begin};
use crate::block;
use crate::erasure::{self, Counts, Erasure};
use crate::error::{Error, What};
use crate::ordinals::Ordinals;
use crate::page::{self, Page};
use crate::store;
use crate::store::changes::Changed;
use crate::transition::Cause;

const LIST: &str = "erasures";
/// How often a contact may be merged between being found and being locked.
const ATTEMPTS: u32 = 4;

/// The erasures of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Erasures {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) ordinals: Ordinals,
}

impl Erasures {
    /// Erases a contact; one that was erased before has its receipt already.
    pub(crate) async fn erase<R>(
        &self,
        contact: &ContactName,
        requested_by: &str,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Erasure>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &contact.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let answer = R::from(self.erase_in(&mut tx, contact, requested_by).await?);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        // The other replicas hear of it; this one has promised it.
        let mut conn = self.pool.acquire().await?;
        self.ordinals.refresh(&mut conn).await?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, name: &ErasureName) -> Result<Erasure, Error> {
        let missing = || Error::no_such(What::Erasure, name);
        let id = erasure::number(name).ok_or_else(missing)?;
        let mut conn = self.pool.acquire().await?;
        store::erasures::get(&mut conn, &name.workspace, id).await?.ok_or_else(missing)
    }

    /// Receipts in the order in which they were asked for.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Erasure>, Error> {
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let malformed = |_| Error::invalid("page_token", "is not one of this list");
        let after = asked.after.as_deref().map(str::parse).transpose().map_err(malformed)?;
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let erasures =
            store::erasures::list(&mut conn, workspace, after.unwrap_or_default(), limit).await?;
        Ok(Page::new(LIST, &asked, erasures, |erasure| erasure.id.to_string()))
    }

    /// The workspace is locked first, as by those who add contacts, so that nobody adds the contact again unnoticed.
    async fn erase_in(
        &self,
        tx: &mut PgConnection,
        contact: &ContactName,
        requested_by: &str,
    ) -> Result<Erasure, Error> {
        let workspace = &contact.workspace;
        let salt = self.ambient.seed_bytes::<32>();
        let salt = store::erasures::lock_salt(tx, workspace, &salt).await?;
        let asked = [contact.id.to_string()];
        for _ in 0..ATTEMPTS {
            let found = store::contacts::ordinals(tx, workspace, &asked).await?;
            let Some((_, ordinal)) = found.first() else {
                let hash = salt.hash(contact.id.as_ref());
                let before = store::erasures::of(tx, workspace, &hash).await?;
                return before.ok_or_else(|| Error::no_such(What::Contact, contact));
            };
            // In the order of everybody: see `accounts`.
            store::deal_contacts::lock(tx, workspace, *ordinal).await?;
            let locked = store::contacts::lock_departing(tx, workspace, &[*ordinal]).await?;
            let Some(stored) = locked.into_iter().next() else { continue };
            store::contacts::delete(tx, workspace, stored.ordinal).await?;
            store::deal_contacts::withdraw(tx, workspace, stored.ordinal).await?;
            let mut ids = store::departures::insert_erased(tx, workspace, stored.ordinal).await?;
            let erasure = Erasure {
                workspace: workspace.clone(),
                id: self.ambient.mint(),
                requested_by: requested_by.to_owned(),
                create_time: self.ambient.now(),
                complete_time: None,
                contact_hash: salt.hash(&stored.contact_id),
                counts: Counts {
                    aliases: i64::try_from(ids.len()).unwrap_or(i64::MAX),
                    ..Counts::default()
                },
            };
            ids.push(stored.contact_id);
            let hashes: Vec<Vec<u8>> = ids.iter().map(|id| salt.hash(id)).collect();
            store::erasures::insert(tx, &erasure, stored.ordinal, &ids).await?;
            store::erasures::insert_ids(tx, &erasure, &hashes).await?;
            let blocks = block::changed(workspace, [stored.ordinal]);
            let cause = Cause::ContactErased;
            store::changes::insert_caused(tx, workspace, &Changed::each(None, &blocks), cause)
                .await?;
            store::containers::notify(tx, workspace).await?;
            return Ok(erasure);
        }
        Err(Error::Contended)
    }
}

/// Those of some ids that were erased. The workspace is locked, so that none is erased meanwhile.
pub(crate) async fn among<'a>(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    ids: impl Iterator<Item = &'a ContactId>,
) -> Result<HashSet<ContactId>, Error> {
    let Some(salt) = store::erasures::salt(tx, workspace).await? else {
        return Ok(HashSet::new());
    };
    let (ids, hashes): (Vec<&ContactId>, Vec<Vec<u8>>) =
        ids.map(|id| (id, salt.hash(id.as_ref()))).unzip();
    let erased: HashSet<Vec<u8>> =
        store::erasures::erased(tx, workspace, &hashes).await?.into_iter().collect();
    let found = ids.into_iter().zip(&hashes).filter(|(_, hash)| erased.contains(*hash));
    Ok(found.map(|(id, _)| id.clone()).collect())
}
