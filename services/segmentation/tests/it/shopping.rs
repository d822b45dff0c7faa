//! Real shops, imported as files: segments are what plain SQL says about the same rows.

use std::path::PathBuf;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use proto::behaviour::Aggregate;
use proto::rule::Kind;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;

use crate::rules::{all, did, not};
use crate::sheets::{attribute, contacts, import, pattern};
use crate::world::{Replica, World};

const PART: usize = 256 << 10;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn folder(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("CURSUS_DATA").map(PathBuf::from).map(|data| data.join(name));
    let found = data.filter(|data| data.is_dir());
    if found.is_none() {
        eprintln!("skipped: CURSUS_DATA does not name a folder with `{name}`");
    }
    found
}

fn events(
    world: &World,
    (time_column, time_pattern): (&str, &str),
    event: proto::csv_events::Event,
    properties: &[(&str, AttributeKind)],
) -> proto::CsvPlan {
    let property = |(column, kind): &(&str, AttributeKind)| proto::CsvProperty {
        column: (*column).to_owned(),
        property: String::new(),
        kind: (*kind).into(),
    };
    let rows = proto::CsvEvents {
        contact_column: "id".to_owned(),
        event: Some(event),
        time_column: time_column.to_owned(),
        time_format: pattern(time_pattern),
        event_id_column: String::new(),
        properties: properties.iter().map(property).collect(),
    };
    proto::CsvPlan {
        parent: world.parent(),
        import_id: "events".to_owned(),
        delimiter: String::new(),
        rows: Some(proto::csv_plan::Rows::Events(rows)),
    }
}

/// The sum of a property of the events of the last days is at least so much.
fn spent(event: &str, property: &str, days: i64, at_least: f64) -> proto::Rule {
    let seconds = days * 86_400;
    proto::Rule {
        kind: Some(Kind::Behaviour(proto::Behaviour {
            event: event.to_owned(),
            from: Some(prost_types::Duration { seconds, nanos: 0 }),
            aggregate: Aggregate::Sum.into(),
            property: property.to_owned(),
            operator: proto::Operator::GreaterOrEqual.into(),
            value: at_least,
            ..proto::Behaviour::default()
        })),
    }
}

/// The members of a segment are those whom SQL finds.
async fn check(replica: &Replica, pool: &PgPool, (id, rule): (&str, proto::Rule), sql: &str) {
    let segment = replica.ready_segment(id, rule).await;
    let mut members = replica.members(id).await;
    members.sort();
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let mut expected: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await.unwrap();
    expected.sort();
    assert!(expected.len() > 10, "{id}: too few to tell");
    assert_eq!(segment.member_count, i64::try_from(expected.len()).unwrap(), "{id}");
    assert_eq!(members, expected, "{id}");
    println!("{id}: {} members, as SQL says", members.len());
}

