//! The rules of the house that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 400;
const BANNED_NAMES: [&str; 9] =
    ["common", "core", "helper", "helpers", "misc", "shared", "types", "util", "utils"];
/// What SQL is written with.
const SQL: [&str; 4] = ["AssertSqlSafe", "QueryBuilder", "query", "raw_sql"];
/// A repeated request is answered from stored bytes, so the operations may encode and decode.
const ENCODING: &str = "use prost::Message;";

struct Source {
    /// Relative to the root.
    path: String,
    text: String,
}

impl Source {
    /// The code of one service's own modules: its name, and the module's place in it.
    fn in_service(&self) -> Option<(&str, &str)> {
        self.path.strip_prefix("services/")?.split_once("/src/")
    }

    fn is_inside(&self, modules: &[&str]) -> bool {
        let Some((_, module)) = self.in_service() else { return false };
        let is_part = |name: &&str| {
            module.strip_prefix(*name).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        modules.iter().any(is_part)
    }

    /// Lines of code and comments, without the tests at the foot of the file.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let mut lines = self.text.lines().peekable();
        std::iter::from_fn(move || {
            let line = lines.next()?;
            let is_test = line == "#[cfg(test)]"
                && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
            (!is_test).then_some(line)
        })
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        self.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file that we wrote.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<PathBuf> =
        ["crates", "services", "tests"].map(|name| root.join(name)).into();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "found only {} files", sources.len());
    sources
}

/// Fails with every offence, not just the first.
fn check(offences: impl Iterator<Item = String>) {
    let offences: Vec<String> = offences.collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// What follows `prefix` in a line, when it is a name of its own and not the end of another.
fn after<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let at = line.find(prefix)?;
    let before = line[..at].chars().next_back();
    let is_word = before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_');
    is_word.then(|| &line[at + prefix.len()..])
}

#[test]
fn every_module_says_what_it_is_for() {
    check(sources().into_iter().filter_map(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        let says = first.strip_prefix("//!").is_some_and(|words| words.trim().len() > 10);
        (!says).then(|| format!("{}: no `//!` that says what it is for", source.path))
    }));
}

#[test]
fn no_file_is_too_long() {
    check(sources().into_iter().filter_map(|source| {
        let lines = source.lines().count();
        let is_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        let is_long = lines > MOST_LINES && !is_test;
        is_long.then(|| format!("{}: {lines} lines; {MOST_LINES} at most", source.path))
    }));
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    check(sources().into_iter().filter_map(|source| {
        let named = source.path.trim_end_matches(".rs").split('/');
        let banned = named.into_iter().find(|name| BANNED_NAMES.contains(name))?;
        Some(format!("{}: nothing is called `{banned}` here", source.path))
    }));
}

#[test]
fn only_the_edges_of_a_service_name_the_wire() {
    let edges = ["error", "grpc", "lib", "peers"];
    let sources = sources().into_iter();
    check(sources.filter(|it| it.in_service().is_some() && !it.is_inside(&edges)).flat_map(
        |source| {
            let is_wire = |line: &&str| {
                ["tonic", "prost"].iter().any(|wire| {
                    after(line, wire)
                        .is_some_and(|rest| rest.starts_with("::") || rest.starts_with('_'))
                })
            };
            let found = source.code().filter(|line| *line != ENCODING).filter(is_wire);
            let found: Vec<String> = found.map(str::to_owned).collect();
            found.into_iter().map(move |line| format!("{}: {}", source.path, line.trim()))
        },
    ));
}

#[test]
fn only_the_store_of_a_service_writes_sql() {
    let sources = sources().into_iter().filter(|it| it.in_service().is_some());
    check(sources.filter(|it| !it.is_inside(&["store"])).flat_map(|source| {
        let is_sql = |line: &&str| {
            after(line, "sqlx::").is_some_and(|rest| SQL.iter().any(|name| rest.contains(name)))
        };
        let found: Vec<String> = source.code().filter(is_sql).map(str::to_owned).collect();
        found.into_iter().map(move |line| format!("{}: {}", source.path, line.trim()))
    }));
}

#[test]
fn no_service_depends_on_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let services: Vec<String> = fs::read_dir(root.join("services"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    check(services.iter().flat_map(|service| {
        let manifest = root.join("services").join(service).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let others = services.iter().filter(move |other| *other != service);
        others.filter_map(move |other| {
            let depends = after(&manifest, &format!("cursus-{other}")).is_some();
            depends.then(|| format!("{service} depends on {other}"))
        })
    }));
}
