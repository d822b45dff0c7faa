//! Deals: what is written is read, and what is wrong is refused with its row and field.

use chrono::TimeDelta;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeEntity, AttributeKind};
use tonic::Code;

use crate::crm::{named, told};
use crate::world::{Replica, World, id_of, moment, noon, nothing, refused, text};

async fn started(world: &World) -> Replica {
    let replica = world.start().await;
    replica.declare_of(AttributeEntity::Deal, &[("product", AttributeKind::Text)]).await;
    replica.write_accounts(vec![replica.account("acme", &[])]).await.unwrap();
    replica.write(vec![replica.contact("ana", &[]), replica.contact("ben", &[])]).await.unwrap();
    replica
}

#[tokio::test]
async fn a_deal_is_read_as_it_was_written_and_what_is_not_named_stays() {
    let world = World::new().await;
    let replica = started(&world).await;
    let deal = proto::Deal {
        contacts: vec![replica.contact_name("ana"), replica.contact_name("ben")],
        amount: Some(1_054.0),
        currency_code: "USD".to_owned(),
        create_time: Some(moment(noon() - TimeDelta::days(40))),
        close_time: Some(moment(noon())),
        properties: named(&[("product", text("GTXPro"))]),
        ..replica.deal("d1", "acme", "won")
    };
    let written = replica.write_deals(vec![deal.clone()]).await.unwrap();
    assert_eq!((written.created_count, written.updated_count), (1, 0));
    let read = replica.read_deal("d1").await.unwrap();
    assert!(read.update_time.is_some());
    assert_eq!(proto::Deal { update_time: None, ..read }, deal);

    let change = proto::Deal {
        name: replica.deal_name("d1"),
        stage: "lost".to_owned(),
        contacts: vec![replica.contact_name("ben")],
        properties: named(&[("close_time", nothing()), ("amount", nothing())]),
        ..Default::default()
    };
    let request = proto::UpdateDealRequest { deal: Some(change) };
    let changed = replica.crm().update_deal(request).await.unwrap().into_inner();
    assert_eq!((changed.stage.as_str(), changed.amount, changed.close_time), ("lost", None, None));
    assert_eq!((changed.create_time, changed.account), (deal.create_time, deal.account));
    assert_eq!(changed.contacts, [replica.contact_name("ben")]);
    assert_eq!(changed.properties["product"], text("GTXPro"));
    let left =
        proto::Deal { contacts: vec![replica.contact_name("-")], ..replica.deal("d1", "acme", "") };
    replica.write_deals(vec![left]).await.unwrap();
    assert!(replica.read_deal("d1").await.unwrap().contacts.is_empty());
}

#[tokio::test]
async fn an_import_of_deals_keeps_good_rows_and_refuses_bad_ones_by_their_number() {
    let world = World::new().await;
    let replica = started(&world).await;
    let nobody = proto::Deal { account: String::new(), ..replica.deal("d1", "", "won") };
    let of_nobody_known = proto::Deal {
        contacts: vec![replica.contact_name("ana"), replica.contact_name("nobody")],
        ..nobody.clone()
    };
    let misspelt = proto::Deal {
        properties: named(&[("prodct", text("GTXPro"))]),
        ..replica.deal("d1", "acme", "won")
    };
    let unpriced = proto::Deal { amount: Some(5.0), ..replica.deal("d1", "acme", "won") };
    let imported = replica
        .import_deals(vec![
            nobody,
            of_nobody_known,
            replica.deal("d1", "acmee", "won"),
            replica.deal("d1", "acme", ""),
            misspelt,
            unpriced,
            replica.deal("d1", "acme", "engaging"),
            replica.deal("d1", "acme", "won"),
        ])
        .await;
    assert_eq!((imported.created_count, imported.updated_count, imported.refused_count), (1, 1, 6));
    let mut refusals = told(&imported.refusals);
    refusals.sort_unstable();
    let expected = [
        (0, "DEAL_OF_NOBODY", "deal.account"),
        (1, "UNKNOWN_CONTACT", "deal.contacts[1]"),
        (2, "UNKNOWN_ACCOUNT", "deal.account"),
        (3, "INVALID_FIELD", "deal.stage"),
        (4, "UNKNOWN_ATTRIBUTE", "deal.properties[prodct]"),
        (5, "INVALID_FIELD", "deal.currency_code"),
    ];
    assert_eq!(refusals, expected);
    assert_eq!(replica.read_deal("d1").await.unwrap().stage, "won", "the last of two rows wins");
}

