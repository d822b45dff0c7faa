//! Membership follows accounts and deals, contacts that move, and time alone; and what is written marks exactly the
//! contacts that it concerns.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeEntity, AttributeKind, Operator};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::rules::{all, compare, deals_exist, has, is, not, property_before, property_is};
use crate::world::{Replica, World, id_of, moment, noon, nothing, number, text, until};

const DAY: Duration = Duration::from_hours(24);
const CONTACTS: [&str; 3] = ["ana", "ben", "cat"];

/// Two accounts; `ana` and `ben` belong to the first, `cat` to none.
async fn started(world: &World) -> Replica {
    let replica = world.start().await;
    let attributes = [("industry", AttributeKind::Text), ("employees", AttributeKind::Number)];
    replica.declare_of(AttributeEntity::Account, &attributes).await;
    let software = [("industry", text("software")), ("employees", number(80.0))];
    let accounts = vec![
        replica.account("acme", &software),
        replica.account("globex", &[("industry", text("retail"))]),
    ];
    replica.write_accounts(accounts).await.unwrap();
    let contacts = vec![
        replica.member("ana", "acme"),
        replica.member("ben", "acme"),
        replica.contact("cat", &[]),
    ];
    replica.write(contacts).await.unwrap();
    replica
}

#[tokio::test]
async fn membership_follows_an_account_that_changes_and_a_contact_that_moves() {
    let world = World::new().await;
    let replica = started(&world).await;
    let rule = all(vec![
        is("account.industry", text("software")),
        compare("account.employees", Operator::GreaterOrEqual, number(50.0)),
    ]);
    let segment = replica.ready_segment("software", rule).await;
    assert_eq!(segment.member_count, 2);
    assert_eq!(segment.rule_text, "account.industry == \"software\" && account.employees >= 50.0");
    replica.ready_segment("elsewhere", not(has("account.industry"))).await;
    replica.until_members("software", &CONTACTS, &[true, true, false]).await;
    replica.until_members("elsewhere", &CONTACTS, &[false, false, true]).await;

    let account = |id, industry| replica.account(id, &[("industry", industry)]);
    replica.write_accounts(vec![account("acme", text("retail"))]).await.unwrap();
    replica.until_members("software", &CONTACTS, &[false, false, false]).await;
    replica.write_accounts(vec![account("acme", text("software"))]).await.unwrap();
    replica.until_members("software", &CONTACTS, &[true, true, false]).await;

    replica
        .write(vec![replica.member("ben", "globex"), replica.member("cat", "acme")])
        .await
        .unwrap();
    replica.until_members("software", &CONTACTS, &[true, false, true]).await;
    replica.until_members("elsewhere", &CONTACTS, &[false, false, false]).await;
    replica.write(vec![replica.member("ana", "-")]).await.unwrap();
    replica.until_members("software", &CONTACTS, &[false, false, true]).await;
    replica.until_members("elsewhere", &CONTACTS, &[true, false, false]).await;
    replica.write_accounts(vec![account("acme", nothing())]).await.unwrap();
    replica.until_members("elsewhere", &CONTACTS, &[true, false, true]).await;
}

#[tokio::test]
async fn rules_ask_for_what_every_account_has() {
    let world = World::new().await;
    let replica = started(&world).await;
    let acme = proto::Account {
        display_name: "Acme".to_owned(),
        parent_account: replica.account_name("globex"),
        ..replica.account("acme", &[])
    };
    replica.write_accounts(vec![acme]).await.unwrap();
    for (id, rule) in [
        ("by-id", is("account.id", text("acme"))),
        ("by-name", is("account.display_name", text("Acme"))),
        ("by-parent", is("account.parent", text("globex"))),
        ("by-age", crate::rules::older("account.create_time", -1)),
    ] {
        assert_eq!(replica.ready_segment(id, rule).await.member_count, 2, "{id}");
    }
    let misspelt = replica.create_segment("x", is("account.industri", text("retail"))).await;
    let status = misspelt.unwrap_err();
    assert_eq!(cursus_fault::value(&status, "closest").as_deref(), Some("account.industry"));
}

