//! Metrics in the form that Prometheus reads.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::rpc;
use crate::error::{Error, Result};
use crate::lab;

/// Upper bounds of durations in seconds. Calls: those of OpenTelemetry's conventions for RPC. Cases: from a small network
/// to an attack of many steps on a large one.
const CALLS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const CASES: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// How often durations that nobody asked for are folded into their histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to record, once in a process and within its runtime; the handle renders what was recorded.
pub fn record() -> Result<PrometheusHandle> {
    let handle = install().map_err(|e| Error::internal("starting metrics", e))?;
    lab::describe_meters();
    rpc::describe();
    let kept = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            kept.run_upkeep();
        }
    });
    Ok(handle)
}

fn install() -> std::result::Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(rpc::CALL_DURATION.to_owned()), &CALLS)?
        .set_buckets_for_metric(Matcher::Full(lab::CASE_DURATION.to_owned()), &CASES)?
        .set_buckets_for_metric(Matcher::Full(lab::REMOTE_TIME.to_owned()), &CALLS)?
        .install_recorder()
}
