//! Which facts can be read, and in which order.

use cursus_feed::{Cursor, Error, Topic, append, blank, latest, read};
use sqlx::PgPool;

use crate::{TOPIC, entry, payloads, publish, read_all, read_until, tables};

#[sqlx::test(migrations = false)]
async fn facts_come_back_as_they_were_appended(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    publish(&mut *pool.acquire().await?, &names).await?;

    let page = read_until(&pool, 300).await?;

    assert_eq!(payloads(&page.facts), names);
    assert!(page.facts.iter().all(|f| f.workspace_id == "acme" && f.kind == "happened"));
    assert!(page.facts.is_sorted_by(|a, b| a.cursor < b.cursor));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_late_commit_is_waited_for(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut early = pool.begin().await?;
    publish(&mut early, &["early"]).await?;
    publish(&mut *pool.acquire().await?, &["late"]).await?;

    let held_back = read_all(&pool, Cursor::START).await?;
    assert_eq!((payloads(&held_back.facts), held_back.next), (vec![], Cursor::START));
    early.commit().await?;

    assert_eq!(payloads(&read_until(&pool, 2).await?.facts), ["early", "late"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_transaction_that_writes_elsewhere_holds_readers_back_until_it_ends(
    pool: PgPool,
) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish(&mut *pool.acquire().await?, &["before"]).await?;
    let seen = read_until(&pool, 1).await?.next;
    let mut long = pool.begin().await?;
    sqlx::query("create table unrelated (n int)").execute(&mut *long).await?;
    publish(&mut *pool.acquire().await?, &["after"]).await?;

    assert_eq!(payloads(&read_all(&pool, Cursor::START).await?.facts), ["before"]);
    assert_eq!(read_all(&pool, seen).await?.facts, []);
    long.rollback().await?;

    assert_eq!(payloads(&read_until(&pool, 2).await?.facts), ["before", "after"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn what_rolled_back_never_happened(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut undone = pool.begin().await?;
    publish(&mut undone, &["undone"]).await?;
    undone.rollback().await?;
    publish(&mut *pool.acquire().await?, &["done"]).await?;

    assert_eq!(payloads(&read_until(&pool, 1).await?.facts), ["done"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn pages_meet_without_gap_or_overlap(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish(&mut *pool.acquire().await?, &["a", "b", "c"]).await?;
    publish(&mut *pool.acquire().await?, &["d", "e"]).await?;
    let all = read_until(&pool, 5).await?;

    let mut conn = pool.acquire().await?;
    let (mut cursor, mut paged) = (Cursor::START, Vec::new());
    for _ in 0..3 {
        let page = read(&mut conn, TOPIC, None, cursor, 2).await?;
        cursor = page.next;
        paged.extend(page.facts);
    }

    assert_eq!(paged, all.facts);
    assert_eq!(cursor, all.next);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_filter_passes_over_other_workspaces(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut conn = pool.acquire().await?;
    append(&mut conn, TOPIC, &[entry("a", "1"), entry("b", "2"), entry("a", "3"), entry("b", "4")])
        .await?;
    let all = read_until(&pool, 4).await?;

    let page = read(&mut conn, TOPIC, Some("a"), Cursor::START, 10).await?;
    let nobody = read(&mut conn, TOPIC, Some("c"), Cursor::START, 10).await?;

    assert_eq!((payloads(&page.facts), page.next), (vec!["1", "3"], all.next));
    assert_eq!((payloads(&nobody.facts), nobody.next), (vec![], all.next));
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn what_is_blanked_is_passed_over_and_every_cursor_stays_good(
    pool: PgPool,
) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut conn = pool.acquire().await?;
    append(&mut conn, Topic::new("other"), &[entry("acme", "theirs")]).await?;
    publish(&mut conn, &["1", "2", "3"]).await?;
    let all = read_until(&pool, 3).await?;
    let cursors: Vec<Cursor> = all.facts.iter().map(|fact| fact.cursor).collect();

    assert_eq!(blank(&mut conn, TOPIC, &[cursors[0], cursors[2]]).await?, 2);
    assert_eq!(blank(&mut conn, TOPIC, &cursors[2..]).await?, 0, "it is blank already");

    assert_eq!(payloads(&read_until(&pool, 1).await?.facts), ["2"]);
    let last = read_all(&pool, cursors[2]).await?;
    assert_eq!((last.facts.len(), last.next), (0, cursors[2]));
    assert_eq!(payloads(&read_all(&pool, cursors[0]).await?.facts), ["2"]);
    let others = read(&mut conn, Topic::new("other"), None, Cursor::START, 10).await?;
    assert_eq!(payloads(&others.facts), ["theirs"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn topics_do_not_mix(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut conn = pool.acquire().await?;
    append(&mut conn, Topic::new("other"), &[entry("acme", "theirs")]).await?;
    publish(&mut conn, &["ours"]).await?;

    assert_eq!(payloads(&read_until(&pool, 1).await?.facts), ["ours"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn the_latest_cursor_passes_over_what_is_readable(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut conn = pool.acquire().await?;
    assert_eq!(latest(&mut conn, TOPIC).await?, Cursor::START);
    publish(&mut conn, &["past"]).await?;
    let end = read_until(&pool, 1).await?.next;

    let now = latest(&mut conn, TOPIC).await?;
    publish(&mut conn, &["future"]).await?;
    read_until(&pool, 2).await?;

    assert_eq!(now, end);
    assert_eq!(payloads(&read_all(&pool, now).await?.facts), ["future"]);
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn a_cursor_this_topic_never_gave_is_refused(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    publish(&mut *pool.acquire().await?, &["a"]).await?;
    let cursor = read_until(&pool, 1).await?.next;

    let refused =
        read(&mut *pool.acquire().await?, Topic::new("other"), None, cursor, 10).await.unwrap_err();

    assert!(matches!(refused, Error::Unknown), "{refused}");
    Ok(())
}

#[sqlx::test(migrations = false)]
async fn appending_nothing_is_nothing(pool: PgPool) -> anyhow::Result<()> {
    tables(&pool).await?;
    let mut tx = pool.begin().await?;
    append(&mut tx, TOPIC, &[]).await?;
    let xid: Option<String> = sqlx::query_scalar("select pg_current_xact_id_if_assigned()::text")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(xid, None);
    Ok(())
}
