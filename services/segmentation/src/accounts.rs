//! Writing accounts and reading them.
//!
//! Two who write facts of the same contact must not overlook each other. Whoever changes an account or its deals locks
//! the account and then looks for its contacts; whoever moves a contact to an account shares a lock on that. So either
//! the one finds the contact or the other finds the change. Locks are taken in one order everywhere: the workspace,
//! deals, accounts, contacts, each kind by its ids.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cursus_ambient::Ambient;
use cursus_ids::{AccountId, AccountName, WorkspaceId};
use prost::Message;
use sqlx::{PgConnection, PgPool};

use crate::account::{Account, Draft, Holding, unknown};
use crate::asked::{Asked, Begin};
use crate::attribute::Vocabulary;
use crate::block::{BlockName, few};
use crate::contact;
use crate::contacts::Written;
use crate::error::{Error, What};
use crate::page::{self, Page};
use crate::refusal::Refusal;
use crate::store;

const LIST: &str = "accounts";

/// The accounts of workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pool: PgPool,
    ambient: Ambient,
}

impl Accounts {
    pub(crate) fn new(pool: PgPool, ambient: Ambient) -> Self {
        Self { pool, ambient }
    }

    /// Writes accounts in one transaction, all or none.
    pub(crate) async fn write(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let mut tx = self.pool.begin().await?;
        let written = self.write_in(&mut tx, (workspace, vocabulary), drafts).await?;
        let written = written.all_or_none()?;
        tx.commit().await?;
        Ok(written)
    }

