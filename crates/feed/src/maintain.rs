//! Partitions of the table of facts: made weeks ahead, dropped when their retention ends.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Error;

/// Makes the partitions of the coming weeks and drops those whose every fact is older than `retention`, remembering how
/// far that reaches so that a cursor left behind is told so. Safe to call from every replica, at any time; each step is
/// a short transaction that gives up rather than queue behind a long reader, and is tried again by the next call.
///
/// Facts of a week that has no partition go to the default one and stay there until their retention ends.
pub async fn maintain(conn: &mut PgConnection, retention: Duration) -> Result<(), Error> {
    for create in missing_partitions(conn).await? {
        alter(conn, &[], create).await?;
    }
    for expired in expired_partitions(conn, retention).await? {
        let floors = last_facts(conn, &expired).await?;
        alter(conn, &floors, expired.drop).await?;
    }
    delete_from_default(conn, retention).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Expired {
    drop: String,
    lower: String,
    upper: String,
}

type Floor = (String, i64, i64);

/// A week with facts in the default partition gets none of its own: Postgres would refuse it.
async fn missing_partitions(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select format(
             'create table if not exists %I partition of facts for values from (%L) to (%L)',
             to_char(lower, '\"facts_\"YYYYMMDD'),
             to_char(lower, 'YYYY-MM-DD\" 00:00:00+00\"'),
             to_char(lower + interval '1 week', 'YYYY-MM-DD\" 00:00:00+00\"'))
         from generate_series(
             date_trunc('week', now() at time zone 'UTC'),
             date_trunc('week', now() at time zone 'UTC') + interval '4 weeks',
             interval '1 week') as lower
         where to_regclass(to_char(lower, '\"facts_\"YYYYMMDD')) is null
             and not exists (
                 select from facts_default
                 where time >= lower at time zone 'UTC'
                     and time < (lower + interval '1 week') at time zone 'UTC')",
    )
    .fetch_all(conn)
    .await
}

async fn expired_partitions(
    conn: &mut PgConnection,
    retention: Duration,
) -> Result<Vec<Expired>, sqlx::Error> {
    sqlx::query_as(
        "select
             format('drop table if exists %I', name) as drop,
             to_char(lower, 'YYYY-MM-DD\" 00:00:00+00\"') as lower,
             to_char(lower + interval '1 week', 'YYYY-MM-DD\" 00:00:00+00\"') as upper
         from (
             select relname as name, to_timestamp(right(relname, 8), 'YYYYMMDD')::timestamp as lower
             from pg_inherits join pg_class on oid = inhrelid
             where inhparent = 'facts'::regclass and relname ~ '^facts_[0-9]{8}$'
         ) as partition
         where (lower + interval '1 week') at time zone 'UTC' <= now() - $1
         order by lower",
    )
    .bind(retention)
    .fetch_all(conn)
    .await
}

/// Read before anything is written: a transaction that had written would hold every reader back during this scan.
async fn last_facts(conn: &mut PgConnection, expired: &Expired) -> Result<Vec<Floor>, sqlx::Error> {
    sqlx::query_as(
        "select distinct on (topic) topic, xid::text::bigint, sequence
         from facts
         where time >= $1::text::timestamptz and time < $2::text::timestamptz
         order by topic, facts.xid desc, facts.sequence desc",
    )
    .bind(&expired.lower)
    .bind(&expired.upper)
    .fetch_all(conn)
    .await
}

async fn alter(
    conn: &mut PgConnection,
    floors: &[Floor],
    statement: String,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query("set local lock_timeout = '2s'").execute(&mut *tx).await?;
    // Two replicas at once would only wait for each other's locks.
    sqlx::query("select pg_advisory_xact_lock(hashtext('facts'), hashtext('maintain'))")
        .execute(&mut *tx)
        .await?;
    for (topic, xid, sequence) in floors {
        raise_floor(&mut tx, topic, *xid, *sequence).await?;
    }
    // Postgres quoted the names and literals in it.
    sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    tx.commit().await
}

async fn raise_floor(
    conn: &mut PgConnection,
    topic: &str,
    xid: i64,
    sequence: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into fact_floors (topic, xid, sequence) values ($1, $2::bigint::text::xid8, $3)
         on conflict (topic) do update set xid = excluded.xid, sequence = excluded.sequence
         where (fact_floors.xid, fact_floors.sequence) < (excluded.xid, excluded.sequence)",
    )
    .bind(topic)
    .bind(xid)
    .bind(sequence)
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_from_default(
    conn: &mut PgConnection,
    retention: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with deleted as (
             delete from facts_default where time < now() - $1 returning topic, xid, sequence
         )
         insert into fact_floors (topic, xid, sequence)
         select distinct on (topic) topic, xid, sequence from deleted
         order by topic, xid desc, sequence desc
         on conflict (topic) do update set xid = excluded.xid, sequence = excluded.sequence
         where (fact_floors.xid, fact_floors.sequence) < (excluded.xid, excluded.sequence)",
    )
    .bind(retention)
    .execute(conn)
    .await?;
    Ok(())
}
