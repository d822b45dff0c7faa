//! Who is calling, as handlers see it: the first line of each asks for a role, and the next enters
//! a workspace.

use std::sync::Arc;

use cursus_fault::Fault;
use tonic::{Code, Request, Status};

use crate::identity::{Identity, Role};

/// The authenticated caller of one request.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Identity>);

impl Caller {
    /// Admits a request whose caller may act as `role`, and takes the message out of it.
    ///
    /// Every role may do what a viewer can; admins and services may do what an editor can; what
    /// asks for an approver, an admin or a service is for exactly those.
    pub fn admit<T>(request: Request<T>, role: Role) -> Result<(Self, T), Status> {
        let Some(identity) = request.extensions().get::<Arc<Identity>>() else {
            // Only a server built without the chassis can get here.
            return Err(Status::unauthenticated("the caller is unknown"));
        };
        if !identity.may_act_as(role) {
            let asked = format!("{role:?}").to_lowercase();
            return Err(Fault::new(Code::PermissionDenied, "ROLE_REQUIRED")
                .with("role", &asked)
                .status(crate::DOMAIN, format!("this asks for the role `{asked}`")));
        }
        Ok((Self(Arc::clone(identity)), request.into_inner()))
    }

    /// Refuses a workspace that is not among the caller's.
    pub fn enter(&self, workspace: impl AsRef<str>) -> Result<(), Status> {
        let workspace = workspace.as_ref();
        if self.0.may_enter(workspace) {
            return Ok(());
        }
        Err(Fault::new(Code::PermissionDenied, "NOT_IN_WORKSPACE")
            .with("workspace", workspace)
            .status(crate::DOMAIN, format!("the workspace `{workspace}` is not the caller's")))
    }

    /// The stable name of who is calling, as the audit log keeps it.
    pub fn subject(&self) -> &str {
        self.0.subject()
    }
}