    /// The same, but bad rows are refused one by one, and the others written.
    pub(crate) async fn write_each(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let mut tx = self.pool.begin().await?;
        let written = self.write_in(&mut tx, (workspace, vocabulary), drafts).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// Writes one account, and reads it.
    pub(crate) async fn write_one(
        &self,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        draft: Draft,
    ) -> Result<Account, Error> {
        let id = draft.id.clone();
        let written = self.write(workspace, vocabulary, vec![draft]).await;
        written.map_err(Error::of_only_row)?;
        self.get(&AccountName::new(workspace.clone(), id)).await
    }

    pub(crate) async fn get(&self, name: &AccountName) -> Result<Account, Error> {
        let found = self.get_many(&name.workspace, std::slice::from_ref(&name.id)).await?;
        found.into_iter().next().ok_or_else(|| Error::no_such(What::Account, name))
    }

    /// The accounts that exist, in the order asked for.
    pub(crate) async fn get_many(
        &self,
        workspace: &WorkspaceId,
        ids: &[AccountId],
    ) -> Result<Vec<Account>, Error> {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut conn = self.pool.acquire().await?;
        // Accounts first: the attributes that they carry are then known.
        let stored = store::accounts::by_id(&mut conn, workspace, &texts).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let mut found = HashMap::new();
        for stored in stored {
            let account = stored.into_account(workspace, &vocabulary)?;
            found.insert(account.name.id.clone(), account);
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    /// The accounts in the order of their ids.
    pub(crate) async fn list(
        &self,
        workspace: &WorkspaceId,
        (size, token): (i32, &str),
    ) -> Result<Page<Account>, Error> {
        let asked = page::Asked::new(LIST, size, token, page::USUAL)?;
        let after = asked.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(asked.size + 1).unwrap_or(i64::MAX);
        let mut conn = self.pool.acquire().await?;
        let stored = store::accounts::list(&mut conn, workspace, after, limit).await?;
        let vocabulary = store::attributes::all(&mut conn, workspace).await?;
        let accounts = stored.into_iter().map(|it| it.into_account(workspace, &vocabulary));
        let accounts = accounts.collect::<Result<Vec<_>, _>>()?;
        Ok(Page::new(LIST, &asked, accounts, |account| account.name.id.to_string()))
    }

    /// Deletes an account that nothing names.
    pub(crate) async fn delete(
        &self,
        name: &AccountName,
        asked: Asked<'_, impl Message>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx, &name.workspace).await? {
            Begin::Repeat(answer) => return Ok(answer),
            Begin::First(first) => first,
        };
        if !store::accounts::lock_to_delete(&mut tx, name).await? {
            return Err(Error::no_such(What::Account, name));
        }
        if store::accounts::is_named(&mut tx, name).await? {
            return Err(Error::AccountInUse(name.to_string()));
        }
        store::accounts::delete(&mut tx, name).await?;
        first.finish(&mut tx, &()).await?;
        Ok(tx.commit().await?)
    }

    /// Writes in the caller's transaction. What is said twice about one account is applied in order.
    async fn write_in(
        &self,
        tx: &mut PgConnection,
        (workspace, vocabulary): (&WorkspaceId, &Vocabulary),
        drafts: Vec<Draft>,
    ) -> Result<Written, Error> {
        let ids: BTreeSet<&str> = drafts.iter().map(|draft| draft.id.as_ref()).collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        if store::accounts::by_id(tx, workspace, &ids).await?.len() < ids.len() {
            store::lock_workspace(tx, workspace).await?;
        }
        let mut before = HashMap::new();
        for stored in store::accounts::lock(tx, workspace, &ids).await? {
            before.insert(stored.account_id.clone(), stored.holding()?);
        }
        let parents = drafts.iter().filter_map(|draft| draft.parent.value());
        let parents: Vec<String> = parents.map(ToString::to_string).collect();
        let mut known = store::accounts::hold(tx, workspace, &parents).await?;
        let mut written = Written::default();
        let mut after: BTreeMap<AccountId, Holding> = BTreeMap::new();
        for (row, draft) in drafts.into_iter().enumerate() {
            if let Some(parent) = draft.parent.value()
                && !known.contains(parent.as_ref())
            {
                written.refused.push((row, unknown(parent, "account.parent_account")));
                continue;
            }
            let id = draft.id.clone();
            known.insert(id.to_string());
            let held = before.get(id.as_ref());
            let is_new = held.is_none() && !after.contains_key(&id);
            let count = if is_new { &mut written.created } else { &mut written.updated };
            *count += 1;
            let holding = after.entry(id).or_insert_with(|| held.cloned().unwrap_or_default());
            draft.apply(holding);
        }
        self.store(tx, (workspace, vocabulary), &before, after).await?;
        Ok(written)
    }

    /// Writes what differs, and tells those who evaluate.
    async fn store(
        &self,
        tx: &mut PgConnection,
        (workspace, vocabulary): (&WorkspaceId, &Vocabulary),
        before: &HashMap<String, Holding>,
        after: BTreeMap<AccountId, Holding>,
    ) -> Result<(), Error> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for (id, holding) in after {
            match before.get(id.as_ref()) {
                None => new.push((id, holding)),
                Some(held) if *held == holding => {}
                Some(held) => {
                    names.extend(holding.differences(held, vocabulary));
                    changed.push((id, holding));
                }
            }
        }
        let now = self.ambient.now();
        if !new.is_empty() {
            store::accounts::insert(tx, workspace, new, now).await?;
        }
        if !changed.is_empty() {
            // A new account has no contacts yet.
            let accounts: Vec<String> = changed.iter().map(|(id, _)| id.to_string()).collect();
            store::accounts::update(tx, workspace, changed, now).await?;
            let names: Vec<String> = names.into_iter().collect();
            tell(tx, workspace, (&accounts, &[]), &names).await?;
        }
        Ok(())
    }
}

/// Tells those who evaluate that something changed for all contacts of some accounts, which are locked, and for some
/// contacts besides.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    (accounts, ordinals): (&[String], &[i32]),
    names: &[String],
) -> Result<(), Error> {
    let mut blocks = Vec::new();
    for (index, slots) in store::accounts::concerned(tx, workspace, accounts, ordinals).await? {
        let slots = slots.map(|slots| slots.into_iter().filter_map(|it| u16::try_from(it).ok()));
        let slots = slots.and_then(|slots| few(slots.collect()));
        blocks.push((BlockName::new(workspace.clone(), index), slots));
    }
    if !blocks.is_empty() {
        store::changes::insert(tx, workspace, &blocks, Some(names)).await?;
    }
    Ok(())
}

/// What is to be written about contacts without the rows that name an unknown account, each with its number. Until the transaction ends,
/// nobody else changes the accounts that the others name.
pub(crate) async fn joined(
    tx: &mut PgConnection,
    workspace: &WorkspaceId,
    drafts: Vec<contact::Draft>,
) -> Result<(Vec<(usize, contact::Draft)>, Vec<(usize, Refusal)>), Error> {
    let named = |draft: &contact::Draft| draft.account.value().map(ToString::to_string);
    let accounts: HashSet<String> = drafts.iter().filter_map(named).collect();
    if accounts.is_empty() {
        return Ok((drafts.into_iter().enumerate().collect(), Vec::new()));
    }
    let accounts: Vec<String> = accounts.into_iter().collect();
    let known = store::accounts::share(tx, workspace, &accounts).await?;
    let (mut kept, mut refused) = (Vec::with_capacity(drafts.len()), Vec::new());
    for (row, draft) in drafts.into_iter().enumerate() {
        match draft.account.value() {
            Some(account) if !known.contains(account.as_ref()) => {
                refused.push((row, unknown(account, "contact.account")));
            }
            _ => kept.push((row, draft)),
        }
    }
    Ok((kept, refused))
}
