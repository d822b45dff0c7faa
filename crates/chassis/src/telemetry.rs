//! Log lines, and traces sent over OTLP. Metrics need no installing: they are in the default
//! Prometheus registry and served on the admin port.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{LogFormat, TelemetryConfig};

/// How long one export, and the last, may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// What the exporter itself is made of must not be traced, or it traces itself for ever.
const TRACED: &str = "info,h2=off,hyper=off,hyper_util=off,tonic=off,tower=off,opentelemetry=off";

/// What was installed; flush it last.
#[derive(Debug)]
#[must_use = "flush it at the end, or the last spans are lost"]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
}

/// Installs the process's logging and tracing. Once, from `main`, inside the runtime.
pub fn install(service_name: &'static str, config: &TelemetryConfig) -> anyhow::Result<Telemetry> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = tracer(service_name, config)?;
    let spans = tracer.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("cursus"))
            .with_filter(EnvFilter::new(TRACED))
    });
    let wanted = EnvFilter::try_new(&config.log).context("the log filter cannot be read")?;
    let lines = match config.log_format {
        LogFormat::Text => fmt::layer().boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(spans).with(lines.with_filter(wanted)).try_init()?;
    Ok(Telemetry { tracer })
}

impl Telemetry {
    /// Sends what is still held back. Last, after draining.
    pub async fn flush(self) {
        let Some(tracer) = self.tracer else { return };
        // The exporter needs the runtime's threads while this one waits for it.
        let flushed =
            tokio::task::spawn_blocking(move || tracer.shutdown_with_timeout(EXPORT_TIMEOUT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

fn tracer(
    service_name: &'static str,
    config: &TelemetryConfig,
) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint.to_string())
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .context("the trace exporter cannot be built")?;
    let sampled = Sampler::TraceIdRatioBased(config.trace_ratio);
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service_name).build())
        .with_sampler(Sampler::ParentBased(Box::new(sampled)))
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(provider))
}
