//! What Postgres tells by notification: that blocks of a partition changed, and that containers of a workspace did.
//! Whoever waits for a bell also looks by itself now and then, so a lost notification costs time and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cursus_feed::Herald;
use cursus_ids::SegmentId;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::block::PARTITIONS;
use crate::membership::Version;

/// The pause before listening again after the connection was lost.
const PAUSE: Duration = Duration::from_secs(1);
/// What Postgres calls it when blocks of a partition changed, and when containers of a workspace did.
const BLOCK_CHANGES: &str = "block_changes";
const CONTAINERS: &str = "containers";
/// A notification may have 8,000 bytes.
const MOST_BYTES: usize = 7_900;
/// When so many versions wait to be taken, it is quicker to read what there is.
const MOST_VERSIONS: usize = 4_096;

/// The bells of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    partitions: Arc<Vec<watch::Sender<()>>>,
    workspaces: Arc<watch::Sender<BTreeMap<String, News>>>,
    /// Tells the other processes.
    herald: Herald,
}

/// What was heard of the containers of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// That some have these versions now.
    Versions(Vec<NewVersion>),
    /// That there is something to be read.
    Something,
}

/// That the members of a block have another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewVersion {
    pub(crate) segment: SegmentId,
    pub(crate) revision: i64,
    pub(crate) block: i32,
    pub(crate) version: Version,
}

impl Bells {
    pub(crate) fn new(herald: Herald) -> Self {
        let partitions = (0..PARTITIONS).map(|_| watch::Sender::new(())).collect();
        Self { partitions: Arc::new(partitions), workspaces: Arc::default(), herald }
    }

    /// Wakes whoever works on a partition, here at once and elsewhere soon: what changed in it is committed.
    pub(crate) fn announce(&self, partition: u16) {
        self.ring(partition);
        self.herald.tell(BLOCK_CHANGES, partition.to_string());
    }

    /// Says that containers of a workspace have new versions, which are committed and copied.
    pub(crate) fn announce_versions(&self, workspace: &str, versions: Vec<NewVersion>) {
        let lines: Vec<String> = versions.iter().map(NewVersion::line).collect();
        self.add(workspace, News::Versions(versions));
        for payload in payloads(workspace, &lines) {
            self.herald.tell(CONTAINERS, payload);
        }
    }

    /// Rings when blocks of a partition changed.
    pub(crate) fn partition(&self, index: u16) -> watch::Receiver<()> {
        self.partitions[usize::from(index % PARTITIONS)].subscribe()
    }

    /// Wakes whoever works on a partition in this process.
    pub(crate) fn ring(&self, partition: u16) {
        self.partitions[usize::from(partition % PARTITIONS)].send_replace(());
    }

    /// Waits until containers changed somewhere, and says in which workspaces and what.
    pub(crate) async fn workspaces(&self) -> BTreeMap<String, News> {
        let mut rung = self.workspaces.subscribe();
        // The sender is our own, so it is there.
        let _ = rung.wait_for(|workspaces| !workspaces.is_empty()).await;
        let mut taken = BTreeMap::new();
        self.workspaces.send_if_modified(|workspaces| {
            taken = std::mem::take(workspaces);
            false
        });
        taken
    }

    /// Rings the bells as Postgres says, over one connection taken from the pool, until shutdown.
    pub(crate) async fn listen(self, pool: PgPool, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let Some(heard) = shutdown.run_until_cancelled(self.hear(&pool)).await else { return };
            let Err(error) = heard;
            tracing::warn!(%error, "lost the connection that listens for changes; polling meanwhile");
            shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    async fn hear(&self, pool: &PgPool) -> Result<Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen_all([BLOCK_CHANGES, CONTAINERS]).await?;
        self.ring_partitions();
        loop {
            let Some(heard) = listener.try_recv().await? else {
                self.ring_partitions();
                continue;
            };
            match heard.channel() {
                CONTAINERS => {
                    let (workspace, news) = News::read(heard.payload());
                    self.add(workspace, news);
                }
                _ => self.ring_partition(heard.payload()),
            }
        }
    }