#[tokio::test]
async fn membership_follows_the_deals_of_a_contact_and_those_of_its_account() {
    let world = World::new().await;
    let replica = started(&world).await;
    let rule = deals_exist(vec![property_is("stage", text("negotiation"))]);
    replica.ready_segment("hot", rule).await;
    replica.until_members("hot", &CONTACTS, &[false, false, false]).await;
    let deal = |stage: &str| replica.deal("d1", "acme", stage);
    replica.write_deals(vec![deal("negotiation")]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[true, true, false]).await;
    replica.write_deals(vec![deal("won")]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[false, false, false]).await;

    // A deal that names a contact is one of that contact, of whatever account.
    let named = proto::Deal { contacts: vec![replica.contact_name("cat")], ..deal("negotiation") };
    replica.write_deals(vec![named]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[true, true, true]).await;
    let passed_on = proto::Deal { account: replica.account_name("-"), ..deal("") };
    replica.write_deals(vec![passed_on]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[false, false, true]).await;
    let shared = proto::Deal {
        account: replica.account_name("globex"),
        contacts: vec![replica.contact_name("-")],
        ..deal("")
    };
    replica.write_deals(vec![shared]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[false, false, false]).await;
    replica.write(vec![replica.member("ben", "globex")]).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[false, true, false]).await;
    let delete = proto::DeleteDealRequest { name: replica.deal_name("d1"), ..Default::default() };
    replica.crm().delete_deal(delete).await.unwrap();
    replica.until_members("hot", &CONTACTS, &[false, false, false]).await;
}

#[tokio::test]
async fn a_deal_of_a_contact_and_of_its_account_counts_once() {
    let world = World::new().await;
    let replica = started(&world).await;
    let deal = |id: &str, account: &str, amount: f64| proto::Deal {
        contacts: vec![replica.contact_name("ana"), replica.contact_name("cat")],
        amount: Some(amount),
        currency_code: "EUR".to_owned(),
        ..replica.deal(id, account, "won")
    };
    replica.write_deals(vec![deal("d1", "acme", 30.0), deal("d2", "globex", 20.0)]).await.unwrap();
    let sum = |least: f64| crate::rules::deals_sum("amount", least);
    replica.ready_segment("at-least-50", sum(50.0)).await;
    replica.ready_segment("at-least-51", sum(51.0)).await;
    replica.ready_segment("at-least-30", sum(30.0)).await;
    replica.until_members("at-least-50", &CONTACTS, &[true, false, true]).await;
    replica.until_members("at-least-51", &CONTACTS, &[false, false, false]).await;
    replica.until_members("at-least-30", &CONTACTS, &[true, true, true]).await;
}

#[tokio::test]
async fn membership_follows_the_time_at_which_a_deal_closes_by_time_alone() {
    let world = World::new().await;
    let replica = started(&world).await;
    let deal = proto::Deal {
        close_time: Some(moment(noon() + TimeDelta::days(10))),
        ..replica.deal("d1", "acme", "negotiation")
    };
    replica.write_deals(vec![deal]).await.unwrap();
    let open = || property_is("stage", text("negotiation"));
    let soon = deals_exist(vec![open(), property_before("close_time", TimeDelta::days(7))]);
    replica.ready_segment("closing", soon).await;
    replica
        .ready_segment(
            "overdue",
            deals_exist(vec![open(), property_before("close_time", TimeDelta::zero())]),
        )
        .await;
    replica.until_members("closing", &CONTACTS, &[false, false, false]).await;
    world.ambient.advance(DAY * 3);
    replica.until_members("closing", &CONTACTS, &[false, false, false]).await;
    world.ambient.advance(Duration::from_secs(1));
    replica.until_members("closing", &CONTACTS, &[true, true, false]).await;
    replica.until_members("overdue", &CONTACTS, &[false, false, false]).await;
    world.ambient.advance(DAY * 7);
    replica.until_members("overdue", &CONTACTS, &[true, true, false]).await;
}

