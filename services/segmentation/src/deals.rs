//! Writing deals and reading them. A contact's deals are those that name it and those of its account, each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cursus_ambient::Ambient;
use cursus_audience::DEALS;
use cursus_ids::{ContactId, DealId, DealName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::account::unknown;
use crate::accounts::tell;
use crate::asked::{Asked, Begin};
use crate::contacts::Written;
use crate::deal::{Deal, Draft, Holding, MOST_OF_ACCOUNT};
use crate::edit::Edit;
use crate::error::{Error, What};
use crate::ordinals::{self, Held};
use crate::page::{self, Page};
use crate::refusal::{Reason, Refusal};
use crate::store;

const LIST: &str = "deals";

/// The deals of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Deals {
    pool: PgPool,
    ambient: Ambient,
}

/// What rows are applied to, while everything that they concern is locked.
struct Desk {
    before: HashMap<String, Holding>,
    after: BTreeMap<DealId, Holding>,
    /// The contacts that rows name; they stay until the deals are written.
    contacts: HashMap<String, Held>,
    /// How many deals each account has that rows name, or that has a deal named by a row.
    accounts: HashMap<String, i64>,
}

impl Deals {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// Writes deals in one transaction, all or none.
    pub(crate) async fn write(
        &self,
        workspace: &WorkspaceId,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let mut tx = self.pool.begin().await?;
        let written = self.write_in(&mut tx, workspace, drafts).await?.all_or_none()?;
        tx.commit().await?;
        Ok(written)
    }