    fn add(&self, workspace: &str, news: News) {
        self.workspaces.send_modify(|workspaces| match workspaces.get_mut(workspace) {
            Some(known) => known.add(news),
            None => drop(workspaces.insert(workspace.to_owned(), news)),
        });
    }

    fn ring_partition(&self, index: &str) {
        if let Some(partition) = index.parse().ok().filter(|index| *index < PARTITIONS) {
            self.ring(partition);
        }
    }

    fn ring_partitions(&self) {
        for partition in self.partitions.iter() {
            partition.send_replace(());
        }
    }
}

/// As few notifications as hold all lines.
fn payloads(workspace: &str, lines: &[String]) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for line in lines {
        match payloads.last_mut() {
            Some(last) if last.len() + line.len() <= MOST_BYTES => last.push_str(line),
            _ => payloads.push(format!("{workspace}{line}")),
        }
    }
    payloads
}

impl News {
    /// A workspace, and a line for each new version; none if they would not fit.
    fn read(payload: &str) -> (&str, Self) {
        let Some((workspace, lines)) = payload.split_once('\n') else {
            return (payload, Self::Something);
        };
        let versions: Option<Vec<NewVersion>> = lines.lines().map(NewVersion::read).collect();
        (workspace, versions.map_or(Self::Something, Self::Versions))
    }

    fn add(&mut self, later: Self) {
        match (&mut *self, later) {
            (Self::Versions(known), Self::Versions(later)) if known.len() < MOST_VERSIONS => {
                known.extend(later);
            }
            _ => *self = Self::Something,
        }
    }
}

impl NewVersion {
    fn line(&self) -> String {
        let Self { segment, revision, block, version: Version { number, digest } } = self;
        format!("\n{segment} {revision} {block} {number} {digest}")
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next();
        Some(Self {
            segment: word()?.parse().ok()?,
            revision: word()?.parse().ok()?,
            block: word()?.parse().ok()?,
            version: Version { number: word()?.parse().ok()?, digest: word()?.parse().ok()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_heard_one_by_one_unless_they_are_too_many() {
        let (workspace, news) = News::read("acme\nvip 2 0 77 -5\npros 1 3 78 6");
        let News::Versions(versions) = &news else { panic!("{news:?}") };
        assert_eq!((workspace, versions.len()), ("acme", 2));
        let version = Version { number: 77, digest: -5 };
        let segment = "vip".parse().unwrap();
        assert_eq!(versions[0], NewVersion { segment, revision: 2, block: 0, version });
        assert_eq!(News::read("acme"), ("acme", News::Something));
        assert_eq!(News::read("acme\nvip 2"), ("acme", News::Something));
    }

    #[test]
    fn versions_are_told_in_as_many_notifications_as_they_need() {
        let version = |number| NewVersion {
            segment: "vip".parse().unwrap(),
            revision: 2,
            block: 3,
            version: Version { number, digest: i64::MIN },
        };
        let versions: Vec<NewVersion> = (0..1_000).map(version).collect();
        let lines: Vec<String> = versions.iter().map(NewVersion::line).collect();
        let payloads = payloads("acme", &lines);
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() < 8_000));
        let heard = payloads.iter().flat_map(|payload| match News::read(payload) {
            ("acme", News::Versions(versions)) => versions,
            other => panic!("{other:?}"),
        });
        assert_eq!(heard.collect::<Vec<_>>(), versions);
    }

    #[test]
    fn what_is_heard_before_it_is_taken_adds_up() {
        let versions = |payload| News::read(payload).1;
        let mut news = versions("acme\nvip 2 0 77 5");
        news.add(versions("acme\nvip 2 0 78 6"));
        assert!(matches!(&news, News::Versions(versions) if versions.len() == 2));
        news.add(News::Something);
        assert_eq!(news, News::Something);
        news.add(versions("acme\nvip 2 0 79 7"));
        assert_eq!(news, News::Something);
    }
}
