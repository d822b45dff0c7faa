//! Copies of containers in Redis, for answering who is a member with `GETBIT`.
//!
//! A bitmap's key names the version and the digest of its members, so what is under a key never changes: a copy is
//! there or it is not, and is never wrong or old. Whatever goes wrong here means "not there", and the container is
//! read from Postgres. For the same reason those that are asked for again and again are kept in memory, too.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cursus_audience::Bitset;
use futures::{StreamExt, stream};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use tokio::time::{Instant, timeout};

use crate::membership::{Place, Version};
use crate::metrics;
use crate::recent::Recent;

/// How long Redis may take: Postgres answers in that time, too.
const PATIENCE: Duration = Duration::from_millis(150);
/// After a failure Redis is left alone for this long, so that one that is dead costs next to nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a copy is kept. Those of versions that are no longer read go by themselves.
const KEPT_SECONDS: u64 = 3_600;
/// How long a copy is kept after another has taken its place, for those who have not heard of that yet.
const KEPT_OLD_SECONDS: u64 = 10;
/// How many bitmaps are sent at once.
const BATCH: usize = 64;
/// How many of these are under way at once.
const AT_ONCE: usize = 8;

/// From so many slots on, a bitmap is fetched as a whole.
const MANY: usize = 64;
/// How many bitmaps stay in memory, of eight kilobytes each; at most twice as many.
const NEAR: usize = 2_048;

/// The bitmaps in Redis.
#[derive(Clone)]
pub(crate) struct Bitmaps {
    connection: Connection,
    /// Nothing for those that were asked for once.
    near: Arc<Recent<Named, Option<Arc<Bitset>>>>,
    /// Until when Redis is left alone.
    resting: Arc<Mutex<Option<Instant>>>,
}

/// The way to one server, or to a cluster of them.
#[derive(Clone)]
enum Connection {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

/// The key of a bitmap. Those of one segment are in one slot of a Redis cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Named(String);

/// A bitmap to be copied.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    pub(crate) name: Named,
    pub(crate) members: Bitset,
    /// The one whose place it takes.
    pub(crate) instead: Option<Named>,
}

impl Named {
    pub(crate) fn new(place: &Place, block: i32, version: Version) -> Self {
        let Place { segment, revision } = place;
        let Version { number, digest } = version;
        Self(format!(
            "cursus:{{{}/{}}}:{revision}:{block}:{number}-{digest:016x}",
            segment.workspace, segment.id
        ))
    }
}

impl Named {
    /// What decides on which node of a cluster it is.
    fn tag(&self) -> &str {
        self.0.split_once('}').map_or(&self.0, |(tag, _)| tag)
    }
}

