//! What a process says of itself: log lines, traces, metrics. Everything else speaks through the facades `tracing` and
//! `metrics` and does not know who listens.

mod meters;
mod rpc;
mod traces;

pub use meters::record;
pub use rpc::RpcLayer;
pub(crate) use rpc::code_name;

use std::time::Duration;

use clap::ValueEnum;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::{Error, Result};

/// How long the last spans may take on their way out.
const FLUSH: Duration = Duration::from_secs(3);

/// What can be chosen, in the table `[telemetry]` of a configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub log_format: LogFormat,
    /// The URL of a collector that takes OTLP over gRPC, such as `http://127.0.0.1:4317`. `OTEL_EXPORTER_OTLP_ENDPOINT`
    /// comes before it.
    pub otlp: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// What was started; its spans are sent when it stops.
pub struct Telemetry {
    format: LogFormat,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Begins to listen, once in a process and within its runtime. `RUST_LOG` says which lines are written.
    pub fn start(settings: &Settings) -> Result<Self> {
        let format = settings.log_format;
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        // Where machines read along, the ordinary course of things is worth a line.
        let (lines, usual) = match format {
            LogFormat::Text => (lines.boxed(), "warn"),
            LogFormat::Json => (lines.json().boxed(), "warn,assay=info"),
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
        let traces = traces::provider(settings.otlp.as_deref())?;
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
        let started = subscriber.with(traces.as_ref().map(traces::layer)).try_init();
        started.map_err(|e| Error::internal("starting telemetry", e))?;
        Ok(Self { format, traces })
    }

    /// Says something that a person who started this wants to see, as a line of its own or as one of the log.
    pub fn say(&self, message: &str) {
        match self.format {
            LogFormat::Text => eprintln!("{message}"),
            LogFormat::Json => tracing::info!("{message}"),
        }
    }

    /// Sends what is left; the runtime must still be there.
    pub async fn stop(self) {
        let Some(traces) = self.traces else { return };
        // It waits for the exporter's thread, which waits for this runtime.
        let sent = tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(FLUSH)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent");
        }
    }
}
