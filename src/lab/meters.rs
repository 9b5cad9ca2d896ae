//! What the laboratory counts. A label has few values, whatever callers do: never a job, a case or a model.

use std::collections::BTreeMap;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use serde::Deserialize;

use super::Lab;
use super::records::State;
use crate::error::Result;

pub(super) const REDELIVERIES: &str = "assay_lease_redeliveries_total";
pub(super) const DUPLICATES: &str = "assay_results_duplicates_total";
pub(super) const RESTARTS: &str = "assay_worker_restarts_total";
pub(super) const QUERIES: &str = "assay_model_queries_total";
pub(super) const UPLOADED: &str = "assay_upload_bytes_total";
pub(super) const REMOTE_ROWS: &str = "assay_remote_rows_total";
const JOBS: &str = "assay_jobs";
const QUEUED: &str = "assay_queue_depth";

/// A histogram by probe, in seconds.
pub const CASE_DURATION: &str = "assay_case_duration_seconds";

/// A histogram by outcome, in seconds.
pub const REMOTE_TIME: &str = "assay_remote_request_duration_seconds";

/// How questions to remote models end: the values of the label `outcome`.
const OUTCOMES: [&str; 3] = ["ok", "refused", "away"];

/// Why a slot is no longer there: the values of the label `reason`.
pub(super) const REASONS: [&str; 5] = ["timeout", "memory", "signal", "exit", "frame"];

const STATES: [(State, &str); 4] = [
    (State::Running, "running"),
    (State::Succeeded, "succeeded"),
    (State::Cancelled, "cancelled"),
    (State::Failed, "failed"),
];

/// Says to the recorder what everything is, and begins each counter at 0 so that the first event is seen as one.
pub fn describe() {
    describe_gauge!(JOBS, "Jobs by state.");
    describe_gauge!(QUEUED, "Shards that wait for a worker or are with one.");
    describe_histogram!(CASE_DURATION, Unit::Seconds, "Time of a case under a check: a shard's time over its cases.");
    describe_counter!(REDELIVERIES, "Leases of shards that had been leased before.");
    describe_counter!(DUPLICATES, "Results of shards whose results were there already, and dropped.");
    describe_counter!(
        RESTARTS,
        "Slots lost to a model: no answer in time, no memory, a signal, an exit, or a torn answer."
    );
    describe_counter!(QUERIES, "Rows that went through a model.");
    describe_counter!(UPLOADED, Unit::Bytes, "Bytes of models and cases taken in.");
    describe_counter!(REMOTE_ROWS, "Rows that remote models were asked, by how it ended: ok, refused, away.");
    describe_histogram!(REMOTE_TIME, Unit::Seconds, "Time of a question to a remote model with its tries and pauses.");
    for name in [REDELIVERIES, DUPLICATES, QUERIES, UPLOADED] {
        counter!(name).increment(0);
    }
    for outcome in OUTCOMES {
        counter!(REMOTE_ROWS, "outcome" => outcome).increment(0);
    }
    for reason in REASONS {
        counter!(RESTARTS, "reason" => reason).increment(0);
    }
}

/// As much of a job's record as is counted.
#[derive(Deserialize)]
struct Standing {
    state: State,
}

impl Lab {
    /// Sets the gauges to what the engine has now.
    pub async fn measure(&self) -> Result<()> {
        #[allow(clippy::cast_precision_loss)]
        gauge!(QUEUED).set(self.engine().queue.pending().await? as f64);
        let (mut jobs, mut token) = (BTreeMap::new(), String::new());
        loop {
            let (page, next): (Vec<Standing>, _) = self.page("job/", &token, 1000).await?;
            page.iter().for_each(|job| *jobs.entry(job.state).or_insert(0u32) += 1);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        for (state, name) in STATES {
            gauge!(JOBS, "state" => name).set(jobs.get(&state).copied().unwrap_or(0));
        }
        Ok(())
    }
}
