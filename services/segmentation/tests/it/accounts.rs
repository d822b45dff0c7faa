//! Accounts: what is written is read, what is wrong is refused, and contacts belong to at most one.

use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeEntity, AttributeKind};
use tonic::Code;

use crate::crm::told;
use crate::world::{Replica, World, id_of, nothing, number, refused, text};

const INDUSTRY: (&str, AttributeKind) = ("industry", AttributeKind::Text);
const EMPLOYEES: (&str, AttributeKind) = ("employees", AttributeKind::Number);

async fn started(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare_of(AttributeEntity::Account, &[INDUSTRY, EMPLOYEES]).await;
    replica
}

async fn read(replica: &Replica, id: &str) -> proto::Account {
    let request = proto::GetAccountRequest { name: replica.account_name(id) };
    replica.crm().get_account(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_account_is_read_as_it_was_written_and_what_is_not_named_stays() {
    let world = World::new().await;
    let replica = started(&world).await;
    let globex = replica.account("globex", &[]);
    let acme = proto::Account {
        display_name: "Acme Corporation".to_owned(),
        parent_account: replica.account_name("globex"),
        ..replica
            .account("acme", &[("industry", text("technolgy")), ("employees", number(2_822.0))])
    };
    let written = replica.write_accounts(vec![globex, acme.clone()]).await.unwrap();
    assert_eq!((written.created_count, written.updated_count), (2, 0), "a parent may come first");
    let first = read(&replica, "acme").await;
    let unchanged = |account: &proto::Account| proto::Account {
        create_time: None,
        update_time: None,
        ..account.clone()
    };
    assert_eq!(unchanged(&first), acme);

    let change = replica.account("acme", &[("industry", text("technology"))]);
    let request = proto::UpdateAccountRequest { account: Some(change) };
    let changed = replica.crm().update_account(request).await.unwrap().into_inner();
    assert_eq!(changed.attributes["industry"], text("technology"));
    assert_eq!(changed.attributes["employees"], number(2_822.0));
    assert_eq!(changed.display_name, "Acme Corporation");
    let bare = proto::Account {
        parent_account: replica.account_name("-"),
        ..replica.account("acme", &[("industry", nothing()), ("display_name", nothing())])
    };
    replica.write_accounts(vec![bare]).await.unwrap();
    let left = read(&replica, "acme").await;
    assert_eq!((left.parent_account.as_str(), left.display_name.as_str()), ("", ""));
    assert_eq!(left.attributes.keys().collect::<Vec<_>>(), ["employees"]);
}

#[tokio::test]
async fn attributes_of_accounts_and_deals_have_their_entity_in_their_name() {
    let world = World::new().await;
    let replica = started(&world).await;
    replica.declare(&[("industry", AttributeKind::Number)]).await;
    replica.declare_of(AttributeEntity::Deal, &[("industry", AttributeKind::Flag)]).await;
    for (entity, kind, expected) in [
        (
            AttributeEntity::Account,
            AttributeKind::Text,
            "account.create_time account.display_name account.employees account.id account.industry account.parent",
        ),
        (
            AttributeEntity::Deal,
            AttributeKind::Flag,
            "deal.amount deal.close_time deal.create_time deal.currency_code deal.industry deal.stage",
        ),
        (AttributeEntity::Unspecified, AttributeKind::Number, "create_time email industry"),
    ] {
        let request = proto::ListAttributesRequest {
            parent: world.parent(),
            entity: entity.into(),
            ..Default::default()
        };
        let listed =
            replica.client().list_attributes(request).await.unwrap().into_inner().attributes;
        let ids: Vec<String> = listed.iter().map(|it| id_of(&it.name)).collect();
        assert_eq!(ids.join(" "), expected);
        let industry = listed.iter().find(|it| it.name.ends_with("industry")).unwrap();
        assert_eq!(industry.kind(), kind);
        assert!(industry.entity() == entity || industry.entity() == AttributeEntity::Contact);
    }
    let create = |attribute_id: &str, entity: AttributeEntity| proto::CreateAttributeRequest {
        parent: world.parent(),
        attribute_id: attribute_id.to_owned(),
        attribute: Some(proto::Attribute {
            kind: AttributeKind::Text.into(),
            entity: entity.into(),
            ..Default::default()
        }),
        request_id: String::new(),
    };
    let built_in = create("display_name", AttributeEntity::Account);
    let outcome = replica.client().create_attribute(built_in).await;
    refused(outcome, Code::AlreadyExists, "ATTRIBUTE_EXISTS", "");
    let smuggled = create("account.size", AttributeEntity::Contact);
    let outcome = replica.client().create_attribute(smuggled).await;
    refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "attribute_id");
}

#[tokio::test]
async fn an_import_of_accounts_keeps_good_rows_and_refuses_bad_ones_by_their_number() {
    let world = World::new().await;
    let replica = started(&world).await;
    let under = |id: &str, parent: &str| proto::Account {
        parent_account: replica.account_name(parent),
        ..replica.account(id, &[])
    };
    let elsewhere = proto::Account {
        name: "workspaces/elsewhere/accounts/eve".to_owned(),
        ..Default::default()
    };
    let imported = replica
        .import_accounts(vec![
            under("child", "nobody"),
            replica.account("acme", &[("industri", text("retail"))]),
            replica.account("acme", &[("employees", text("many"))]),
            elsewhere,
            replica.account("acme", &[("employees", number(1.0))]),
            under("child", "acme"),
            under("acme", "acme"),
            replica.account("acme", &[("employees", number(2.0))]),
        ])
        .await;
    assert_eq!((imported.created_count, imported.updated_count, imported.refused_count), (2, 1, 5));
    let mut refusals = told(&imported.refusals);
    refusals.sort_unstable();
    let expected = [
        (0, "UNKNOWN_ACCOUNT", "account.parent_account"),
        (1, "UNKNOWN_ATTRIBUTE", "account.attributes[industri]"),
        (2, "WRONG_KIND", "account.attributes[employees]"),
        (3, "INVALID_FIELD", "account.name"),
        (6, "INVALID_FIELD", "account.parent_account"),
    ];
    assert_eq!(refusals, expected);
    assert!(imported.refusals.iter().any(|it| it.message.contains("did you mean `industry`?")));
    assert_eq!(read(&replica, "acme").await.attributes["employees"], number(2.0), "the last wins");
    assert_eq!(read(&replica, "child").await.parent_account, replica.account_name("acme"));
}

#[tokio::test]
async fn a_batch_of_accounts_with_one_bad_row_writes_nothing() {
    let world = World::new().await;
    let replica = started(&world).await;
    let orphan = proto::Account {
        parent_account: replica.account_name("nobody"),
        ..replica.account("orphan", &[])
    };
    let outcome = replica.write_accounts(vec![replica.account("acme", &[]), orphan]).await;
    let status =
        refused(outcome, Code::InvalidArgument, "UNKNOWN_ACCOUNT", "account.parent_account");
    assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    let request = proto::GetAccountRequest { name: replica.account_name("acme") };
    let missing = replica.crm().get_account(request).await;
    refused(missing, Code::NotFound, "NO_SUCH_ACCOUNT", "");
}

#[tokio::test]
async fn accounts_are_listed_by_id_and_fetched_in_the_order_asked_for() {
    let world = World::new().await;
    let replica = started(&world).await;
    let accounts = ["zeta", "acme", "mono"].map(|id| replica.account(id, &[])).to_vec();
    replica.write_accounts(accounts).await.unwrap();
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    for _ in 0..2 {
        let request =
            proto::ListAccountsRequest { parent: world.parent(), page_size: 2, page_token };
        let page = replica.crm().list_accounts(request).await.unwrap().into_inner();
        ids.extend(page.accounts.iter().map(|account| id_of(&account.name)));
        page_token = page.next_page_token;
    }
    assert_eq!((ids.join(" "), page_token.as_str()), ("acme mono zeta".to_owned(), ""));
    let names = ["zeta", "nobody", "acme"].map(|id| replica.account_name(id)).to_vec();
    let request = proto::BatchGetAccountsRequest { parent: world.parent(), names };
    let found = replica.crm().batch_get_accounts(request).await.unwrap().into_inner().accounts;
    assert_eq!(found.iter().map(|it| id_of(&it.name)).collect::<Vec<_>>(), ["zeta", "acme"]);
}

#[tokio::test]
async fn a_contact_stays_with_its_account_until_it_is_moved_or_removed() {
    let world = World::new().await;
    let replica = started(&world).await;
    let accounts = vec![replica.account("acme", &[]), replica.account("globex", &[])];
    replica.write_accounts(accounts).await.unwrap();
    let of = async || replica.read_contact("ana").await.account;
    replica.write(vec![replica.member("ana", "acme")]).await.unwrap();
    assert_eq!(of().await, replica.account_name("acme"));
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    assert_eq!(of().await, replica.account_name("acme"), "what is not named stays");
    let moved = proto::UpdateContactRequest { contact: Some(replica.member("ana", "globex")) };
    let moved = replica.client().update_contact(moved).await.unwrap().into_inner();
    assert_eq!(moved.account, replica.account_name("globex"));
    replica.write(vec![replica.member("ana", "-")]).await.unwrap();
    assert_eq!(of().await, "");
}

#[tokio::test]
async fn a_contact_of_an_unknown_account_is_refused_and_the_others_are_written() {
    let world = World::new().await;
    let replica = started(&world).await;
    replica.write_accounts(vec![replica.account("acme", &[])]).await.unwrap();
    let outcome =
        replica.write(vec![replica.member("ana", "acme"), replica.member("ben", "nobody")]).await;
    let status = refused(outcome, Code::InvalidArgument, "UNKNOWN_ACCOUNT", "contact.account");
    assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    let foreign = proto::Contact {
        account: "workspaces/elsewhere/accounts/acme".to_owned(),
        ..replica.contact("cat", &[])
    };
    let rows = vec![replica.member("ben", "nobody"), foreign, replica.member("dan", "acme")];
    let imported = replica.import(rows).await;
    assert_eq!((imported.created_count, imported.refused_count), (1, 2));
    let mut refusals = told(&imported.refusals);
    refusals.sort_unstable();
    let expected =
        [(0, "UNKNOWN_ACCOUNT", "contact.account"), (1, "INVALID_FIELD", "contact.account")];
    assert_eq!(refusals, expected);
    assert_eq!(replica.read_contact("dan").await.account, replica.account_name("acme"));
}

#[tokio::test]
async fn an_account_is_deleted_once_nothing_names_it() {
    let world = World::new().await;
    let replica = started(&world).await;
    let child = proto::Account {
        parent_account: replica.account_name("acme"),
        ..replica.account("child", &[])
    };
    replica.write_accounts(vec![replica.account("acme", &[]), child]).await.unwrap();
    replica.write(vec![replica.member("ana", "acme")]).await.unwrap();
    replica.write_deals(vec![replica.deal("d1", "acme", "won")]).await.unwrap();
    let request_id = "7f0c5a52-6d3e-4c0f-9f1e-0d9a4f0f6a11".to_owned();
    let request = proto::DeleteAccountRequest { name: replica.account_name("acme"), request_id };
    let delete = async || {
        let request = proto::DeleteAccountRequest { request_id: String::new(), ..request.clone() };
        replica.crm().delete_account(request).await
    };
    refused(delete().await, Code::FailedPrecondition, "ACCOUNT_IN_USE", "");
    replica.write(vec![replica.member("ana", "-")]).await.unwrap();
    refused(delete().await, Code::FailedPrecondition, "ACCOUNT_IN_USE", "");
    let deal = proto::DeleteDealRequest { name: replica.deal_name("d1"), ..Default::default() };
    replica.crm().delete_deal(deal).await.unwrap();
    refused(delete().await, Code::FailedPrecondition, "ACCOUNT_IN_USE", "");
    replica.write_accounts(vec![replica.account("child", &[])]).await.unwrap();
    let free = proto::Account {
        parent_account: replica.account_name("-"),
        ..replica.account("child", &[])
    };
    replica.write_accounts(vec![free]).await.unwrap();
    replica.crm().delete_account(request.clone()).await.unwrap();
    replica.crm().delete_account(request.clone()).await.expect("the same request again");
    refused(delete().await, Code::NotFound, "NO_SUCH_ACCOUNT", "");
}

#[tokio::test]
async fn who_may_not_enter_or_write_neither_enters_nor_writes() {
    let world = World::new().await;
    let replica = started(&world).await;
    let account = Some(replica.account("acme", &[]));
    let write = proto::UpdateAccountRequest { account };
    let outcome = replica.crm_of("edith").update_account(write.clone()).await;
    refused(outcome, Code::PermissionDenied, "ROLE_REQUIRED", "");
    let outcome = replica.crm_of("mallory").update_account(write).await;
    refused(outcome, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
    let list = proto::ListDealsRequest { parent: world.parent(), ..Default::default() };
    replica.crm_of("edith").list_deals(list.clone()).await.unwrap();
    let outcome = replica.crm_of("mallory").list_deals(list).await;
    refused(outcome, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
    let part = proto::ImportDealsRequest { parent: world.parent(), deals: Vec::new() };
    let outcome = replica.crm_of("mallory").import_deals(tokio_stream::iter([part])).await;
    refused(outcome, Code::PermissionDenied, "NOT_IN_WORKSPACE", "");
}
