//! Waiting for a condition, which is the only kind of waiting that a test does.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::Instant;

/// Nothing takes this long; a slow machine might.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Tries again until an attempt succeeds.
///
/// # Panics
///
/// With what the last attempt said, when none does for a minute.
pub async fn until<T, E: Debug>(what: &str, attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(last) if Instant::now() > deadline => panic!("never {what}: {last:?}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