#[tokio::test]
async fn a_batch_of_deals_with_one_bad_row_writes_nothing() {
    let world = World::new().await;
    let replica = started(&world).await;
    let rows = vec![replica.deal("d1", "acme", "won"), replica.deal("d2", "nobody", "won")];
    let status = refused(
        replica.write_deals(rows).await,
        Code::InvalidArgument,
        "UNKNOWN_ACCOUNT",
        "deal.account",
    );
    assert_eq!(cursus_fault::value(&status, "row").as_deref(), Some("1"));
    refused(replica.read_deal("d1").await, Code::NotFound, "NO_SUCH_DEAL", "");
    let twice = vec![replica.deal("d1", "acme", "won"), replica.deal("d1", "acme", "won")];
    refused(replica.write_deals(twice).await, Code::InvalidArgument, "INVALID_FIELD", "deal.name");
}

#[tokio::test]
async fn an_account_has_so_many_deals_and_no_more() {
    let world = World::new().await;
    let replica = started(&world).await;
    let rows: Vec<_> = (0..1_001).map(|n| replica.deal(&format!("d{n}"), "acme", "won")).collect();
    let imported = replica.import_deals(rows).await;
    assert_eq!((imported.created_count, imported.refused_count), (1_000, 1));
    assert_eq!(told(&imported.refusals), [(1_000, "TOO_MANY_DEALS", "deal.account")]);
    // One that was there changes all the same, and one that leaves makes room.
    let leaving = proto::Deal {
        account: replica.account_name("-"),
        contacts: vec![replica.contact_name("ana")],
        ..replica.deal("d0", "", "won")
    };
    let rows = vec![
        replica.deal("d1", "acme", "lost"),
        proto::Deal { account: replica.account_name("-"), ..leaving },
        replica.deal("d1000", "acme", "won"),
    ];
    let imported = replica.import_deals(rows).await;
    assert_eq!((imported.created_count, imported.updated_count, imported.refused_count), (1, 2, 0));
}

#[tokio::test]
async fn deals_are_listed_by_id_and_deleted() {
    let world = World::new().await;
    let replica = started(&world).await;
    let rows = ["z", "a", "m"].map(|id| replica.deal(id, "acme", "won")).to_vec();
    replica.write_deals(rows).await.unwrap();
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    for _ in 0..2 {
        let request = proto::ListDealsRequest { parent: world.parent(), page_size: 2, page_token };
        let page = replica.crm().list_deals(request).await.unwrap().into_inner();
        ids.extend(page.deals.iter().map(|deal| id_of(&deal.name)));
        page_token = page.next_page_token;
    }
    assert_eq!((ids.join(" "), page_token.as_str()), ("a m z".to_owned(), ""));
    let delete = proto::DeleteDealRequest { name: replica.deal_name("m"), ..Default::default() };
    replica.crm().delete_deal(delete.clone()).await.unwrap();
    refused(replica.crm().delete_deal(delete).await, Code::NotFound, "NO_SUCH_DEAL", "");
    let names = ["z", "m", "a"].map(|id| replica.deal_name(id)).to_vec();
    let request = proto::BatchGetDealsRequest { parent: world.parent(), names };
    let found = replica.crm().batch_get_deals(request).await.unwrap().into_inner().deals;
    assert_eq!(found.iter().map(|it| id_of(&it.name)).collect::<Vec<_>>(), ["z", "a"]);
}

#[tokio::test]
async fn nobody_records_an_event_in_the_name_of_deals() {
    let world = World::new().await;
    let replica = started(&world).await;
    let event = replica.event("1", "ana", "$deals", noon());
    let outcome = replica.record(vec![event]).await;
    refused(outcome, Code::InvalidArgument, "RESERVED_EVENT_NAME", "event.event_name");
}
