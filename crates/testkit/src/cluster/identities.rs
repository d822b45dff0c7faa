//! Who may call a test cluster: five services, four people and a program of theirs, with fresh tokens.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Service;
use crate::clients::{hex, identity};
use crate::directory::Directory;

/// The subject with role admin.
pub const ADMIN: &str = "barbara@example.com";
/// The subject with role approver.
pub const APPROVER: &str = "grace@example.com";
/// The subject with role editor.
pub const EDITOR: &str = "ada@example.com";
/// The subject with role viewer.
pub const VIEWER: &str = "edith@example.com";
/// The subject with role service that is none of the five: a program that uses them.
pub const PROGRAM: &str = "shop";

const CALLERS: [(&str, &str); 5] = [
    (ADMIN, "admin"),
    (APPROVER, "approver"),
    (EDITOR, "editor"),
    (VIEWER, "viewer"),
    (PROGRAM, "service"),
];
const SECRET_BYTES: usize = 24;

#[derive(Debug)]
pub(super) struct Identities {
    file: PathBuf,
    token_files: BTreeMap<Service, PathBuf>,
    tokens: BTreeMap<String, String>,
}

impl Identities {
    /// Writes the identities file, and each service's token into a file of its own.
    pub(super) fn write(directory: &Directory, workspace: &str) -> anyhow::Result<Self> {
        let mut tokens = BTreeMap::new();
        let mut entries = Vec::new();
        for (subject, role) in CALLERS {
            let token = fresh_secret()?;
            entries.push(identity(subject, &token, &[role], workspace));
            tokens.insert(subject.to_owned(), token);
        }
        let mut token_files = BTreeMap::new();
        for service in Service::ALL {
            let token = fresh_secret()?;
            let file = directory.join(format!("{service}.token"));
            fs::write(&file, &token)?;
            token_files.insert(service, file);
            entries.push(identity(service.name(), &token, &["service"], "*"));
            tokens.insert(service.name().to_owned(), token);
        }
        let file = directory.join("identities.json");
        fs::write(&file, Value::from(entries).to_string())?;
        Ok(Self { file, token_files, tokens })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn token_file(&self, service: Service) -> &Path {
        &self.token_files[&service]
    }

    pub(super) fn token(&self, subject: &str) -> Option<&str> {
        self.tokens.get(subject).map(String::as_str)
    }
}

/// 36 random bytes in base64url: 48 hexadecimal digits happen to be that too.
pub(super) fn fresh_secret() -> anyhow::Result<String> {
    let mut secret = [0; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(hex(&secret))
}
