//! Real companies and their deals, dirt included, against plain SQL over the raw files.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use cursus_api::segmentation as proto;
use cursus_api::segmentation::{AttributeEntity, AttributeKind, Operator};
use sqlx::postgres::PgPoolCopyExt;
use sqlx::{FromRow, PgPool};

use crate::crm::named;
use crate::rules::{
    all, any, compare, deals_exist, deals_sum, has, is, not, property_before, property_compare,
    property_is,
};
use crate::world::{Replica, World, moment, noon, number, text, until};

const PEOPLE_OF_ACCOUNT: i32 = 3;

/// As the files are, in tables of the test's own. The service's ids of accounts are the names without what no id has.
const TABLES: &str = "create schema raw;
    create table raw.accounts (account text, sector text, year_established int, revenue float8, employees float8,
        office_location text, subsidiary_of text,
        id text generated always as (regexp_replace(account, '[^A-Za-z0-9]+', '-', 'g')) stored);
    create table raw.deals (opportunity_id text, sales_agent text, product text, account text, deal_stage text,
        engage_date timestamptz, close_date timestamptz, close_value float8);
    create table raw.people (id text, account text, deal text)";

/// Three people of each company; one of none for each prospect without a company, whom the test maps it to; and five
/// whom nobody deals with.
const PEOPLE: &str = "insert into raw.people
    select id || '.' || n, account, null from raw.accounts, generate_series(1, 3) as n
    union all
    select 'p.' || opportunity_id, null, opportunity_id from raw.deals
        where account is null and deal_stage = 'Prospecting'
    union all
    select 'nobody.' || n, null, null from generate_series(1, 5) as n";

#[derive(FromRow)]
struct RawAccount {
    id: String,
    account: String,
    sector: String,
    revenue: f64,
    employees: f64,
    office_location: String,
    subsidiary_of: Option<String>,
}

#[derive(FromRow)]
struct RawDeal {
    opportunity_id: String,
    product: String,
    /// The id of its account.
    account: Option<String>,
    deal_stage: String,
    engage_date: Option<DateTime<Utc>>,
    close_date: Option<DateTime<Utc>>,
    close_value: Option<f64>,
}

/// Where the files are, if they are here.
fn folder() -> Option<PathBuf> {
    let found = std::env::var_os("CURSUS_DATA").map(|data| PathBuf::from(data).join("crm_b2b"));
    let found = found.filter(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: CURSUS_DATA does not name a folder with `crm_b2b/accounts.csv`");
    }
    found
}

async fn load(pool: &PgPool, folder: &std::path::Path) {
    sqlx::raw_sql(TABLES).execute(pool).await.unwrap();
    for (table, columns, file) in [
        (
            "accounts",
            "account, sector, year_established, revenue, employees, office_location, subsidiary_of",
            "accounts.csv",
        ),
        (
            "deals",
            "opportunity_id, sales_agent, product, account, deal_stage, engage_date, close_date, close_value",
            "sales_pipeline.csv",
        ),
    ] {
        let copy = format!("copy raw.{table} ({columns}) from stdin (format csv, header)");
        let mut copy = pool.copy_in_raw(&copy).await.unwrap();
        copy.send(std::fs::read(folder.join(file)).unwrap()).await.unwrap();
        copy.finish().await.unwrap();
    }
    sqlx::raw_sql(PEOPLE).execute(pool).await.unwrap();
}

async fn accounts(replica: &Replica, pool: &PgPool) -> Vec<proto::Account> {
    // Who is part of another company comes after it.
    let query = "select * from raw.accounts order by subsidiary_of is not null, id";
    let rows: Vec<RawAccount> = sqlx::query_as(query).fetch_all(pool).await.unwrap();
    let slug = |name: &str| {
        let kept = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { ' ' };
        name.chars().map(kept).collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
    };
    rows.into_iter()
        .map(|row| proto::Account {
            display_name: row.account,
            parent_account: row
                .subsidiary_of
                .map(|parent| replica.account_name(&slug(&parent)))
                .unwrap_or_default(),
            ..replica.account(
                &row.id,
                &[
                    ("sector", text(&row.sector)),
                    ("revenue", number(row.revenue)),
                    ("employees", number(row.employees)),
                    ("country", text(&row.office_location)),
                ],
            )
        })
        .collect()
}

