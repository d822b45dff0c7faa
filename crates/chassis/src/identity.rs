//! Who may call, read from a file of token hashes behind one seam: [`Authenticator`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at again. A mounted secret takes about a minute to change anyway.
const REREAD_EVERY: Duration = Duration::from_secs(10);
/// Stands for every workspace in an identity's list.
const EVERY_WORKSPACE: &str = "*";

/// Somebody, or some service, that may call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    subject: String,
    roles: HashSet<Role>,
    workspaces: HashSet<String>,
}

/// What an identity may do. None implies another; [`Role`]s are admitted as
/// [`crate::Caller::admit`] says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Creates and changes what is not yet live.
    Editor,
    /// Approves what somebody else proposed.
    Approver,
    /// Runs the installation.
    Admin,
    /// Is one of the five services.
    Service,
}

/// Tells who holds a token.
#[derive(Debug)]
pub(crate) struct Authenticator {
    path: PathBuf,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    text: String,
    entries: Vec<([u8; 32], Arc<Identity>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    subject: String,
    token_sha256: String,
    roles: HashSet<Role>,
    workspaces: HashSet<String>,
}

impl Identity {
    /// The stable name of who it is, as the audit log keeps it.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether a method that asks for `role` may be called. Every role may do what a viewer can;
    /// admins and services may do what an editor can; approving is never implied.
    pub(crate) fn may_act_as(&self, role: Role) -> bool {
        match role {
            Role::Viewer => !self.roles.is_empty(),
            Role::Editor => {
                [Role::Editor, Role::Admin, Role::Service].iter().any(|it| self.roles.contains(it))
            }
            Role::Approver | Role::Admin | Role::Service => self.roles.contains(&role),
        }
    }

    /// Whether it may see and change what is in `workspace`.
    pub(crate) fn may_enter(&self, workspace: &str) -> bool {
        self.workspaces.contains(EVERY_WORKSPACE) || self.workspaces.contains(workspace)
    }
}

impl Authenticator {
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Self> {
        let known = Known::read(path)?;
        Ok(Self { path: path.to_owned(), known: RwLock::new(known) })
    }

    /// Who holds `token`. Takes the same time whichever entry matches, or none.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Arc<Identity>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut holder = None;
        for (candidate, identity) in &known.entries {
            if bool::from(candidate.ct_eq(&hash)) {
                holder = Some(identity);
            }
        }
        holder.cloned()
    }

    /// Follows the file until shutdown. One that cannot be read changes nothing: refusing everybody
    /// because of a half-written file would be worse than a token that lives a little longer.
    pub(crate) async fn follow_file(&self, shutdown: CancellationToken) {
        let mut due = tokio::time::interval(REREAD_EVERY);
        while shutdown.run_until_cancelled(due.tick()).await.is_some() {
            if let Err(error) = self.reread() {
                tracing::error!(error = format!("{error:#}"), "the identities were not read again");
            }
        }
    }

    fn reread(&self) -> anyhow::Result<()> {
        let known = Known::read(&self.path)?;
        let mut current = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.text != current.text {
            tracing::info!(identities = known.entries.len(), "the identities have changed");
            *current = known;
        }
        Ok(())
    }
}

impl Known {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the identities in `{}`", path.display()))?;
        Self::parse(text).with_context(|| format!("in `{}`", path.display()))
    }

    fn parse(text: String) -> anyhow::Result<Self> {
        let listed: Vec<Entry> = serde_json::from_str(&text)?;
        let mut entries = Vec::with_capacity(listed.len());
        let mut hashes = HashSet::new();
        for Entry { subject, token_sha256, roles, workspaces } in listed {
            let Some(hash) = digest(&token_sha256) else {
                bail!("`token_sha256` of `{subject}` is not 64 hexadecimal digits");
            };
            if !hashes.insert(hash) {
                bail!("the token of `{subject}` is also somebody else's");
            }
            entries.push((hash, Arc::new(Identity { subject, roles, workspaces })));
        }
        Ok(Self { text, entries })
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes of `ana-token` and `ben-token`.
    const ANA: &str = "fdb19af2cd8f3f7de8c00cbdd4c4838366cbe4fa2e7ae38ba7f5847e75ad4bb5";
    const BEN: &str = "096835dcf70a20417cf2111f4634cbb41be9a56a0e9be1a68a597d92e460e3c0";

    fn listed(entries: &[(&str, &str, &str, &str)]) -> String {
        let entries: Vec<String> = entries
            .iter()
            .map(|(subject, hash, role, workspace)| {
                format!(
                    r#"{{"subject": "{subject}", "token_sha256": "{hash}", "roles": [{role}], "workspaces": ["{workspace}"]}}"#
                )
            })
            .collect();
        format!("[{}]", entries.join(","))
    }

    fn identity(roles: &[Role], workspaces: &[&str]) -> Identity {
        Identity {
            subject: "ana".to_owned(),
            roles: roles.iter().copied().collect(),
            workspaces: workspaces.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    #[test]
    fn a_role_may_do_what_the_table_says() {
        use Role::{Admin, Approver, Editor, Service, Viewer};
        for (held, allowed) in [
            (Viewer, vec![Viewer]),
            (Editor, vec![Viewer, Editor]),
            (Approver, vec![Viewer, Approver]),
            (Admin, vec![Viewer, Editor, Admin]),
            (Service, vec![Viewer, Editor, Service]),
        ] {
            for asked in [Viewer, Editor, Approver, Admin, Service] {
                let may = identity(&[held], &[]).may_act_as(asked);
                assert_eq!(may, allowed.contains(&asked), "{held:?} as {asked:?}");
            }
        }
        assert!(!identity(&[], &[]).may_act_as(Viewer), "no role is no access");
    }

    #[test]
    fn an_identity_enters_its_own_workspaces_or_all() {
        assert!(identity(&[], &["acme"]).may_enter("acme"));
        assert!(!identity(&[], &["acme"]).may_enter("globex"));
        assert!(identity(&[], &["*"]).may_enter("globex"));
        assert!(!identity(&[], &[]).may_enter("acme"));
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_a_changed_file_is_followed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, listed(&[("ana", ANA, "\"editor\"", "acme")])).unwrap();
        let authenticator = Authenticator::from_file(file.path()).unwrap();
        assert_eq!(authenticator.authenticate("ana-token").unwrap().subject(), "ana");
        assert_eq!(authenticator.authenticate("ben-token"), None);
        assert_eq!(authenticator.authenticate(""), None);

        std::fs::write(&file, "[").unwrap();
        authenticator.reread().unwrap_err();
        assert!(authenticator.authenticate("ana-token").is_some(), "a broken file changes nothing");

        std::fs::write(&file, listed(&[("ben", BEN, "\"viewer\"", "*")])).unwrap();
        authenticator.reread().unwrap();
        assert_eq!(authenticator.authenticate("ana-token"), None);
        assert_eq!(authenticator.authenticate("ben-token").unwrap().subject(), "ben");
    }

    #[test]
    fn a_file_that_is_not_understood_in_full_is_refused() {
        for refused in [
            "{}".to_owned(),
            listed(&[("ana", "abc", "\"viewer\"", "acme")]),
            listed(&[("ana", &"g".repeat(64), "\"viewer\"", "acme")]),
            listed(&[("ana", ANA, "\"owner\"", "acme")]),
            listed(&[("ana", ANA, "\"viewer\"", "acme"), ("ben", ANA, "\"admin\"", "*")]),
        ] {
            assert!(Known::parse(refused.clone()).is_err(), "{refused}");
        }
    }
}
