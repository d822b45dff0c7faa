//! The plain HTTP port for the platform: metrics and probes.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use tokio::net::TcpListener;

use crate::readiness::Readiness;

/// Answers until dropped: readiness is asked for, and must be denied, while the service drains.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(readiness);
    axum::serve(listener, router).await
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics() -> Result<String, StatusCode> {
    prometheus::TextEncoder::new().encode_to_string(&prometheus::gather()).map_err(|error| {
        tracing::error!(error = cursus_fault::chain(&error), "the metrics cannot be written");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}
