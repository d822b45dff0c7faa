//! The sessions that hold locks, and the one through which a replica shows that it lives and looks around.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::share::Standing;
use crate::{Claims, Partition};

/// The longest Postgres may take to answer before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a replica gives up everything and starts again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("postgres did not answer in time")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A replica's presence: a lock on its own backend's number.
pub(crate) struct Control {
    conn: PgConnection,
    backend: i32,
    presence: i32,
    partition: i32,
}

/// Who holds what, at one moment.
pub(crate) struct View {
    /// None once this replica has left.
    pub(crate) standing: Option<Standing>,
    holders: BTreeMap<i32, i32>,
}

/// A session that holds a partition's lock.
pub(crate) struct Session {
    pub(crate) conn: PgConnection,
    pub(crate) backend: i32,
}

/// Makes the server notice within half a minute that a client is gone, even in the middle of a statement, and let go of
/// its locks. Looking around makes the client notice that the server is.
pub(crate) fn durable(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        ("client_connection_check_interval", "5000"),
    ])
}

impl Control {
    pub(crate) async fn connect(claims: &Claims) -> Result<Self, Error> {
        let presence = class(claims.namespace, "/presence");
        let partition = class(claims.namespace, "/partition");
        let mut conn = connect(claims, "replica").await?;
        let locking = sqlx::query_scalar(
            "select pg_backend_pid() from pg_advisory_lock($1, pg_backend_pid())",
        )
        .bind(presence)
        .fetch_one(&mut conn);
        let backend = tokio::time::timeout(PATIENCE, locking).await??;
        Ok(Self { conn, backend, presence, partition })
    }

    pub(crate) async fn look(&mut self) -> Result<View, Error> {
        let looking = sqlx::query_as(
            "select classid::int4, objid::int4, pid from pg_locks
             where locktype = 'advisory' and objsubid = 2 and granted
                 and database = (select oid from pg_database where datname = current_database())
                 and classid in ($1::int4::oid, $2::int4::oid)
             order by classid, objid",
        )
        .bind(self.presence)
        .bind(self.partition)
        .fetch_all(&mut self.conn);
        let locks: Vec<(i32, i32, i32)> = tokio::time::timeout(PATIENCE, looking).await??;
        let of = |class| locks.iter().filter(move |lock| lock.0 == class);
        let replicas = of(self.presence).count();
        let rank = of(self.presence).position(|lock| lock.2 == self.backend);
        Ok(View {
            standing: rank.map(|rank| Standing { rank, replicas }),
            holders: of(self.partition).map(|&(_, index, backend)| (index, backend)).collect(),
        })
    }

    /// Stops counting as a replica, so that others take up its share while it finishes.
    pub(crate) async fn leave(&mut self) -> Result<(), Error> {
        let leaving = sqlx::query("select pg_advisory_unlock($1, $2)")
            .bind(self.presence)
            .bind(self.backend)
            .execute(&mut self.conn);
        tokio::time::timeout(PATIENCE, leaving).await??;
        Ok(())
    }
}

impl View {
    pub(crate) fn holder(&self, partition: Partition) -> Option<i32> {
        self.holders.get(&i32::from(partition.0)).copied()
    }
}

/// A session that holds the lock, unless another does.
pub(crate) async fn claim(claims: &Claims, partition: Partition) -> Result<Option<Session>, Error> {
    let mut conn = connect(claims, &partition.to_string()).await?;
    let locking = sqlx::query_as("select pg_try_advisory_lock($1, $2), pg_backend_pid()")
        .bind(class(claims.namespace, "/partition"))
        .bind(i32::from(partition.0))
        .fetch_one(&mut conn);
    let (locked, backend) = tokio::time::timeout(PATIENCE, locking).await??;
    Ok(if locked { Some(Session { conn, backend }) } else { None })
}

/// Never from the pool: a connection that goes back to a pool takes its locks along.
async fn connect(claims: &Claims, purpose: &str) -> Result<PgConnection, Error> {
    let name = format!("{}/{purpose}", claims.namespace);
    let options = claims.options.clone().application_name(&name);
    Ok(tokio::time::timeout(PATIENCE, options.connect()).await??)
}

/// A number for a name (FNV-1a), the same in every release: replicas of two releases share the work during a roll-out.
fn class(namespace: &str, what: &str) -> i32 {
    let hash = namespace
        .bytes()
        .chain(what.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_namespace_never_changes() {
        assert_eq!(class("", ""), 0x811c_9dc5_u32.cast_signed());
        assert_eq!(class("foo", "bar"), 0xbf9c_f968_u32.cast_signed());
    }
}
