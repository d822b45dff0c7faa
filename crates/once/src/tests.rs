//! Requests repeated, raced, reused and forgotten, against a real Postgres.

use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::*;

const ID: &str = "6e7f1a5e-4a0b-4c5e-9d2f-0a1b2c3d4e5f";

#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(string, tag = "1")]
    what: String,
}

#[derive(Clone, PartialEq, Message)]
struct Receipt {
    #[prost(uint64, tag = "1")]
    number: u64,
}

fn order(what: &str) -> Order {
    Order { what: what.to_owned() }
}

async fn table(pool: &PgPool) {
    sqlx::raw_sql(include_str!("../schema/requests.sql")).execute(pool).await.unwrap();
}

/// The whole of an operation: the number is the answer, unless there is one already.
async fn place(
    pool: &PgPool,
    request_id: &str,
    body: &Order,
    number: u64,
) -> Result<Receipt, Error> {
    let mut tx = pool.begin().await?;
    let first = match begin(&mut tx, "acme", request_id, "PlaceOrder", body).await? {
        Begin::Repeat(receipt) => return Ok(receipt),
        Begin::First(first) => first,
    };
    let receipt = Receipt { number };
    first.finish(&mut tx, &receipt).await?;
    tx.commit().await?;
    Ok(receipt)
}

