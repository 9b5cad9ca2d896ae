//! The trace in which this program was started, passed on with its calls.

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// W3C Trace Context from the environment: `TRACEPARENT` and `TRACESTATE`, as build systems and `otel-cli` set them.
#[derive(Clone)]
pub(super) struct Trace(Vec<(&'static str, AsciiMetadataValue)>);

impl Trace {
    /// Nothing where nobody traces, or where a variable holds what no header can.
    pub(super) fn from_env() -> Self {
        let header = |name: &'static str| Some((name, std::env::var(name.to_uppercase()).ok()?.parse().ok()?));
        Self(["traceparent", "tracestate"].into_iter().filter_map(header).collect())
    }
}

impl Interceptor for Trace {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}
