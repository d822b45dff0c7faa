//! `deny`: what may be in our dependency graph, by `deny.toml`. Uses `cargo-deny` where it is installed; elsewhere it
//! reads the same file and checks the same three things itself, with no network.

mod licence;

use std::{collections::BTreeSet, fs};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{
    command::{cargo, read, run, succeeds},
    screen,
    workspace::Workspace,
};

const REGISTRY: &str = "registry+";

/// The part of `deny.toml` that we read ourselves.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Graph {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Absent for the packages of this workspace.
    source: Option<String>,
}

pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    if succeeds(cargo(workspace).args(["deny", "--version"])).await {
        return run(cargo(workspace).args(["deny", "check", "licenses", "bans", "sources"])).await;
    }
    let policy = fs::read_to_string(workspace.root().join("deny.toml")).context("no deny.toml")?;
    let policy: Policy = toml::from_str(&policy)?;
    let mut metadata = cargo(workspace);
    let graph = read(metadata.args(["metadata", "--format-version=1", "--locked"])).await?;
    let graph: Graph = serde_json::from_str(&graph)?;
    let found: Vec<String> =
        graph.packages.iter().flat_map(|package| objections(package, &policy)).collect();
    if !found.is_empty() {
        bail!("not allowed by deny.toml:\n{}", found.join("\n"));
    }
    screen::say(format!(
        "{} packages: licences, bans and sources are in order.",
        graph.packages.len()
    ));
    Ok(())
}

fn objections(package: &Package, policy: &Policy) -> Vec<String> {
    let (name, version) = (&package.name, &package.version);
    let mut found = Vec::new();
    if let Some(banned) = policy.bans.deny.iter().find(|banned| banned.name == *name) {
        found.push(format!("{name} {version} is banned: {}", banned.reason));
    }
    if package.source.as_deref().is_some_and(|source| !source.starts_with(REGISTRY)) {
        found.push(format!("{name} {version} does not come from the registry"));
    }
    match &package.license {
        None => found.push(format!("{name} {version} states no licence")),
        Some(licence) if !licence::is_allowed(licence, &policy.licenses.allow) => {
            found.push(format!("{name} {version} has licence `{licence}`"));
        }
        Some(_) => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objections_to(package: serde_json::Value) -> Vec<String> {
        let policy = r#"
            [licenses]
            allow = ["MIT"]
            [bans]
            deny = [{ crate = "ring", reason = "one TLS provider" }]
        "#;
        let package = serde_json::from_value(package).unwrap();
        objections(&package, &toml::from_str(policy).unwrap())
    }

    #[test]
    fn a_package_of_ours_under_an_allowed_licence_passes() {
        let ours = serde_json::json!({ "name": "a", "version": "1.0.0", "license": "MIT" });
        assert_eq!(objections_to(ours), Vec::<String>::new());
    }

    #[test]
    fn a_banned_crate_from_a_fork_without_a_licence_is_refused_three_times() {
        let package =
            serde_json::json!({ "name": "ring", "version": "0.1.0", "source": "git+https://x" });
        let found = objections_to(package);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "ring 0.1.0 is banned: one TLS provider");
    }

    #[test]
    fn a_licence_that_is_not_on_the_list_is_refused() {
        let package = serde_json::json!({ "name": "b", "version": "2.0.0", "license": "AGPL-3.0" });
        assert_eq!(objections_to(package), ["b 2.0.0 has licence `AGPL-3.0`"]);
    }
}