/// The slots that changed, unless any may have, and the names of what changed, unless all may have.
type Change = (Option<Vec<u16>>, Option<Vec<String>>);

/// The same as stored.
type Row = (Option<Vec<u8>>, Option<Vec<String>>);

/// What changed and was not taken in yet.
async fn changes(world: &World) -> Vec<Change> {
    let query = "select slots, names from block_changes where workspace_id = $1 order by ctid";
    let rows: Vec<Row> =
        sqlx::query_as(query).bind(&world.workspace).fetch_all(&world.database.pool).await.unwrap();
    let slots = |bytes: Vec<u8>| {
        bytes.chunks(2).map(|pair| u16::from_le_bytes(pair.try_into().unwrap())).collect()
    };
    rows.into_iter().map(|(bytes, names)| (bytes.map(slots), names)).collect()
}

#[tokio::test]
async fn what_is_written_marks_exactly_the_contacts_that_it_concerns() {
    let world = World::new().await;
    let replica = started(&world).await;
    until("the contacts are taken in", async || changes(&world).await.is_empty().then_some(()))
        .await;
    // Nobody takes changes away who cannot say when the block changes next.
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table blocks in exclusive mode").execute(&mut *tx).await.unwrap();
    let mut last = 0;
    let mut told = async |slots: &[u16], names: &[&str]| {
        let all = changes(&world).await;
        let new = all[last..].to_vec();
        last = all.len();
        let names = Some(names.iter().map(|&name| name.to_owned()).collect());
        let expected = if slots.is_empty() { vec![] } else { vec![(Some(slots.to_vec()), names)] };
        assert_eq!(new, expected);
    };
    let retail = || vec![replica.account("acme", &[("industry", text("retail"))])];
    replica.write_accounts(retail()).await.unwrap();
    told(&[0, 1], &["account.industry"]).await;
    replica.write_accounts(retail()).await.unwrap();
    told(&[], &[]).await;
    replica
        .write_accounts(vec![replica.account("new", &[("industry", text("retail"))])])
        .await
        .unwrap();
    told(&[], &[]).await;
    let deal = || proto::Deal {
        contacts: vec![replica.contact_name("cat"), replica.contact_name("ana")],
        ..replica.deal("d1", "acme", "won")
    };
    replica.write_deals(vec![deal()]).await.unwrap();
    told(&[0, 1, 2], &["$deals"]).await;
    replica.write_deals(vec![deal()]).await.unwrap();
    told(&[], &[]).await;
    let moved = proto::Deal {
        contacts: vec![replica.contact_name("cat")],
        ..replica.deal("d1", "globex", "")
    };
    replica.write_deals(vec![moved]).await.unwrap();
    told(&[0, 1, 2], &["$deals"]).await;
    replica.write(vec![replica.member("cat", "globex")]).await.unwrap();
    let names = changes(&world).await.pop().unwrap().1.unwrap();
    assert!(names.contains(&"$deals".to_owned()) && names.contains(&"account.id".to_owned()));
    assert_eq!(names.len(), 7, "{names:?}");
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn an_account_of_many_marks_blocks_and_not_each_contact() {
    let world = World::new().await;
    let replica = started(&world).await;
    // Behind the service's back, for it takes a while through it: 70,000 contacts, of which the last block has few.
    let fill = "insert into contacts (workspace_id, ordinal, contact_id, email, account_id, attributes, create_time, update_time)
        select $1, n, 'c' || n, '', 'globex', '', $2, $2 from generate_series(3, 65549) as n";
    sqlx::query(fill)
        .bind(&world.workspace)
        .bind(noon())
        .execute(&world.database.pool)
        .await
        .unwrap();
    let count = sqlx::query("update workspaces set contact_count = 65550 where workspace_id = $1");
    count.bind(&world.workspace).execute(&world.database.pool).await.unwrap();
    let retail = replica.ready_segment("retail", is("account.industry", text("retail"))).await;
    assert_eq!(retail.member_count, 65_547);
    until("all is taken in", async || changes(&world).await.is_empty().then_some(())).await;
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table blocks in exclusive mode").execute(&mut *tx).await.unwrap();
    replica
        .write_accounts(vec![replica.account("globex", &[("industry", text("media"))])])
        .await
        .unwrap();
    let mut slots: Vec<_> = changes(&world).await.into_iter().map(|(slots, _)| slots).collect();
    slots.sort();
    assert_eq!(slots, [None, Some((0..14).collect())]);
    tx.rollback().await.unwrap();
    replica.until_count("retail", 0).await;
}

/// Who writes facts of the same contact at once must not overlook each other.
#[tokio::test]
async fn contacts_that_move_while_their_accounts_change_end_where_they_belong() {
    const CONTACTS: u32 = 40;
    const ACCOUNTS: u32 = 4;
    let world = World::new().await;
    let replica = started(&world).await;
    let account =
        |n: u32, industry: &str| replica.account(&format!("a{n}"), &[("industry", text(industry))]);
    replica.write_accounts((0..ACCOUNTS).map(|n| account(n, "retail")).collect()).await.unwrap();
    replica.ready_segment("software", is("account.industry", text("software"))).await;
    replica.ready_segment("hot", deals_exist(vec![property_is("stage", text("open"))])).await;
    let seed: u64 = rand::random::<u32>().into();
    println!("seed {seed}");
    let writers = (0..6_u64).map(|writer| {
        let (replica, account) = (&replica, &account);
        async move {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed + writer);
            for _ in 0..25 {
                let mut contacts: Vec<u32> =
                    (0..CONTACTS).filter(|_| rng.random_bool(0.2)).collect();
                contacts.reverse();
                let at = rng.random_range(0..ACCOUNTS);
                match writer % 3 {
                    0 => {
                        let member = |n| replica.member(&format!("c{n}"), &format!("a{at}"));
                        let moved = contacts.into_iter().map(member).collect();
                        replica.write(moved).await.unwrap();
                    }
                    1 => {
                        let industry = ["software", "retail"][rng.random_range(0..2)];
                        let other = account((at + 1) % ACCOUNTS, industry);
                        replica.write_accounts(vec![other, account(at, industry)]).await.unwrap();
                    }
                    _ => {
                        let stage = ["open", "won"][rng.random_range(0..2)];
                        let id = format!("d{}", rng.random_range(0..6));
                        let deal = replica.deal(&id, &format!("a{at}"), stage);
                        replica.write_deals(vec![deal]).await.unwrap();
                    }
                }
            }
        }
    });
    futures::future::join_all(writers).await;
    let industries = list_accounts(&replica).await;
    let deals = list_deals(&replica).await;
    for (segment, accounts) in [("software", industries), ("hot", deals)] {
        let query = "select contact_id from contacts where workspace_id = $1 and account_id = any($2) order by 1";
        let query = sqlx::query_scalar(query).bind(&world.workspace).bind(accounts);
        let expected: Vec<String> = query.fetch_all(&world.database.pool).await.unwrap();
        until(segment, async || {
            let mut members = replica.members(segment).await;
            members.sort();
            (members == expected).then_some(())
        })
        .await;
    }
}

/// The accounts whose industry is software.
async fn list_accounts(replica: &Replica) -> Vec<String> {
    let request = proto::ListAccountsRequest { parent: replica.parent(), ..Default::default() };
    let listed = replica.crm().list_accounts(request).await.unwrap().into_inner().accounts;
    let mut software = listed;
    software.retain(|it| it.attributes["industry"] == text("software"));
    software.iter().map(|it| id_of(&it.name)).collect()
}

/// The accounts with an open deal.
async fn list_deals(replica: &Replica) -> Vec<String> {
    let request = proto::ListDealsRequest { parent: replica.parent(), ..Default::default() };
    let mut open = replica.crm().list_deals(request).await.unwrap().into_inner().deals;
    open.retain(|deal| deal.stage == "open");
    open.iter().map(|deal| id_of(&deal.account)).collect()
}
