//! What each service is told, beside its address and its database.

use std::collections::BTreeMap;
use std::fs;

use super::identities::{Identities, fresh_secret};
use super::node::Node;
use super::{Blueprint, Service};
use crate::directory::Directory;
use crate::port;

const PEERS: [(Service, &str); 5] = [
    (Service::Segmentation, "CURSUS_SEGMENTATION_URL"),
    (Service::Content, "CURSUS_CONTENT_URL"),
    (Service::Delivery, "CURSUS_DELIVERY_URL"),
    (Service::Experiment, "CURSUS_EXPERIMENT_URL"),
    (Service::Orchestrator, "CURSUS_ORCHESTRATOR_URL"),
];

pub(super) fn apply(
    nodes: &mut BTreeMap<Service, Node>,
    blueprint: &Blueprint,
    identities: &Identities,
    directory: &Directory,
) -> anyhow::Result<()> {
    let peers =
        PEERS.map(|(peer, variable)| (variable, format!("http://{}", nodes[&peer].listen())));
    for (service, node) in nodes.iter_mut() {
        node.set("CURSUS_IDENTITIES_FILE", &identities.file().display());
        node.set("CURSUS_SERVICE_TOKEN_FILE", &identities.token_file(*service).display());
        node.set("CURSUS_REDIS_URL", &blueprint.redis_url);
        for (variable, address) in &peers {
            node.set(variable, address);
        }
        if *service == Service::Segmentation {
            let ingest = format!("127.0.0.1:{}", port::free()?);
            node.set("CURSUS_INGEST_LISTEN", &ingest);
        }
        if *service == Service::Delivery {
            deliver(node, blueprint, directory)?;
        }
    }
    for (service, variable, value) in &blueprint.settings {
        if let Some(node) = nodes.get_mut(service) {
            node.set(variable, value);
        }
    }
    Ok(())
}

/// Mail goes to the relay in the clear, and what recipients do comes back over loopback.
fn deliver(node: &mut Node, blueprint: &Blueprint, directory: &Directory) -> anyhow::Result<()> {
    let tracking = format!("127.0.0.1:{}", port::free()?);
    node.set("CURSUS_TRACKING_LISTEN", &tracking);
    node.set("CURSUS_TRACKING_URL", &format!("http://{tracking}"));
    let tracking_keys = directory.join("tracking.keys");
    fs::write(&tracking_keys, format!("1:{}\n", fresh_secret()?))?;
    node.set("CURSUS_TRACKING_KEYS_FILE", &tracking_keys.display());
    let address_key = directory.join("address.key");
    fs::write(&address_key, fresh_secret()?)?;
    node.set("CURSUS_ADDRESS_KEY_FILE", &address_key.display());
    node.set("CURSUS_RELAY_HOST", &blueprint.relay.ip());
    node.set("CURSUS_RELAY_PORT", &blueprint.relay.port());
    node.set("CURSUS_RELAY_TLS", &"none");
    node.set("CURSUS_RELAY_HELLO", &"cursus.example.com");
    Ok(())
}
