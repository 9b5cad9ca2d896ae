//! A span and a duration for every call, by OpenTelemetry's conventions for RPC.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use metrics::{Unit, describe_histogram, histogram};
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::lab::TraceContext;

/// In seconds, by method and status.
pub(super) const CALL_DURATION: &str = "rpc_server_call_duration_seconds";

pub(super) fn describe() {
    describe_histogram!(CALL_DURATION, Unit::Seconds, "Time of a call until its last byte, by method and status.");
}

/// Puts [`Rpc`] around a service.
#[derive(Clone)]
pub struct RpcLayer(Arc<HashSet<String>>);

impl RpcLayer {
    /// For a service of these methods. Others share a name, so that nobody fills the memory with made-up ones.
    pub fn new(methods: HashSet<String>) -> Self {
        Self(Arc::new(methods))
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = Rpc<S>;

    fn layer(&self, inner: S) -> Rpc<S> {
        Rpc { inner, methods: self.0.clone() }
    }
}

/// Watches the calls of the service within.
#[derive(Clone)]
pub struct Rpc<S> {
    inner: S,
    methods: Arc<HashSet<String>>,
}

impl<S> Service<Request<Body>> for Rpc<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.methods.get(request.uri().path().trim_start_matches('/'));
        let mut call = Call::begin(method.map_or("_OTHER", String::as_str), request.headers());
        let span = call.span.clone();
        let answer = self.inner.call(request);
        let watched = async move {
            let response = answer.await?;
            call.see(response.headers());
            // The call lasts as long as its body, and its status comes last, unless it was refused at once.
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        call.see(trailers);
                    }
                    frame
                }))
            }))
        };
        Box::pin(watched.instrument(span))
    }
}

/// A call under way, which has ended when it is dropped.
struct Call {
    span: Span,
    method: String,
    begin: Instant,
    status: Option<Code>,
}

impl Call {
    fn begin(method: &str, headers: &HeaderMap) -> Self {
        // Health is asked for every few seconds and tells no story.
        let span = if method.starts_with("grpc.") { Span::none() } else { span(method, headers) };
        Self { span, method: method.to_owned(), begin: Instant::now(), status: None }
    }

    fn see(&mut self, headers: &HeaderMap) {
        self.status = headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // A span ends where it was last left, which for a stream is here and not where its handler returned.
        let _last = self.span.clone().entered();
        // A call that its client gives up, or that outlives its deadline, is dropped without a status.
        let code = self.status.unwrap_or(Code::Cancelled);
        let status = code_name(code);
        self.span.record("rpc.response.status_code", status);
        if is_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
        let labels = [
            ("rpc_system_name", "grpc".into()),
            ("rpc_method", std::mem::take(&mut self.method)),
            ("rpc_response_status_code", status.into()),
        ];
        histogram!(CALL_DURATION, &labels).record(self.begin.elapsed());
    }
}

fn span(method: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
    );
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    TraceContext { traceparent: header("traceparent"), tracestate: header("tracestate") }.adopt(&span);
    span
}

/// Whether the service is at fault and not its caller, by the same conventions.
fn is_fault(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// The name of a code, as gRPC's own documents write it.
pub(crate) fn code_name(code: Code) -> &'static str {
    NAMES[code as usize]
}

/// Names of codes by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
