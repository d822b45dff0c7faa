//! When the process was asked to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGTERM (Kubernetes) or SIGINT (a person at a terminal).
///
/// # Panics
///
/// Outside a tokio runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "it outlives every `Tasks`, and nothing waits for it"
)]
pub fn terminated() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let terminated = CancellationToken::new();
    let told = terminated.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        told.cancel();
    });
    Ok(terminated)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn the_token_is_cancelled_by_the_signal_kubernetes_sends() {
        let terminated = terminated().unwrap();
        assert!(!terminated.is_cancelled());
        let own = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &own]).status().unwrap().success());
        terminated.cancelled().await;
    }
}