async fn count(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from requests").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrations = false)]
async fn a_repetition_gets_the_first_answer(pool: PgPool) {
    table(&pool).await;
    assert_eq!(place(&pool, ID, &order("tea"), 1).await.unwrap().number, 1);
    assert_eq!(place(&pool, ID, &order("tea"), 2).await.unwrap().number, 1);
    assert_eq!(place(&pool, &ID.to_uppercase(), &order("tea"), 3).await.unwrap().number, 1);
}

#[sqlx::test(migrations = false)]
async fn an_empty_answer_is_an_answer(pool: PgPool) {
    table(&pool).await;
    assert_eq!(place(&pool, ID, &order("tea"), 0).await.unwrap().number, 0);
    assert_eq!(place(&pool, ID, &order("tea"), 2).await.unwrap().number, 0);
}

#[sqlx::test(migrations = false)]
async fn an_id_used_for_another_body_or_method_is_refused(pool: PgPool) {
    table(&pool).await;
    place(&pool, ID, &order("tea"), 1).await.unwrap();

    let body = place(&pool, ID, &order("coffee"), 2).await.unwrap_err();
    let mut conn = pool.acquire().await.unwrap();
    let method =
        begin::<Receipt>(&mut conn, "acme", ID, "CancelOrder", &order("tea")).await.unwrap_err();

    assert!(matches!(body, Error::Reused), "{body}");
    assert!(matches!(method, Error::Reused), "{method}");
}

#[sqlx::test(migrations = false)]
async fn workspaces_do_not_share_ids(pool: PgPool) {
    table(&pool).await;
    place(&pool, ID, &order("tea"), 1).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let begun = begin::<Receipt>(&mut conn, "globex", ID, "PlaceOrder", &order("tea")).await;
    assert!(matches!(begun, Ok(Begin::First(_))), "{begun:?}");
}

#[sqlx::test(migrations = false)]
async fn a_request_that_failed_was_never_asked(pool: PgPool) {
    table(&pool).await;
    let mut tx = pool.begin().await.unwrap();
    let begun = begin::<Receipt>(&mut tx, "acme", ID, "PlaceOrder", &order("tea")).await.unwrap();
    assert!(matches!(begun, Begin::First(_)));
    tx.rollback().await.unwrap();

    assert_eq!(place(&pool, ID, &order("coffee"), 2).await.unwrap().number, 2);
}

#[sqlx::test(migrations = false)]
async fn without_an_id_each_request_is_carried_out(pool: PgPool) {
    table(&pool).await;
    assert_eq!(place(&pool, "", &order("tea"), 1).await.unwrap().number, 1);
    assert_eq!(place(&pool, "", &order("tea"), 2).await.unwrap().number, 2);
    assert_eq!(count(&pool).await, 0);
}

#[sqlx::test(migrations = false)]
async fn a_malformed_id_is_refused(pool: PgPool) {
    table(&pool).await;
    for id in [
        " ",
        "7",
        "6e7f1a5e4a0b4c5e9d2f0a1b2c3d4e5f",
        "{6e7f1a5e-4a0b-4c5e-9d2f-0a1b2c3d4e5f}",
        "urn:uuid:6e7f1a5e-4a0b-4c5e-9d2f-0a1b2c3d4e5f",
        "6e7f1a5e-4a0b-4c5e-9d2f-0a1b2c3d4e5g",
        "00000000-0000-0000-0000-000000000000",
    ] {
        let refused = place(&pool, id, &order("tea"), 1).await.unwrap_err();
        assert!(matches!(refused, Error::Malformed), "{id}: {refused}");
    }
}

#[sqlx::test(migrations = false)]
async fn a_duplicate_waits_for_the_first_and_gets_its_answer(pool: PgPool) {
    table(&pool).await;
    let mut tx = pool.begin().await.unwrap();
    let begun = begin(&mut tx, "acme", ID, "PlaceOrder", &order("tea")).await.unwrap();
    let Begin::First(first) = begun else { panic!("{begun:?}") };
    let mut duplicate = duplicate(&pool).await;

    first.finish(&mut tx, &Receipt { number: 1 }).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(duplicate.join_next().await.unwrap().unwrap().unwrap().number, 1);
}

#[sqlx::test(migrations = false)]
async fn a_duplicate_takes_over_when_the_first_fails(pool: PgPool) {
    table(&pool).await;
    let mut tx = pool.begin().await.unwrap();
    let begun = begin::<Receipt>(&mut tx, "acme", ID, "PlaceOrder", &order("tea")).await.unwrap();
    assert!(matches!(begun, Begin::First(_)));
    let mut duplicate = duplicate(&pool).await;

    tx.rollback().await.unwrap();

    assert_eq!(duplicate.join_next().await.unwrap().unwrap().unwrap().number, 2);
}

/// A second request with the same id, which has come as far as it can.
async fn duplicate(pool: &PgPool) -> JoinSet<Result<Receipt, Error>> {
    let mut duplicate = JoinSet::new();
    let second = pool.clone();
    duplicate.spawn(async move { place(&second, ID, &order("tea"), 2).await });
    let waits = "select exists (
        select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
    duplicate
}

#[sqlx::test(migrations = false)]
async fn of_many_at_once_one_is_carried_out(pool: PgPool) {
    table(&pool).await;
    let mut requests = JoinSet::new();
    for number in 1..=20 {
        let pool = pool.clone();
        requests.spawn(async move { place(&pool, ID, &order("tea"), number).await.unwrap() });
    }
    let answers = requests.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(count(&pool).await, 1);
}

#[sqlx::test(migrations = false)]
async fn an_answer_that_was_never_recorded_is_not_made_up(pool: PgPool) {
    table(&pool).await;
    let mut conn = pool.acquire().await.unwrap();
    let begun = begin::<Receipt>(&mut conn, "acme", ID, "PlaceOrder", &order("tea")).await;
    assert!(matches!(begun, Ok(Begin::First(_))), "{begun:?}");

    let refused = place(&pool, ID, &order("tea"), 2).await.unwrap_err();

    assert!(matches!(refused, Error::Unanswered), "{refused}");
}

#[sqlx::test(migrations = false)]
async fn old_requests_are_forgotten_and_new_ones_kept(pool: PgPool) {
    table(&pool).await;
    place(&pool, ID, &order("tea"), 1).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let time: DateTime<Utc> =
        sqlx::query_scalar("select create_time from requests").fetch_one(&mut *conn).await.unwrap();

    assert_eq!(forget_before(&mut conn, time).await.unwrap(), 0);
    let later = time + TimeDelta::microseconds(1);
    assert_eq!(forget_before(&mut conn, later).await.unwrap(), 1);

    assert_eq!(place(&pool, ID, &order("coffee"), 2).await.unwrap().number, 2);
}
