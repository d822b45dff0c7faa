//! The five services as processes, as they run in production: to be used, killed and measured.

mod identities;
mod node;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::identities::Identities;
pub use self::identities::{ADMIN, APPROVER, EDITOR, PROGRAM, VIEWER};
use self::node::Node;
use crate::clients::{self, Authorized};
use crate::directory::Directory;
use crate::scratch::{self, Blank};

/// One of the five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Segmentation,
    Content,
    Delivery,
    Experiment,
    Orchestrator,
}

impl Service {
    pub const ALL: [Self; 5] =
        [Self::Segmentation, Self::Content, Self::Delivery, Self::Experiment, Self::Orchestrator];

    pub fn name(self) -> &'static str {
        match self {
            Self::Segmentation => "segmentation",
            Self::Content => "content",
            Self::Delivery => "delivery",
            Self::Experiment => "experiment",
            Self::Orchestrator => "orchestrator",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a cluster is built from.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The folder with `cursus-segmentation` and the others.
    pub programs: PathBuf,
    /// A Postgres server; the cluster makes its own databases on it.
    pub database_url: String,
    pub redis_url: String,
    /// The relay that takes the mail.
    pub relay: SocketAddr,
    /// The workspace that the people may enter.
    pub workspace: String,
    /// Variables on top of what every cluster sets.
    pub settings: Vec<(Service, &'static str, String)>,
}

/// A running cluster; its processes are killed and its databases dropped with it.
#[derive(Debug)]
pub struct Cluster {
    // Processes first, then what they use.
    nodes: BTreeMap<Service, Node>,
    identities: Identities,
    _databases: Vec<Blank>,
    _directory: Directory,
}

impl Cluster {
    /// Starts all five and returns when every one is ready.
    pub async fn start(blueprint: Blueprint) -> anyhow::Result<Self> {
        let directory = Directory::create()?;
        let identities = Identities::write(&directory, &blueprint.workspace)?;
        let mut databases = Vec::new();
        let mut nodes = BTreeMap::new();
        for service in Service::ALL {
            let owner = format!("cursus_{service}");
            let database = scratch::blank(&blueprint.database_url, &owner).await?;
            let program = blueprint.programs.join(format!("cursus-{service}"));
            let node = Node::new(service, program, directory.join(format!("{service}.log")))?;
            nodes.insert(service, node.with_setting("CURSUS_DATABASE_URL", &database.url));
            databases.push(database);
        }
        settings::apply(&mut nodes, &blueprint, &identities, &directory)?;
        let mut cluster = Self { nodes, identities, _databases: databases, _directory: directory };
        for node in cluster.nodes.values_mut() {
            node.spawn()?;
        }
        for node in cluster.nodes.values_mut() {
            node.wait_until_ready().await?;
        }
        Ok(cluster)
    }

    /// Where a service answers gRPC; the same after a restart.
    pub fn address(&self, service: Service) -> SocketAddr {
        self.node(service).listen()
    }

    /// Where a service answers another kind of request, by the variable that told it where to
    /// listen.
    pub fn setting(&self, service: Service, variable: &str) -> Option<&str> {
        self.node(service).setting(variable)
    }

    /// What a service has logged.
    pub fn log(&self, service: Service) -> &Path {
        self.node(service).log()
    }

    /// The token of a person or a service, by subject.
    pub fn token(&self, subject: &str) -> anyhow::Result<&str> {
        self.identities.token(subject).with_context(|| format!("nobody is called {subject}"))
    }

    /// A channel to a service, as somebody.
    pub fn channel(&self, service: Service, subject: &str) -> anyhow::Result<Authorized> {
        clients::channel(self.address(service), self.token(subject)?)
    }

    /// The most resident memory a service has had, in bytes, over all its restarts.
    pub fn peak_memory(&self, service: Service) -> u64 {
        self.node(service).peak_memory()
    }

    /// Kills a service without warning.
    pub async fn kill(&mut self, service: Service) -> anyhow::Result<()> {
        self.node_mut(service).kill().await
    }

    /// Kills a service if it runs, starts it at the same address, and returns when it is ready.
    pub async fn restart(&mut self, service: Service) -> anyhow::Result<()> {
        let node = self.node_mut(service);
        node.kill().await?;
        node.spawn()?;
        node.wait_until_ready().await
    }

    /// Asks every service to end, waits until all have, and fails when one ended badly.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut() {
            node.ask_to_end()?;
        }
        for node in self.nodes.values_mut() {
            node.wait_until_ended().await?;
        }
        Ok(())
    }

    /// Fails when a service is no longer running, with the end of its log.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.nodes.values_mut().try_for_each(Node::check_running)
    }

    fn node(&self, service: Service) -> &Node {
        &self.nodes[&service]
    }

    fn node_mut(&mut self, service: Service) -> &mut Node {
        self.nodes.get_mut(&service).expect("`start` makes a node for each service")
    }
}
