//! A private Redis Cluster: three nodes on loopback that share the slots.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Installation, Redis};
use crate::port;

const READY: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// The slots of each node.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// Running nodes, stopped when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Returns when the cluster serves every slot.
    pub async fn start(installation: &Installation) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in SLOTS {
            // The usual bus port, 10,000 above, may be anybody's.
            let bus = port::free()?;
            let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()];
            let settings = settings.map(str::to_owned).to_vec();
            nodes.push(Redis::start_with(installation, settings).await?);
            buses.push(bus);
        }
        for (epoch, (node, (first, last))) in (1..).zip(nodes.iter().zip(SLOTS)) {
            let port = node.port();
            ask(port, &format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await?;
            ask(port, &format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await?;
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port());
            ask(nodes[0].port(), &meet).await?;
        }
        let cluster = Self { nodes };
        cluster.serves().await?;
        Ok(cluster)
    }

    /// The addresses of the nodes, separated by commas.
    pub fn url(&self) -> String {
        self.nodes.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }

    /// The address of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    async fn serves(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        for node in &self.nodes {
            while !ask(node.port(), "CLUSTER INFO").await?.contains("cluster_state:ok") {
                if started.elapsed() > READY {
                    bail!("the Redis Cluster did not become ready");
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

/// Sends one command and reads its answer: a line, or a text of as many bytes as the first line says.
async fn ask(port: u16, command: &str) -> anyhow::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if line.starts_with('-') {
        bail!("`{command}` was refused: {line}");
    }
    let Some(length) = line.strip_prefix('$') else { return Ok(line) };
    let length: usize = length.trim().parse().context("the answer has no length")?;
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_of_different_nodes_cannot_be_written_at_once() {
        let cluster = RedisCluster::start(&Installation::find().unwrap()).await.unwrap();
        let port = cluster.nodes[0].port();
        let refused = ask(port, "MSET a 1 b 2").await.unwrap_err().to_string();
        assert!(refused.contains("CROSSSLOT"), "{refused}");
        assert_eq!(cluster.url().split(',').count(), 3);
    }
}
