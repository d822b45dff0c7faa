//! What each service is told, beside its address and its database.

use std::collections::BTreeMap;

use super::identities::Identities;
use super::node::Node;
use super::{Blueprint, Service};

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
) {
    let peers =
        PEERS.map(|(peer, variable)| (variable, format!("http://{}", nodes[&peer].listen())));
    for (service, node) in nodes.iter_mut() {
        node.set("CURSUS_IDENTITIES_FILE", &identities.file().display());
        node.set("CURSUS_SERVICE_TOKEN_FILE", &identities.token_file(*service).display());
        node.set("CURSUS_REDIS_URL", &blueprint.redis_url);
        for (variable, address) in &peers {
            node.set(variable, address);
        }
    }
    for (service, variable, value) in &blueprint.settings {
        if let Some(node) = nodes.get_mut(service) {
            node.set(variable, value);
        }
    }
}
