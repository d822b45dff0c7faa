//! What has to be done about every hour so that tables do not grow for ever.

use std::time::Duration;

use chrono::TimeDelta;
use cursus_ambient::Ambient;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_hours(1);
/// How long a request may be repeated.
const REQUESTS_KEPT: TimeDelta = TimeDelta::days(7);

/// Keeps house until shutdown.
pub(crate) async fn run(
    pool: PgPool,
    ambient: Ambient,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        if let Err(error) = clean(&pool, &ambient).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "could not keep house; trying again later"
            );
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

async fn clean(pool: &PgPool, ambient: &Ambient) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    while cursus_once::forget_before(&mut conn, ambient.now() - REQUESTS_KEPT).await? > 0 {}
    Ok(())
}