impl Bitmaps {
    /// Connects when first used: to the only node, or to the cluster that several are of.
    pub(crate) fn new(nodes: &[redis::ConnectionInfo]) -> redis::RedisResult<Self> {
        let connection = match nodes {
            [server] => {
                let client = redis::Client::open(server.clone())?;
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE))
                    .set_number_of_retries(0);
                Connection::Server(ConnectionManager::new_lazy_with_config(client, config)?)
            }
            nodes => {
                let client = ClusterClient::new(nodes.to_vec())?;
                let config = ClusterConfig::new()
                    .set_connection_timeout(PATIENCE)
                    .set_response_timeout(PATIENCE);
                Connection::Cluster(client.get_pending_async_connection_with_config(config))
            }
        };
        Ok(Self { connection, near: Arc::new(Recent::new(NEAR)), resting: Arc::default() })
    }

    /// Which slots of some bitmaps of one segment are set; `None` for a bitmap that is not there.
    pub(crate) async fn check(&self, asked: &[(Named, Vec<u16>)]) -> Vec<Option<Vec<bool>>> {
        let known: Vec<_> = asked.iter().map(|(name, _)| self.near.get(name)).collect();
        let mut bits: Vec<_> = known
            .iter()
            .zip(asked)
            .map(|(known, (_, slots))| Some(among(known.as_ref()?.as_ref()?, slots)))
            .collect();
        metrics::read_from_memory(bits.iter().flatten().count());
        let (mut far, mut places) = (Vec::new(), Vec::new());
        for (place, (known, (name, slots))) in known.iter().zip(asked).enumerate() {
            if bits[place].is_none() {
                let is_whole = known.is_some() || slots.len() >= MANY;
                far.push(Far { name, slots, is_whole });
                places.push(place);
            }
        }
        for (place, found) in places.into_iter().zip(self.fetch(&far).await) {
            bits[place] = found;
        }
        bits
    }

    /// The same, of those that are not in memory.
    async fn fetch(&self, asked: &[Far<'_>]) -> Vec<Option<Vec<bool>>> {
        if asked.is_empty() {
            return Vec::new();
        }
        // One transaction, because `GETBIT` of what is not there is 0: nothing expires or comes in between.
        let mut pipe = redis::pipe();
        pipe.atomic();
        for Far { name, slots, is_whole } in asked {
            if *is_whole {
                pipe.cmd("GET").arg(&name.0);
                continue;
            }
            pipe.cmd("EXISTS").arg(&name.0);
            for slot in *slots {
                pipe.cmd("GETBIT").arg(&name.0).arg(*slot);
            }
        }
        let answers: Option<Vec<redis::Value>> = self.ask(&pipe).await;
        let Some(mut answers) = answers.map(Vec::into_iter) else { return vec![None; asked.len()] };
        let found: Vec<_> = asked.iter().map(|far| self.take(far, &mut answers)).collect();
        metrics::read_from_redis(found.iter().flatten().count());
        found
    }

    /// What Redis says of one bitmap. It is remembered as far as it was asked for.
    fn take(
        &self,
        Far { name, slots, is_whole }: &Far<'_>,
        answers: &mut impl Iterator<Item = redis::Value>,
    ) -> Option<Vec<bool>> {
        if *is_whole {
            let redis::Value::BulkString(bytes) = answers.next()? else { return None };
            let members = Arc::new(Bitset::from_redis_bytes(&bytes).ok()?);
            let bits = among(&members, slots);
            self.near.insert((*name).clone(), Some(members));
            return Some(bits);
        }
        let is_one = |answer: redis::Value| answer == redis::Value::Int(1);
        let exists = is_one(answers.next()?);
        let bits: Vec<bool> = answers.by_ref().take(slots.len()).map(is_one).collect();
        let bits = (exists && bits.len() == slots.len()).then_some(bits)?;
        self.near.insert((*name).clone(), None);
        Some(bits)
    }

    /// Copies what was read or written, as far as Redis takes it.
    pub(crate) async fn fill(&self, bitmaps: Vec<Bitmap>) {
        let together = |one: &Bitmap, other: &Bitmap| match self.connection {
            Connection::Server(_) => true,
            // What is sent at once must be for one node; those of one segment are.
            Connection::Cluster(_) => one.name.tag() == other.name.tag(),
        };
        let batches = bitmaps.chunk_by(together).flat_map(|chunk| chunk.chunks(BATCH));
        let pipes: Vec<redis::Pipeline> = batches.map(filling).collect();
        let sent = stream::iter(pipes).map(|pipe| async move { self.ask::<()>(&pipe).await });
        sent.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    }

    async fn ask<T: redis::FromRedisValue>(&self, pipe: &redis::Pipeline) -> Option<T> {
        if self.is_resting() {
            return None;
        }
        let asking = async {
            match self.connection.clone() {
                Connection::Server(mut server) => pipe.query_async(&mut server).await,
                Connection::Cluster(mut cluster) => pipe.query_async(&mut cluster).await,
            }
        };
        let failure = match timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(error = failure, "redis failed; reading from postgres for a while");
        let until = Instant::now() + PAUSE;
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        None
    }

    fn is_resting(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.is_some_and(|until| Instant::now() < until)
    }
}

/// A bitmap that is not in memory, and what is asked of it.
struct Far<'a> {
    name: &'a Named,
    slots: &'a [u16],
    is_whole: bool,
}

fn among(members: &Bitset, slots: &[u16]) -> Vec<bool> {
    slots.iter().map(|slot| members.contains(*slot)).collect()
}

/// What copies some bitmaps.
fn filling(bitmaps: &[Bitmap]) -> redis::Pipeline {
    let mut pipe = redis::pipe();
    for Bitmap { name, members, instead } in bitmaps {
        let bytes = members.to_redis_bytes();
        pipe.cmd("SET").arg(&name.0).arg(bytes).arg("EX").arg(KEPT_SECONDS).ignore();
        if let Some(old) = instead {
            pipe.cmd("EXPIRE").arg(&old.0).arg(KEPT_OLD_SECONDS).ignore();
        }
    }
    pipe
}

impl fmt::Debug for Bitmaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bitmaps(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_content_and_keeps_a_segments_keys_together() {
        let segment = "workspaces/acme/segments/vip".parse().unwrap();
        let place = Place { segment, revision: 2 };
        let version = Version { number: 77, digest: -1 };
        assert_eq!(Named::new(&place, 3, version).0, "cursus:{acme/vip}:2:3:77-ffffffffffffffff");
    }
}
