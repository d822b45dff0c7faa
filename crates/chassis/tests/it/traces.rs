//! That traces reach a collector.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use clap::Parser;
use cursus_chassis::{Tasks, TelemetryConfig, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Response;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_prost::ProstCodec;
use tower::service_fn;

#[derive(Parser)]
struct Config {
    #[command(flatten)]
    telemetry: TelemetryConfig,
}

/// A collector of whatever is exported, undecoded: the first field of an export has the number and
/// the wire type of a `BytesValue`'s only one, which is what prost reads a `Vec<u8>` as.
async fn collector(tasks: &Tasks) -> (String, Arc<Mutex<Vec<u8>>>) {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&collected);
    let export = async move |request: Request| {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<Vec<u8>, Vec<u8>>::default());
        let keep = service_fn(move |request: tonic::Request<Vec<u8>>| {
            kept.lock().unwrap().extend(request.into_inner());
            std::future::ready(Ok(Response::new(Vec::new())))
        });
        grpc.unary(keep, request).await
    };
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let routes = Routes::from(Router::new().route(path, post(export)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn("collector", async {
        let mut server = tonic::transport::Server::builder();
        Ok(server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener)).await?)
    });
    (address, collected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_reach_the_collector_by_the_time_telemetry_is_flushed() {
    let tasks = Tasks::new(&CancellationToken::new());
    let (address, collected) = collector(&tasks).await;
    let arguments = ["it", "--otlp-endpoint", &address, "--trace-ratio=1", "--log-format=json"];
    let config = Config::parse_from(arguments).telemetry;
    let telemetry = telemetry::install("scripted-service", &config).unwrap();
    tracing::info_span!("marked-span").in_scope(|| ());
    telemetry.flush().await;
    let collected = String::from_utf8_lossy(&collected.lock().unwrap()).into_owned();
    assert!(collected.contains("marked-span"), "{collected}");
    assert!(collected.contains("scripted-service"), "{collected}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_refused() {
    let config = Config::parse_from(["it", "--log=cursus=loudly"]).telemetry;
    let refused = telemetry::install("scripted-service", &config).unwrap_err();
    assert_eq!(refused.to_string(), "the log filter cannot be read");
}