async fn deals(replica: &Replica, pool: &PgPool) -> Vec<proto::Deal> {
    let query = "select opportunity_id, product, accounts.id as account, deal_stage, engage_date, close_date, close_value
        from raw.deals left join raw.accounts using (account)
        order by opportunity_id";
    let rows: Vec<RawDeal> = sqlx::query_as(query).fetch_all(pool).await.unwrap();
    rows.into_iter()
        .map(|row| proto::Deal {
            name: replica.deal_name(&row.opportunity_id),
            account: row.account.map(|id| replica.account_name(&id)).unwrap_or_default(),
            stage: row.deal_stage,
            amount: row.close_value,
            currency_code: "USD".to_owned(),
            create_time: row.engage_date.map(moment),
            close_time: row.close_date.map(moment),
            properties: named(&[("product", text(&row.product))]),
            ..Default::default()
        })
        .collect()
}

/// Each segment as a rule, and as SQL over `people`, the company `c` of each and the deals of each.
fn segments() -> Vec<(&'static str, proto::Rule, &'static str)> {
    let at_least = |attribute, least| compare(attribute, Operator::GreaterOrEqual, number(least));
    let stage = |stage| property_is("stage", text(stage));
    let lived_until = "2017-12-20T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    vec![
        (
            "big-technology",
            all(vec![
                any(vec![
                    is("account.sector", text("technolgy")),
                    is("account.sector", text("technology")),
                ]),
                at_least("account.employees", 1_000.0),
            ]),
            "c.sector in ('technolgy', 'technology') and c.employees >= 1000",
        ),
        (
            "parts-of-acme",
            is("account.parent", text("Acme-Corporation")),
            "c.subsidiary_of = 'Acme Corporation'",
        ),
        (
            "rich-and-independent",
            all(vec![at_least("account.revenue", 2_000.0), not(has("account.parent"))]),
            "c.revenue >= 2000 and c.subsidiary_of is null",
        ),
        ("of-no-company", not(has("account.id")), "c.id is null"),
        (
            "prospects",
            deals_exist(vec![stage("Prospecting")]),
            "exists (select from deals_of where deal_stage = 'Prospecting')",
        ),
        (
            "big-spenders",
            all(vec![deals_sum("amount", 150_000.0)]),
            "150000 <= (select coalesce(sum(close_value), 0) from deals_of)",
        ),
        (
            "lost-a-gtxpro-late",
            deals_exist(vec![
                stage("Lost"),
                property_is("product", text("GTXPro")),
                property_compare("close_time", Operator::GreaterOrEqual, crate::world::time(lived_until)),
            ]),
            "exists (select from deals_of where deal_stage = 'Lost' and product = 'GTXPro'
                and close_date >= '2017-12-20Z')",
        ),
        (
            "abroad-and-still-engaging-since-long",
            all(vec![
                compare("account.country", Operator::NotEqual, text("United States")),
                deals_exist(vec![
                    stage("Engaging"),
                    property_before("create_time", noon_minus("2017-09-01T00:00:00Z")),
                ]),
            ]),
            "c.office_location <> 'United States'
                and exists (select from deals_of where deal_stage = 'Engaging' and engage_date < '2017-09-01Z')",
        ),
    ]
}

/// How long before the present a moment is, as what is added to it.
fn noon_minus(time: &str) -> chrono::TimeDelta {
    time.parse::<DateTime<Utc>>().unwrap() - noon()
}

