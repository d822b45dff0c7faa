//! `chart`: the Helm chart: its style, its values by their schema, and what it renders by the schemas of Kubernetes, as it
//! is and with every option on.

use std::fs;

use tokio::process::Command;

use crate::command::{read, run};
use crate::workspace::Workspace;
use crate::{screen, tools};

const CHART: &str = "deploy/chart";
const EVERYTHING: &str = "--values=deploy/chart/ci/everything-values.yaml";
/// The oldest that the chart says it runs on, and one that is current.
const KUBERNETES: [&str; 2] = ["1.30", "1.34"];

pub(crate) async fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let program = tools::helm(workspace).await?;
    let helm = |words: &[&str]| {
        let mut helm = Command::new(&program);
        helm.current_dir(workspace.root()).args(words);
        helm
    };
    let manifests = workspace.tools().join("manifests.yaml");
    for values in [&[][..], &[EVERYTHING]] {
        run(helm(&["lint", "--strict", "--quiet", CHART]).args(values)).await?;
        fs::write(&manifests, read(helm(&["template", "cursus", CHART]).args(values)).await?)?;
        for version in KUBERNETES {
            let mut validate = tools::kubernetes_validate(workspace).await?;
            validate.args(["--strict", "--quiet", "--kubernetes-version", version]);
            run(validate.arg(&manifests)).await?;
        }
    }
    screen::say("The chart is in order.");
    Ok(())
}
