//! Spans on their way to a collector, and the names by which other processes know them.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Error, Result};
use crate::lab::{Bridge, TraceContext};

/// The standard variables; the exporter reads them, and others such as `OTEL_SERVICE_NAME`, itself.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Vendors' notes beyond this many bytes are dropped with a job's context, as W3C allows: it is stored with the job.
const TRACESTATE_MAX: usize = 512;

/// An exporter in the background where the environment or `otlp` names a collector.
pub(super) fn provider(otlp: Option<&str>) -> Result<Option<SdkTracerProvider>> {
    let named = ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let exporter = match otlp {
        _ if named => SpanExporter::builder().with_tonic(),
        Some(url) => SpanExporter::builder().with_tonic().with_endpoint(url),
        None => return Ok(None),
    };
    let exporter = exporter.build().map_err(|e| Error::invalid("telemetry.otlp", e.to_string()))?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("assay");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    Bridge { name, adopt }.install();
    Ok(Some(provider))
}

/// Spans of this program, whatever `RUST_LOG` says of its lines.
pub(super) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S> {
    let own = Targets::new().with_target("assay", Level::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("assay"));
    layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_filter(own)
}

fn name(span: &Span) -> TraceContext {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    let mut header = |name| headers.remove(name).unwrap_or_default();
    let context = TraceContext { traceparent: header("traceparent"), tracestate: header("tracestate") };
    if context.tracestate.len() > TRACESTATE_MAX {
        TraceContext { tracestate: String::new(), ..context }
    } else {
        context
    }
}

fn adopt(span: &Span, parent: &TraceContext) {
    let header = |name: &str, value: &String| (name.to_owned(), value.clone());
    let headers = HashMap::from([header("traceparent", &parent.traceparent), header("tracestate", &parent.tracestate)]);
    // A span that nobody exports has no place in a trace.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
}