#[tokio::test]
async fn recency_frequency_and_monetary_value_of_a_record_shop_are_what_sql_says() {
    let Some(data) = folder("cdnow") else { return };
    let raw = std::fs::read_to_string(data.join("CDNOW_master.txt")).unwrap();
    let mut file = "id,date,cds,dollars\n".to_owned();
    let mut rows = 0;
    for line in
        raw.lines().filter(|line| line.trim_start().starts_with(|it: char| it.is_ascii_digit()))
    {
        file += &line.split_whitespace().collect::<Vec<_>>().join(",");
        file.push('\n');
        rows += 1;
    }
    let world = World::new().await;
    world.ambient.set("1998-07-01T00:00:00Z".parse().unwrap());
    let replica = world.start().await;
    let plan = contacts(&world, "people", vec![]);
    let imported = import(&replica, plan, file.as_bytes(), PART).await.unwrap();
    assert_eq!((imported.result.row_count, imported.result.new_count), (rows, 23_570));
    let event = proto::csv_events::Event::EventName("purchase".to_owned());
    let numbers = [("cds", AttributeKind::Number), ("dollars", AttributeKind::Number)];
    let plan = || events(&world, ("date", "%Y%m%d"), event.clone(), &numbers);
    let imported = import(&replica, plan(), file.as_bytes(), PART).await.unwrap();
    assert_eq!(imported.counts(), (rows, rows, 0, 0));
    let again = import(&replica, plan(), file.as_bytes(), PART).await.unwrap();
    assert_eq!(again.counts(), (rows, 0, rows, 0));

    let pool = &world.database.pool;
    let create = "create table purchases (id text, date date, cds int, dollars float8)";
    sqlx::query(create).execute(pool).await.unwrap();
    let mut copy =
        pool.copy_in_raw("copy purchases from stdin (format csv, header)").await.unwrap();
    copy.send(file.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    let recent = "select distinct id from purchases where date > date '1998-07-01' - 90";
    check(&replica, pool, ("recent", did("purchase", Some(90), 1)), recent).await;
    let frequent = "select id from purchases group by id having count(*) >= 10";
    check(&replica, pool, ("frequent", did("purchase", None, 10)), frequent).await;
    let rich = "select id from purchases where date > date '1998-07-01' - 365
        group by id having sum(dollars) >= 500";
    check(&replica, pool, ("rich", spent("purchase", "dollars", 365, 500.0)), rich).await;
    let lapsed = "select id from purchases group by id
        having count(*) >= 3 and max(date) <= date '1998-07-01' - 180";
    let rule = all(vec![did("purchase", None, 3), not(did("purchase", Some(180), 1))]);
    check(&replica, pool, ("lapsed", rule), lapsed).await;
}

#[tokio::test]
async fn behaviour_in_an_online_shop_is_what_sql_says() {
    let Some(data) = folder("clickstream_shop") else { return };
    let packed = std::fs::File::open(data.join("ecom.csv.gz")).unwrap();
    let mut file = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut file).unwrap();
    let file = file.replacen("user_id", "id", 1);
    let world = World::new().await;
    let replica = world.start().await;
    let attributes = ["acquisition_channel", "user_lifecycle"];
    let attributes = attributes.map(|column| attribute(column, AttributeKind::Text)).to_vec();
    let plan = contacts(&world, "people", attributes);
    let imported = import(&replica, plan, file.as_bytes(), PART).await.unwrap();
    assert_eq!((imported.result.new_count, imported.result.refused_count), (600, 0));
    let event = proto::csv_events::Event::EventNameColumn("event".to_owned());
    let texts = [("platform", AttributeKind::Text), ("session_id", AttributeKind::Text)];
    let plan = events(&world, ("timestamp", "%Y-%m-%d %H:%M:%S"), event, &texts);
    let imported = import(&replica, plan, file.as_bytes(), PART).await.unwrap();
    assert_eq!(imported.counts(), (31_106, 31_106, 0, 0));

    let pool = &world.database.pool;
    let create = "create table clicks (id text, session_id text, event text, timestamp timestamp,
        platform text, acquisition_channel text, user_cohort text, user_lifecycle text)";
    sqlx::query(create).execute(pool).await.unwrap();
    let mut copy = pool.copy_in_raw("copy clicks from stdin (format csv, header)").await.unwrap();
    copy.send(file.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    // A week after the last click.
    let last: chrono::NaiveDateTime =
        sqlx::query_scalar("select max(timestamp) from clicks").fetch_one(pool).await.unwrap();
    world.ambient.set(last.and_utc() + chrono::TimeDelta::days(7));
    let now = "(select max(timestamp) + interval '7 days' from clicks)";
    let abandoned = "select id from clicks group by id
        having count(*) filter (where event = 'add_to_cart') >= 1
            and count(*) filter (where event = 'purchase') = 0";
    let rule = all(vec![did("add_to_cart", None, 1), not(did("purchase", None, 1))]);
    check(&replica, pool, ("abandoned", rule), abandoned).await;
    let viewers = format!(
        "select id from clicks where event = 'product_view' and timestamp > {now} - interval '30 days'
         group by id having count(*) >= 5"
    );
    check(&replica, pool, ("viewers", did("product_view", Some(30), 5)), &viewers).await;
}
