//! The contract's accounts and deals and what this service means by them.

use chrono::SubsecRound;
use cursus_api::segmentation as proto;
use cursus_ids::{AccountId, AccountName, ContactId, DealId, DealName, WorkspaceId};

use crate::account::{self, Account};
use crate::deal::{self, Deal};
use crate::edit::Edit;
use crate::grpc::convert::{contact_of, encode_refusal, encode_values, foreign, named_values};
use crate::grpc::rule;
use crate::imports::Imported;
use crate::refusal::Refusal;

/// An account of the workspace, as told; the workspace's attributes are not known here.
pub(crate) fn account(
    told: proto::Account,
    workspace: &WorkspaceId,
) -> Result<account::Told, Refusal> {
    Ok(account::Told {
        id: account_of(&told.name, workspace, "account.name")?,
        display_name: told.display_name,
        parent: reference(&told.parent_account, workspace, "account.parent_account")?,
        attributes: named_values(told.attributes, "account.attributes")?,
    })
}

/// A deal of the workspace, as told; the workspace's attributes are not known here.
pub(crate) fn deal(told: proto::Deal, workspace: &WorkspaceId) -> Result<deal::Told, Refusal> {
    Ok(deal::Told {
        id: deal_of(&told.name, workspace, "deal.name")?,
        account: reference(&told.account, workspace, "deal.account")?,
        contacts: contacts(&told.contacts, workspace)?,
        stage: told.stage,
        amount: told.amount,
        currency_code: told.currency_code,
        create_time: told.create_time.map(|time| moment(time, "deal.create_time")).transpose()?,
        close_time: told.close_time.map(|time| moment(time, "deal.close_time")).transpose()?,
        properties: named_values(told.properties, "deal.properties")?,
    })
}

/// What a row says about an account that it names: nothing, that there is none, or which.
pub(crate) fn reference(
    name: &str,
    workspace: &WorkspaceId,
    field: &str,
) -> Result<Edit<AccountId>, Refusal> {
    if name.is_empty() {
        return Ok(Edit::Keep);
    }
    if name == format!("workspaces/{workspace}/accounts/-") {
        return Ok(Edit::Remove);
    }
    account_of(name, workspace, field).map(Edit::Set)
}

/// An account's name in a row, which must be of the workspace that the rows are for.
pub(crate) fn account_of(
    name: &str,
    workspace: &WorkspaceId,
    field: &str,
) -> Result<AccountId, Refusal> {
    let name: AccountName = name.parse().map_err(|error| Refusal::invalid(field, error))?;
    if name.workspace == *workspace { Ok(name.id) } else { Err(foreign(workspace, field)) }
}

/// The same of a deal.
pub(crate) fn deal_of(name: &str, workspace: &WorkspaceId, field: &str) -> Result<DealId, Refusal> {
    let name: DealName = name.parse().map_err(|error| Refusal::invalid(field, error))?;
    if name.workspace == *workspace { Ok(name.id) } else { Err(foreign(workspace, field)) }
}

fn contacts(names: &[String], workspace: &WorkspaceId) -> Result<Edit<Vec<ContactId>>, Refusal> {
    let read = |(index, name): (usize, &String)| {
        let field = format!("deal.contacts[{index}]");
        contact_of(name, workspace, &field).map(|name| name.id)
    };
    match names {
        [] => Ok(Edit::Keep),
        [one] if *one == format!("workspaces/{workspace}/contacts/-") => Ok(Edit::Remove),
        names => Ok(Edit::Set(names.iter().enumerate().map(read).collect::<Result<_, _>>()?)),
    }
}

fn moment(
    time: prost_types::Timestamp,
    field: &str,
) -> Result<chrono::DateTime<chrono::Utc>, Refusal> {
    let moment = rule::moment(time).map(|time| time.trunc_subsecs(6));
    moment.ok_or_else(|| Refusal::invalid(field, "use a time from the year 1 to 9999"))
}

impl From<Account> for proto::Account {
    fn from(account: Account) -> Self {
        Self {
            name: account.name.to_string(),
            display_name: account.display_name,
            parent_account: account.parent.map(Into::into).unwrap_or_default(),
            attributes: encode_values(&account.attributes),
            create_time: Some(rule::encode_moment(account.create_time)),
            update_time: Some(rule::encode_moment(account.update_time)),
        }
    }
}

impl From<Deal> for proto::Deal {
    fn from(deal: Deal) -> Self {
        Self {
            name: deal.name.to_string(),
            account: deal.account.map(Into::into).unwrap_or_default(),
            contacts: deal.contacts.into_iter().map(Into::into).collect(),
            stage: deal.terms.stage,
            amount: deal.terms.amount,
            currency_code: deal.terms.currency_code.unwrap_or_default(),
            create_time: Some(rule::encode_moment(deal.terms.create_time)),
            close_time: deal.terms.close_time.map(rule::encode_moment),
            properties: encode_values(&deal.properties),
            update_time: Some(rule::encode_moment(deal.update_time)),
        }
    }
}

impl From<Imported> for proto::ImportAccountsResponse {
    fn from(imported: Imported) -> Self {
        Self {
            created_count: imported.new,
            updated_count: imported.known,
            refused_count: imported.refused,
            refusals: imported.refusals.into_iter().map(encode_refusal).collect(),
        }
    }
}

impl From<Imported> for proto::ImportDealsResponse {
    fn from(imported: Imported) -> Self {
        Self {
            created_count: imported.new,
            updated_count: imported.known,
            refused_count: imported.refused,
            refusals: imported.refusals.into_iter().map(encode_refusal).collect(),
        }
    }
}
