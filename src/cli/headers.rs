//! What goes with every call: who calls, and the trace in which this program was started.

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// W3C Trace Context from the environment: `TRACEPARENT` and `TRACESTATE`, as build systems and `otel-cli` set them; and
/// the credentials.
#[derive(Clone)]
pub(super) struct Headers(Vec<(&'static str, AsciiMetadataValue)>);

impl Headers {
    /// No trace where nobody traces, or where a variable holds what no header can.
    pub(super) fn new(authorization: Option<AsciiMetadataValue>) -> Self {
        let header = |name: &'static str| Some((name, std::env::var(name.to_uppercase()).ok()?.parse().ok()?));
        let trace = ["traceparent", "tracestate"].into_iter().filter_map(header);
        Self(trace.chain(authorization.map(|value| ("authorization", value))).collect())
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}
