//! `deny`: what may be in our dependency graph, by `deny.toml`. Uses `cargo-deny` where it is
//! installed; elsewhere it reads the same file and checks the same three things itself, with no
//! network.

mod licence;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::command::{cargo, read, run, succeeds};
use crate::screen;
use crate::workspace::Workspace;

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

/// A package that is really compiled, as `cargo tree` shows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// The folder of one of ours, the address of a repository; none for the registry.
    source: Option<&'a str>,
    licence: &'a str,
}

pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    if succeeds(cargo(workspace).args(["deny", "--version"])).await {
        return run(cargo(workspace).args(["deny", "check", "licenses", "bans", "sources"])).await;
    }
    let policy = fs::read_to_string(workspace.root().join("deny.toml")).context("no deny.toml")?;
    let policy: Policy = toml::from_str(&policy)?;
    // Not `cargo metadata`, which lists what optional features of dependencies would bring.
    let mut tree = cargo(workspace);
    tree.args(["tree", "--workspace", "--locked", "--edges=normal,build,dev"]);
    let tree = read(tree.args(["--prefix=none", "--format={p}\t{l}\t"])).await?;
    let packages: BTreeSet<Package<'_>> = tree.lines().filter_map(package).collect();
    let found: Vec<String> =
        packages.iter().flat_map(|package| objections(package, &policy)).collect();
    if !found.is_empty() {
        bail!("not allowed by deny.toml:\n{}", found.join("\n"));
    }
    let count = packages.len();
    screen::say(format!("{count} packages: licences, bans and sources are in order."));
    Ok(())
}

/// Reads `name v1.2.3 (source) (proc-macro)<tab>licence<tab>`; empty lines stand between trees.
fn package(line: &str) -> Option<Package<'_>> {
    let (package, licence) = line.split_once('\t')?;
    let (licence, _repeated) = licence.split_once('\t')?;
    let mut words = package.splitn(3, ' ');
    let (name, version) = (words.next()?, words.next()?);
    let notes = words.next().unwrap_or_default().trim_end_matches("(proc-macro)").trim();
    let source = notes.strip_prefix('(').and_then(|notes| notes.strip_suffix(')'));
    Some(Package { name, version, source, licence })
}

fn objections(package: &Package<'_>, policy: &Policy) -> Vec<String> {
    let Package { name, version, source, licence } = package;
    let mut found = Vec::new();
    if let Some(banned) = policy.bans.deny.iter().find(|banned| banned.name == *name) {
        found.push(format!("{name} {version} is banned: {}", banned.reason));
    }
    if source.is_some_and(|source| !source.starts_with('/')) {
        found.push(format!("{name} {version} does not come from the registry"));
    }
    if !licence::is_allowed(licence, &policy.licenses.allow) {
        found.push(format!("{name} {version} has licence `{licence}`"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objections_to(line: &str) -> Vec<String> {
        let policy = r#"
            [licenses]
            allow = ["MIT"]
            [bans]
            deny = [{ crate = "ring", reason = "one TLS provider" }]
        "#;
        objections(&package(line).unwrap(), &toml::from_str(policy).unwrap())
    }

    #[test]
    fn packages_of_ours_and_of_the_registry_pass_under_an_allowed_licence() {
        for line in ["a v1.0.0 (/ours/a)\tMIT\t", "b v2.0.0 (proc-macro)\tMIT\t (*)"] {
            assert_eq!(objections_to(line), Vec::<String>::new());
        }
    }

    #[test]
    fn a_banned_crate_from_a_fork_without_a_licence_is_refused_three_times() {
        let found = objections_to("ring v0.1.0 (https://host/ring#abc)\t\t");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "ring v0.1.0 is banned: one TLS provider");
    }

    #[test]
    fn a_licence_that_is_not_on_the_list_is_refused() {
        assert_eq!(objections_to("b v2.0.0\tAGPL-3.0\t"), ["b v2.0.0 has licence `AGPL-3.0`"]);
    }
}
