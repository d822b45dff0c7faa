//! Accounts and deals, written shortly.

use cursus_api::segmentation as proto;
use tonic::Status;

use crate::world::Replica;

impl Replica {
    pub(crate) fn account_name(&self, id: &str) -> String {
        format!("{}/accounts/{id}", self.parent())
    }

    pub(crate) fn deal_name(&self, id: &str) -> String {
        format!("{}/deals/{id}", self.parent())
    }

    pub(crate) fn account(&self, id: &str, attributes: &[(&str, proto::Value)]) -> proto::Account {
        proto::Account {
            name: self.account_name(id),
            attributes: named(attributes),
            ..Default::default()
        }
    }

    /// A contact of an account.
    pub(crate) fn member(&self, id: &str, account: &str) -> proto::Contact {
        proto::Contact { account: self.account_name(account), ..self.contact(id, &[]) }
    }

    /// A deal with an account.
    pub(crate) fn deal(&self, id: &str, account: &str, stage: &str) -> proto::Deal {
        proto::Deal {
            name: self.deal_name(id),
            account: self.account_name(account),
            stage: stage.to_owned(),
            ..Default::default()
        }
    }

    pub(crate) async fn write_accounts(
        &self,
        accounts: Vec<proto::Account>,
    ) -> Result<proto::BatchUpdateAccountsResponse, Status> {
        let request = proto::BatchUpdateAccountsRequest { parent: self.parent(), accounts };
        Ok(self.crm().batch_update_accounts(request).await?.into_inner())
    }

    pub(crate) async fn write_deals(
        &self,
        deals: Vec<proto::Deal>,
    ) -> Result<proto::BatchUpdateDealsResponse, Status> {
        let request = proto::BatchUpdateDealsRequest { parent: self.parent(), deals };
        Ok(self.crm().batch_update_deals(request).await?.into_inner())
    }

    pub(crate) async fn import_accounts(
        &self,
        accounts: Vec<proto::Account>,
    ) -> proto::ImportAccountsResponse {
        let parts: Vec<_> = accounts
            .chunks(1_000)
            .map(|part| proto::ImportAccountsRequest {
                parent: self.parent(),
                accounts: part.to_vec(),
            })
            .collect();
        self.crm().import_accounts(tokio_stream::iter(parts)).await.unwrap().into_inner()
    }

    pub(crate) async fn import_deals(&self, deals: Vec<proto::Deal>) -> proto::ImportDealsResponse {
        let parts: Vec<_> = deals
            .chunks(1_000)
            .map(|part| proto::ImportDealsRequest { parent: self.parent(), deals: part.to_vec() })
            .collect();
        self.crm().import_deals(tokio_stream::iter(parts)).await.unwrap().into_inner()
    }

    pub(crate) async fn read_contact(&self, id: &str) -> proto::Contact {
        let request = proto::GetContactRequest { name: self.contact_name(id) };
        self.client().get_contact(request).await.unwrap().into_inner()
    }

    pub(crate) async fn read_deal(&self, id: &str) -> Result<proto::Deal, Status> {
        let request = proto::GetDealRequest { name: self.deal_name(id) };
        Ok(self.crm().get_deal(request).await?.into_inner())
    }
}

pub(crate) fn named(
    values: &[(&str, proto::Value)],
) -> std::collections::BTreeMap<String, proto::Value> {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What was refused of an import: the row, the reason and the field.
pub(crate) fn told(refusals: &[proto::Refusal]) -> Vec<(i64, &str, &str)> {
    refusals.iter().map(|it| (it.row, it.reason.as_str(), it.field.as_str())).collect()
}
