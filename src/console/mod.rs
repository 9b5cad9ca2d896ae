//! Floor 5: the port for those who run a server: what Prometheus scrapes and an orchestrator asks. It is for a network that
//! only they can reach, and is open only where it was asked for.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::lab::Lab;

/// The format of Prometheus's text.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Console {
    lab: Lab,
    metrics: PrometheusHandle,
}

/// Everything that the port serves.
pub fn router(lab: &Lab, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Console { lab: lab.clone(), metrics })
}

async fn scrape(State(console): State<Console>) -> Response {
    match console.lab.measure().await {
        Ok(()) => ([(CONTENT_TYPE, PROMETHEUS)], console.metrics.render()).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(console): State<Console>) -> Response {
    match console.lab.ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
