//! Following a feed as it grows, with and without notifications.

use std::pin::pin;

use cursus_feed::{Cursor, Error, Feed, append};
use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{TOPIC, entry, payloads, publish, read_until, tables};

/// The next `count` facts, however they are paged.
async fn take<S>(pages: &mut S, count: usize) -> anyhow::Result<Vec<String>>
where
    S: Stream<Item = Result<cursus_feed::Page, Error>> + Unpin,
{
    let mut taken = Vec::new();
    while taken.len() < count {
        let page = pages.try_next().await?.expect("the stream goes on");
        taken.extend(payloads(&page.facts).into_iter().map(str::to_owned));
    }
    Ok(taken)
}

#[sqlx::test(migrations = false)]
async fn past_facts_come_first_and_new_ones_as_they_commit(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let (feed, shutdown) = (Feed::new(pool.clone()), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(feed.clone().listen(shutdown.clone()));
    publish(&mut *pool.acquire().await?, &["past"]).await?;
    let mut pages = pin!(feed.follow(TOPIC, None, Cursor::START, shutdown.clone()));

    assert_eq!(take(&mut pages, 1).await?, ["past"]);
    for new in ["one", "two", "three"] {
        publish(&mut *pool.acquire().await?, &[new]).await?;
        assert_eq!(take(&mut pages, 1).await?, [new]);
    }
    shutdown.cancel();
    tasks.join_all().await;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn without_notifications_facts_still_arrive(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let feed = Feed::new(pool.clone());
    let mut pages = pin!(feed.follow(TOPIC, None, Cursor::START, CancellationToken::new()));
    publish(&mut *pool.acquire().await?, &["a"]).await?;
    assert_eq!(take(&mut pages, 1).await?, ["a"]);

    let (new, published) = tokio::join!(take(&mut pages, 1), async {
        publish(&mut *pool.acquire().await?, &["b"]).await
    });

    published?;
    assert_eq!(new?, ["b"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_listener_that_was_cut_off_listens_again(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let (feed, shutdown) = (Feed::new(pool.clone()), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(feed.clone().listen(shutdown.clone()));
    let mut pages = pin!(feed.follow(TOPIC, None, Cursor::START, shutdown.clone()));

    let first = listener(&pool, None).await?;
    sqlx::query("select pg_terminate_backend($1)").bind(first).execute(&pool).await?;
    publish(&mut *pool.acquire().await?, &["while deaf"]).await?;
    assert_eq!(take(&mut pages, 1).await?, ["while deaf"]);

    listener(&pool, Some(first)).await?;
    publish(&mut *pool.acquire().await?, &["heard"]).await?;
    assert_eq!(take(&mut pages, 1).await?, ["heard"]);
    shutdown.cancel();
    tasks.join_all().await;
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn facts_held_back_arrive_when_the_older_transaction_ends(
    pool: PgPool,
) -> anyhow::Result<()> {
    tables(&pool).await?;
    let feed = Feed::new(pool.clone());
    let mut pages = pin!(feed.follow(TOPIC, None, Cursor::START, CancellationToken::new()));
    let mut older = pool.begin().await?;
    sqlx::query("select pg_current_xact_id()").execute(&mut *older).await?;
    publish(&mut *pool.acquire().await?, &["held back"]).await?;

    let mut early = pin!(take(&mut pages, 1));
    assert!(futures::poll!(&mut early).is_pending());
    older.rollback().await?;

    assert_eq!(early.await?, ["held back"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn following_ends_on_shutdown(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish(&mut *pool.acquire().await?, &["a"]).await?;
    let shutdown = CancellationToken::new();
    let feed = Feed::new(pool);
    let mut pages = pin!(feed.follow(TOPIC, None, Cursor::START, shutdown.clone()));
    assert_eq!(take(&mut pages, 1).await?, ["a"]);

    let mut end = pin!(pages.next());
    assert!(futures::poll!(&mut end).is_pending());
    shutdown.cancel();

    assert!(end.await.is_none());
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_refused_cursor_is_the_only_item(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let ahead = "00000000000000070000000000000001".parse()?;
    let feed = Feed::new(pool);

    let items: Vec<_> = feed.follow(TOPIC, None, ahead, CancellationToken::new()).collect().await;

    assert!(matches!(items.as_slice(), [Err(Error::Unknown)]), "{items:?}");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_long_history_comes_in_bounded_pages(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let entries: Vec<_> = (0..1200).map(|n| entry("acme", &n.to_string())).collect();
    append(&mut *pool.acquire().await?, TOPIC, &entries).await?;
    read_until(&pool, 1000).await?;
    let feed = Feed::new(pool);

    let pages = feed.follow(TOPIC, None, Cursor::START, CancellationToken::new());
    let sizes: Vec<_> = pages.take(3).map_ok(|page| page.facts.len()).try_collect().await?;

    assert_eq!(sizes, [500, 500, 200]);
    Ok(())
}

/// The backend that listens, once there is one other than the one given.
async fn listener(pool: &PgPool, other_than: Option<i32>) -> anyhow::Result<i32> {
    loop {
        let backend = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and query ilike 'listen %' and pid is distinct from $1",
        )
        .bind(other_than)
        .fetch_optional(pool)
        .await?;
        if let Some(backend) = backend {
            return Ok(backend);
        }
        tokio::task::yield_now().await;
    }
}
