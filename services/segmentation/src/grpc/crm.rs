//! The contract about accounts and deals: admit the caller, read what is asked, ask, and tell the answer.

pub(crate) mod convert;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::crm_service_server::CrmService;
use cursus_chassis::{Caller, Role};
use cursus_ids::{AccountName, DealName};
use tonic::{Request, Response, Streaming};

use self::convert::{account_of, deal_of};
use super::Answer;
use super::request::{MOST_AT_ONCE, at_most, each_once, enter, names, rows};
use super::stream::{MOST_IN_A_PART, Parent};
use crate::account;
use crate::accounts::Accounts;
use crate::asked::Asked;
use crate::contacts::Contacts;
use crate::deal;
use crate::deals::Deals;
use crate::error::Error;
use crate::imports::Imported;
use crate::metrics;
use crate::page::Page;

/// Answers gRPC requests about accounts and deals.
#[derive(Clone, Debug)]
pub(crate) struct Crm {
    pub(crate) accounts: Accounts,
    pub(crate) deals: Deals,
    pub(crate) contacts: Contacts,
}

#[tonic::async_trait]
impl CrmService for Crm {
    async fn update_account(
        &self,
        request: Request<proto::UpdateAccountRequest>,
    ) -> Answer<proto::Account> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let told = request.account.unwrap_or_default();
        let name: AccountName = told.name.parse().map_err(Error::name("account.name"))?;
        caller.enter(&name.workspace)?;
        let refused = |refusal| Error::Refused { row: None, refusal };
        let told = convert::account(told, &name.workspace).map_err(refused)?;
        let vocabulary = self.contacts.vocabulary(&name.workspace).await?;
        let draft = account::Draft::check(told, &vocabulary).map_err(refused)?;
        let written = self.accounts.write_one(&name.workspace, &vocabulary, draft).await?;
        Ok(Response::new(written.into()))
    }

    async fn batch_update_accounts(
        &self,
        request: Request<proto::BatchUpdateAccountsRequest>,
    ) -> Answer<proto::BatchUpdateAccountsResponse> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        at_most(MOST_AT_ONCE, request.accounts.len(), "accounts")?;
        let vocabulary = self.contacts.vocabulary(&workspace).await?;
        let drafts: Vec<account::Draft> = rows(request.accounts, |told| {
            account::Draft::check(convert::account(told, &workspace)?, &vocabulary)
        })?;
        each_once(drafts.iter().map(|draft| draft.id.as_ref()), "account.name")?;
        let written = self.accounts.write(&workspace, &vocabulary, drafts).await?;
        metrics::rows("account", written.created + written.updated);
        Ok(Response::new(proto::BatchUpdateAccountsResponse {
            created_count: written.created,
            updated_count: written.updated,
        }))
    }

    async fn import_accounts(
        &self,
        request: Request<Streaming<proto::ImportAccountsRequest>>,
    ) -> Answer<proto::ImportAccountsResponse> {
        let (caller, mut parts) = Caller::admit(request, Role::Editor)?;
        let mut imported = Imported::default();
        let mut parent = Parent::default();
        while let Some(part) = parts.message().await? {
            let workspace = parent.of(&caller, part.parent)?;
            at_most(MOST_IN_A_PART, part.accounts.len(), "accounts")?;
            let rows = part.accounts.into_iter().map(|told| convert::account(told, &workspace));
            let target = (&self.accounts, &self.contacts);
            imported.accounts(target, &workspace, rows.collect()).await?;
        }
        metrics::rows("account", imported.new + imported.known);
        metrics::rows("refused", imported.refused);
        Ok(Response::new(imported.into()))
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Answer<proto::Account> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: AccountName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.accounts.get(&name).await?.into()))
    }

    async fn batch_get_accounts(
        &self,
        request: Request<proto::BatchGetAccountsRequest>,
    ) -> Answer<proto::BatchGetAccountsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let ids =
            names(&request.names, "names", |name, field| account_of(name, &workspace, field))?;
        let found = self.accounts.get_many(&workspace, &ids).await?;
        let accounts = found.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::BatchGetAccountsResponse { accounts }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Answer<proto::ListAccountsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.accounts.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListAccountsResponse {
            accounts: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn delete_account(&self, request: Request<proto::DeleteAccountRequest>) -> Answer<()> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: AccountName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        let asked = Asked { id: &request.request_id, method: "DeleteAccount", body: &request };
        Ok(Response::new(self.accounts.delete(&name, asked).await?))
    }

    async fn update_deal(&self, request: Request<proto::UpdateDealRequest>) -> Answer<proto::Deal> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let told = request.deal.unwrap_or_default();
        let name: DealName = told.name.parse().map_err(Error::name("deal.name"))?;
        caller.enter(&name.workspace)?;
        let refused = |refusal| Error::Refused { row: None, refusal };
        let told = convert::deal(told, &name.workspace).map_err(refused)?;
        let vocabulary = self.contacts.vocabulary(&name.workspace).await?;
        let draft = deal::Draft::check(told, &vocabulary).map_err(refused)?;
        Ok(Response::new(self.deals.write_one(&name.workspace, draft).await?.into()))
    }

    async fn batch_update_deals(
        &self,
        request: Request<proto::BatchUpdateDealsRequest>,
    ) -> Answer<proto::BatchUpdateDealsResponse> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let workspace = enter(&caller, &request.parent)?;
        at_most(MOST_AT_ONCE, request.deals.len(), "deals")?;
        let vocabulary = self.contacts.vocabulary(&workspace).await?;
        let drafts: Vec<deal::Draft> = rows(request.deals, |told| {
            deal::Draft::check(convert::deal(told, &workspace)?, &vocabulary)
        })?;
        each_once(drafts.iter().map(|draft| draft.id.as_ref()), "deal.name")?;
        let written = self.deals.write(&workspace, drafts).await?;
        metrics::rows("deal", written.created + written.updated);
        Ok(Response::new(proto::BatchUpdateDealsResponse {
            created_count: written.created,
            updated_count: written.updated,
        }))
    }

    async fn import_deals(
        &self,
        request: Request<Streaming<proto::ImportDealsRequest>>,
    ) -> Answer<proto::ImportDealsResponse> {
        let (caller, mut parts) = Caller::admit(request, Role::Editor)?;
        let mut imported = Imported::default();
        let mut parent = Parent::default();
        while let Some(part) = parts.message().await? {
            let workspace = parent.of(&caller, part.parent)?;
            at_most(MOST_IN_A_PART, part.deals.len(), "deals")?;
            let rows = part.deals.into_iter().map(|told| convert::deal(told, &workspace));
            imported.deals((&self.deals, &self.contacts), &workspace, rows.collect()).await?;
        }
        metrics::rows("deal", imported.new + imported.known);
        metrics::rows("refused", imported.refused);
        Ok(Response::new(imported.into()))
    }

    async fn get_deal(&self, request: Request<proto::GetDealRequest>) -> Answer<proto::Deal> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name: DealName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        Ok(Response::new(self.deals.get(&name).await?.into()))
    }

    async fn batch_get_deals(
        &self,
        request: Request<proto::BatchGetDealsRequest>,
    ) -> Answer<proto::BatchGetDealsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let ids = names(&request.names, "names", |name, field| deal_of(name, &workspace, field))?;
        let found = self.deals.get_many(&workspace, &ids).await?;
        let deals = found.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::BatchGetDealsResponse { deals }))
    }

    async fn list_deals(
        &self,
        request: Request<proto::ListDealsRequest>,
    ) -> Answer<proto::ListDealsResponse> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let asked = (request.page_size, request.page_token.as_str());
        let Page { items, next_token } = self.deals.list(&workspace, asked).await?;
        Ok(Response::new(proto::ListDealsResponse {
            deals: items.into_iter().map(Into::into).collect(),
            next_page_token: next_token,
        }))
    }

    async fn delete_deal(&self, request: Request<proto::DeleteDealRequest>) -> Answer<()> {
        let (caller, request) = Caller::admit(request, Role::Editor)?;
        let name: DealName = request.name.parse().map_err(Error::name("name"))?;
        caller.enter(&name.workspace)?;
        let asked = Asked { id: &request.request_id, method: "DeleteDeal", body: &request };
        Ok(Response::new(self.deals.delete(&name, asked).await?))
    }
}
