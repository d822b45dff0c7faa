//! The consumer's cursor, which moves with the effect or not at all.

use cursus_feed::{Cursor, Error, load_cursor, store_cursor};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::{publish, read_until, tables};

async fn cursors(pool: &PgPool) -> anyhow::Result<Vec<Cursor>> {
    tables(pool).await?;
    publish(&mut *pool.acquire().await?, &["a", "b", "c"]).await?;
    Ok(read_until(pool, 3).await?.facts.iter().map(|fact| fact.cursor).collect())
}

#[sqlx::test(migrations = false)]
async fn a_stored_cursor_is_loaded_again(pool: PgPool) -> anyhow::Result<()> {
    let [a, b, _] = cursors(&pool).await?[..] else { unreachable!() };
    let mut conn = pool.acquire().await?;
    assert_eq!(load_cursor(&mut conn, "outcomes").await?, Cursor::START);

    store_cursor(&mut conn, "outcomes", Cursor::START, a).await?;
    store_cursor(&mut conn, "outcomes", a, b).await?;

    assert_eq!(load_cursor(&mut conn, "outcomes").await?, b);
    assert_eq!(load_cursor(&mut conn, "events").await?, Cursor::START);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_cursor_that_someone_moved_is_not_moved_again(pool: PgPool) -> anyhow::Result<()> {
    let [a, b, c] = cursors(&pool).await?[..] else { unreachable!() };
    let mut conn = pool.acquire().await?;
    store_cursor(&mut conn, "outcomes", Cursor::START, b).await?;

    for stale in [Cursor::START, a, c] {
        let refused = store_cursor(&mut conn, "outcomes", stale, c).await.unwrap_err();
        assert!(matches!(refused, Error::Moved { .. }), "{refused}");
    }

    assert_eq!(load_cursor(&mut conn, "outcomes").await?, b);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_cursor_never_stored_cannot_be_moved_from_elsewhere(pool: PgPool) -> anyhow::Result<()> {
    let [a, b, _] = cursors(&pool).await?[..] else { unreachable!() };
    let refused = store_cursor(&mut *pool.acquire().await?, "outcomes", a, b).await.unwrap_err();
    assert!(matches!(refused, Error::Moved { .. }), "{refused}");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn of_consumers_that_race_one_takes_effect(pool: PgPool) -> anyhow::Result<()> {
    let [a, b, _] = cursors(&pool).await?[..] else { unreachable!() };
    sqlx::raw_sql("create table effects (n int)").execute(&pool).await?;

    for (loaded, next) in [(Cursor::START, a), (a, b)] {
        sqlx::query("delete from effects").execute(&pool).await?;
        let mut consumers = JoinSet::new();
        for _ in 0..4 {
            consumers.spawn(consume(pool.clone(), loaded, next));
        }
        let effective = consumers.join_all().await.into_iter().flatten().count();
        let effects: i64 =
            sqlx::query_scalar("select count(*) from effects").fetch_one(&pool).await?;
        assert_eq!((effective, effects), (1, 1));
    }
    Ok(())
}

async fn consume(pool: PgPool, loaded: Cursor, next: Cursor) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("insert into effects values (1)").execute(&mut *tx).await?;
    store_cursor(&mut tx, "outcomes", loaded, next).await?;
    tx.commit().await?;
    Ok(())
}