async fn expected(pool: &PgPool, sql: &str) -> Vec<String> {
    let deals_of = "(select deals.* from raw.deals
        where deals.account = people.account or deals.opportunity_id = people.deal) as deals_of";
    let sql = format!(
        "select people.id from raw.people left join raw.accounts as c using (account) where {} order by 1",
        sql.replace("from deals_of", &format!("from {deals_of}"))
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn segments_of_real_companies_are_what_plain_sql_says() {
    let Some(folder) = folder() else { return };
    let world = World::new().await;
    let replica = world.start().await;
    let pool = &world.database.pool;
    load(pool, &folder).await;
    let attributes = [
        ("sector", AttributeKind::Text),
        ("revenue", AttributeKind::Number),
        ("employees", AttributeKind::Number),
        ("country", AttributeKind::Text),
    ];
    replica.declare_of(AttributeEntity::Account, &attributes).await;
    replica.declare_of(AttributeEntity::Deal, &[("product", AttributeKind::Text)]).await;

    // Before there is any company, no deal is of anybody.
    let deals = deals(&replica, pool).await;
    let early = replica.import_deals(deals.clone()).await;
    assert_eq!((early.created_count, early.refused_count), (0, 8_800));
    let imported = replica.import_accounts(accounts(&replica, pool).await).await;
    assert_eq!((imported.created_count, imported.refused_count), (85, 0));
    let first = replica.import_deals(deals.clone()).await;
    assert_eq!((first.created_count, first.refused_count), (7_375, 1_425));
    assert!(first.refusals.iter().all(|it| it.reason == "DEAL_OF_NOBODY"));
    import_people(&replica, pool).await;
    // Whom the prospects without a company are with, only the caller knows.
    let mut mapped = deals;
    let of_nobody = |deal: &proto::Deal| deal.account.is_empty() && deal.stage == "Prospecting";
    for deal in mapped.iter_mut().filter(|deal| of_nobody(deal)) {
        deal.contacts =
            vec![replica.contact_name(&format!("p.{}", crate::world::id_of(&deal.name)))];
    }
    let again = replica.import_deals(mapped).await;
    let counts = (again.created_count, again.updated_count, again.refused_count);
    assert_eq!(counts, (337, 7_375, 1_088));

    for (id, rule, sql) in segments() {
        let expected = expected(pool, sql).await;
        assert!(!expected.is_empty(), "{id} should be about somebody");
        replica.ready_segment(id, rule).await;
        let mut members = replica.members(id).await;
        members.sort();
        assert_eq!(members, expected, "{id}");
        println!("{id}: {} members", expected.len());
    }
    change(&replica, pool).await;
    for (id, _, sql) in segments() {
        let expected = expected(pool, sql).await;
        until(id, async || {
            let mut members = replica.members(id).await;
            members.sort();
            (members == expected).then_some(())
        })
        .await;
    }
}

async fn import_people(replica: &Replica, pool: &PgPool) {
    let query = "select people.id, accounts.id from raw.people left join raw.accounts using (account) order by 1";
    let people: Vec<(String, Option<String>)> =
        sqlx::query_as(query).fetch_all(pool).await.unwrap();
    let contact = |(id, account): (String, Option<String>)| match account {
        Some(account) => replica.member(&id, &account),
        None => replica.contact(&id, &[]),
    };
    let imported = replica.import(people.into_iter().map(contact).collect()).await;
    assert_eq!(imported.created_count, i64::from(85 * PEOPLE_OF_ACCOUNT + 337 + 5));
}

/// The dirt is cleaned, a company is sold, and deals go on: here and in the raw tables.
async fn change(replica: &Replica, pool: &PgPool) {
    let query = "select id from raw.accounts where sector = 'technolgy' order by 1";
    let dirty: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
    let clean = |id: &String| replica.account(id, &[("sector", text("medical"))]);
    replica.import_accounts(dirty[..6].iter().map(clean).collect()).await;
    let sold = proto::Account {
        parent_account: replica.account_name("Acme-Corporation"),
        ..replica.account("Warephase", &[])
    };
    replica.write_accounts(vec![sold]).await.unwrap();
    let query = "select opportunity_id from raw.deals where account is not null and deal_stage = 'Prospecting' order by 1";
    let prospects: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
    let on = |id: &String| proto::Deal {
        name: replica.deal_name(id),
        stage: "Won".to_owned(),
        amount: Some(20_000.0),
        ..Default::default()
    };
    replica.import_deals(prospects[..100].iter().map(on).collect()).await;
    let changes = "update raw.accounts set sector = 'medical' where id = any($1)";
    sqlx::query(changes).bind(&dirty[..6]).execute(pool).await.unwrap();
    let changes =
        "update raw.accounts set subsidiary_of = 'Acme Corporation' where id = 'Warephase'";
    sqlx::query(changes).execute(pool).await.unwrap();
    let changes = "update raw.deals set deal_stage = 'Won', close_value = 20000 where opportunity_id = any($1)";
    sqlx::query(changes).bind(&prospects[..100]).execute(pool).await.unwrap();
}
