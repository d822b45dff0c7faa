//! What `deploy/` tells the services, held against what their `--help` says they read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use cursus_testkit::cluster::Service;

use crate::cluster;

const PREFIX: &str = "CURSUS_";

/// The environment variables that a service reads.
struct Manual {
    known: BTreeSet<String>,
    required: BTreeSet<String>,
}

impl Manual {
    fn of(service: Service) -> Self {
        let program = cluster::programs().join(format!("cursus-{service}"));
        let help = Command::new(program).arg("--help").env_clear().output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        // The chart counts on these ports.
        for port in ["[default: 0.0.0.0:7000]", "[default: 0.0.0.0:7001]"] {
            assert!(help.contains(port), "{service} has no {port}");
        }
        let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap();
        let required = usage.split_whitespace().filter_map(|word| word.strip_prefix("--"));
        let required = required.map(|flag| variable(&flag.replace('-', "_").to_uppercase()));
        let manual = Self { known: variables(&help), required: required.collect() };
        assert!(manual.required.len() >= 3 && manual.known.is_superset(&manual.required));
        manual
    }

    /// The peers whose addresses it takes.
    fn peers(&self) -> BTreeSet<String> {
        let address = |service: &Service| address(service.name());
        Service::ALL.iter().map(address).filter(|it| self.known.contains(it)).collect()
    }

    fn check(&self, place: &str, told: &BTreeSet<String>) {
        let unknown: Vec<&String> = told.difference(&self.known).collect();
        assert!(unknown.is_empty(), "{place}: nobody reads {unknown:?}");
        let missing: Vec<&String> = self.required.difference(told).collect();
        assert!(missing.is_empty(), "{place}: {missing:?} must be set");
    }
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The variable with the address of a peer.
fn address(peer: &str) -> String {
    variable(&format!("{}_URL", peer.to_uppercase()))
}

/// Every variable of ours that a text names outside of comments.
fn variables(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let is_between = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let words = lines.flat_map(|line| line.split(is_between));
    let ours = |word: &&str| word.strip_prefix(PREFIX).is_some_and(|name| !name.is_empty());
    words.filter(ours).map(str::to_owned).collect()
}

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("deploy").join(path)).unwrap()
}

/// What stands before the services, and the part about one of them.
fn parts(text: &str, service: Service) -> (&str, String) {
    let (before, services) = text.split_once("\nservices:\n").unwrap();
    let heading = format!("  {service}:");
    let section = services.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| line.is_empty() || line.starts_with("    "));
    let section: Vec<&str> = section.collect();
    assert!(!section.is_empty(), "there is no {service}");
    (before, section.join("\n"))
}

#[test]
fn the_chart_sets_what_the_services_read_and_lets_them_call_whom_they_call() {
    let (values, template) = (file("chart/values.yaml"), file("chart/templates/deployments.yaml"));
    // Only some services have these ports besides, and only those are told of them.
    let ports = [("tracking", "CURSUS_TRACKING_"), ("ingest", "CURSUS_INGEST_")];
    for service in Service::ALL {
        let manual = Manual::of(service);
        let (_, section) = parts(&values, service);
        let calls = section.lines().find_map(|line| line.trim().strip_prefix("calls: ")).unwrap();
        let calls = calls.trim_matches(['[', ']']).split(", ").map(address);
        let calls: BTreeSet<String> = calls.collect();
        assert_eq!(calls, manual.peers(), "whom {service} calls");
        let mut told = variables(&template);
        for (port, prefix) in ports {
            let has_port = section.contains(&format!("\n    {port}:\n"));
            told.retain(|variable| has_port || !variable.starts_with(prefix));
        }
        told.extend(variables(&section));
        told.extend(calls);
        manual.check(&format!("{service} in the chart"), &told);
    }
}

#[test]
fn the_composition_sets_what_the_services_read() {
    let composition = file("compose.yaml");
    for service in Service::ALL {
        let manual = Manual::of(service);
        let (shared, section) = parts(&composition, service);
        let mut told = variables(shared);
        told.extend(variables(&section));
        let addresses: BTreeSet<String> = told.intersection(&manual.peers()).cloned().collect();
        assert_eq!(addresses, manual.peers(), "whom {service} calls");
        manual.check(&format!("{service} in compose.yaml"), &told);
    }
}
