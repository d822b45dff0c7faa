//! `proto`: the protos by buf: style and comments, format, and nothing that breaks a caller built
//! against `main`.

use tokio::process::Command;

use crate::command::{run, succeeds};
use crate::workspace::Workspace;
use crate::{screen, tools};

const BASELINE: &str = "main";

pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let program = tools::buf(workspace).await?;
    let buf = || {
        let mut buf = Command::new(&program);
        buf.current_dir(workspace.root());
        buf
    };
    run(buf().args(["lint", "proto"])).await?;
    run(buf().args(["format", "--diff", "--exit-code", "proto"])).await?;
    let protos_there = format!("{BASELINE}:proto/buf.yaml");
    let mut there = Command::new("git");
    there.current_dir(workspace.root()).args(["cat-file", "-e", &protos_there]);
    if succeeds(&mut there).await {
        let against = format!(".git#branch={BASELINE},subdir=proto");
        run(buf().args(["breaking", "proto", "--against", &against])).await?;
    } else {
        screen::say(format!("No protos on branch `{BASELINE}`: nothing to break."));
    }
    screen::say("The protos are in order.");
    Ok(())
}