    /// The same, but bad rows are refused one by one, and the others written.
    pub(crate) async fn write_each(
        &self,
        workspace: &WorkspaceId,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let mut tx = self.pool.begin().await?;
        let written = self.write_in(&mut tx, workspace, drafts).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// Writes one deal, and reads it.
    pub(crate) async fn write_one(
        &self,
        workspace: &WorkspaceId,
        draft: Draft,
    ) -> Result<Deal, Error> {
        let id = draft.id.clone();
        self.write(workspace, vec![draft]).await.map_err(Error::of_only_row)?;
        self.get(&DealName::new(workspace.clone(), id)).await
    }

    pub(crate) async fn get(&self, name: &DealName) -> Result<Deal, Error> {
        let found = self.get_many(&name.workspace, std::slice::from_ref(&name.id)).await?;
        found.into_iter().next().ok_or_else(|| Error::no_such(What::Deal, name))
    }

    /// The deals that exist, in the order asked for.
    pub(crate) async fn get_many(
        &self,
        workspace: &WorkspaceId,
        ids: &[DealId],
    ) -> Result<Vec<Deal>, Error> {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conn = self.pool.acquire().await?;
        // Deals first: the properties that they carry are then known.
        let stored = store::deals::by_id(&mut conn, workspace, &texts).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let mut found = HashMap::new();
        for stored in stored {
            let deal = stored.into_deal(workspace, &vocabulary)?;
            found.insert(deal.name.id.clone(), deal);
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    /// The deals in the order of their ids.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Deal>, Error> {
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let stored = store::deals::list(&mut conn, workspace, after, limit).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let deals = stored.into_iter().map(|stored| stored.into_deal(workspace, &vocabulary));
        let deals = deals.collect::<Result<Vec<_>, _>>()?;
        Ok(Page::new(LIST, &asked, deals, |deal| deal.name.id.to_string()))
    }

    pub(crate) async fn delete(
        &self,
        name: &DealName,
        asked: Asked<'_, impl Message>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        let ids = [name.id.to_string()];
        let held = store::deals::lock(&mut tx, &name.workspace, &ids).await?;
        let Some((_, holding)) = held.into_iter().next() else {
            return Err(Error::no_such(What::Deal, name));
        };
        let accounts: Vec<String> = holding.account.iter().map(ToString::to_string).collect();
        store::accounts::lock(&mut tx, &name.workspace, &accounts).await?;
        store::deals::delete(&mut tx, name).await?;
        let ordinals: Vec<i32> = holding.contacts.into_iter().collect();
        tell(&mut tx, &name.workspace, (&accounts, &ordinals), &[DEALS.to_owned()]).await?;
        first.finish(&mut tx, &()).await?;
        Ok(tx.commit().await?)
    }

    /// Writes in the caller's transaction. What is said twice about one deal is applied in order.
    async fn write_in(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let mut desk = self.desk(tx, workspace, &drafts).await?;
        let now = self.ambient.now();
        let mut written = Written::default();
        for (row, draft) in drafts.into_iter().enumerate() {
            let id = draft.id.clone();
            let held = desk.held(&id);
            let is_new = held.is_none();
            let applied = desk.contacts(&draft.contacts).and_then(|contacts| {
                let holding = draft.applied(held, contacts, now)?;
                desk.admits(held, &holding)?;
                Ok(holding)
            });
            match applied {
                Ok(holding) => {
                    let count = if is_new { &mut written.created } else { &mut written.updated };
                    *count += 1;
                    desk.put(id, holding);
                }
                Err(refusal) => written.refused.push((row, refusal)),
            }
        }
        desk.store(tx, workspace, now).await?;
        Ok(written)
    }

    /// Locks and reads everything that rows concern.
    async fn desk(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        drafts: &[Draft],
    ) -> Result<Desk, Error> {
        let ids: BTreeSet<&str> = drafts.iter().map(|draft| draft.id.as_ref()).collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        if store::deals::known(tx, workspace, &ids).await? < ids.len() {
            store::lock_workspace(tx, workspace).await?;
        }
        let before: HashMap<String, Holding> =
            store::deals::lock(tx, workspace, &ids).await?.into_iter().collect();
        let held = before.values().filter_map(|holding| holding.account.as_ref());
        let named = drafts.iter().filter_map(|draft| draft.account.value());
        let accounts: BTreeSet<&str> = held.chain(named).map(AsRef::as_ref).collect();
        let accounts: Vec<String> = accounts.into_iter().map(str::to_owned).collect();
        // Counted under the lock, without which nobody gives an account another deal.
        store::accounts::lock(tx, workspace, &accounts).await?;
        let accounts = store::deals::counts(tx, workspace, &accounts).await?;
        let named: BTreeSet<&ContactId> =
            drafts.iter().filter_map(|draft| draft.contacts.value()).flatten().collect();
        let named = named.into_iter().map(ToString::to_string).collect();
        let contacts = ordinals::hold(tx, workspace, named).await?;
        let accounts = accounts.into_iter().collect();
        Ok(Desk { before, after: BTreeMap::new(), contacts, accounts })
    }
}

impl Desk {
    /// What a deal holds by now.
    fn held(&self, id: &DealId) -> Option<&Holding> {
        self.after.get(id).or_else(|| self.before.get(id.as_ref()))
    }

    /// The ordinals of the contacts that a row names.
    fn contacts(&self, named: &Edit<Vec<ContactId>>) -> Result<Edit<BTreeSet<i32>>, Refusal> {
        let ordinal = |(index, id): (usize, &ContactId)| {
            self.contacts.get(id.as_ref()).map(|held| held.ordinal).ok_or_else(|| {
                let message = format!("no contact `{id}` is known; write it first");
                Refusal::new(Reason::UnknownContact, format!("deal.contacts[{index}]"), message)
            })
        };
        Ok(match named {
            Edit::Keep => Edit::Keep,
            Edit::Remove => Edit::Remove,
            Edit::Set(ids) => {
                Edit::Set(ids.iter().enumerate().map(ordinal).collect::<Result<_, _>>()?)
            }
        })
    }

    /// Whether the account that a deal comes to is known and has room for it.
    fn admits(&self, held: Option<&Holding>, holding: &Holding) -> Result<(), Refusal> {
        let Some(account) = &holding.account else { return Ok(()) };
        if held.is_some_and(|held| held.account.as_ref() == Some(account)) {
            return Ok(());
        }
        match self.accounts.get(account.as_ref()) {
            None => Err(unknown(account, "deal.account")),
            Some(count) if *count >= MOST_OF_ACCOUNT => {
                let message = format!("`{account}` has {count} deals; delete some of them first");
                Err(Refusal::new(Reason::TooManyDeals, "deal.account", message))
            }
            Some(_) => Ok(()),
        }
    }

    fn put(&mut self, id: DealId, holding: Holding) {
        let left = self.held(&id).and_then(|held| held.account.clone());
        if left != holding.account {
            for (account, change) in [(&left, -1), (&holding.account, 1)] {
                if let Some(account) = account {
                    *self.accounts.entry(account.to_string()).or_default() += change;
                }
            }
        }
        self.after.insert(id, holding);
    }

    /// Writes what differs, and tells those who evaluate: of every contact that had a deal or has it now.
    async fn store(
        mut self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), Error> {
        self.after.retain(|id, holding| self.before.get(id.as_ref()) != Some(holding));
        if self.after.is_empty() {
            return Ok(());
        }
        let (mut accounts, mut ordinals) = (BTreeSet::new(), BTreeSet::new());
        for (id, holding) in &self.after {
            for holding in self.before.get(id.as_ref()).into_iter().chain([holding]) {
                accounts.extend(holding.account.as_ref().map(ToString::to_string));
                ordinals.extend(&holding.contacts);
            }
        }
        store::deals::write(tx, workspace, self.after, now).await?;
        let accounts: Vec<String> = accounts.into_iter().collect();
        let ordinals: Vec<i32> = ordinals.into_iter().collect();
        tell(tx, workspace, (&accounts, &ordinals), &[DEALS.to_owned()]).await
    }
}
