//! How much of everything one server takes.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Limits with their defaults; a refusal names the limit and its value. In a configuration file times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of an ONNX file.
    pub model_bytes: u64,
    /// Size of all cases of a suite as stored.
    pub suite_bytes: u64,
    pub suite_cases: u64,
    pub job_checks: u64,
    pub job_gates: u64,
    /// Free bytes of the disk below which nothing new is taken in: what runs needs some to end.
    pub disk_free_bytes: u64,
    /// Shards of all jobs that wait or run.
    pub queued_shards: u64,
    /// Calls that are answered at once, of all tenants; more are refused with a time to come back.
    pub calls: u64,
    /// Streams of results, artifacts and uploads at once, of all tenants.
    pub streams: u64,
    /// Models parsed at once.
    pub inspections: u64,
    /// Time of an inspection, and of one shard.
    #[serde(rename = "inspect_seconds", with = "seconds")]
    pub inspect_time: Duration,
    #[serde(rename = "shard_seconds", with = "seconds")]
    pub shard_time: Duration,
    /// The same of a case that is tried alone, after its shard ended slots.
    #[serde(rename = "case_seconds", with = "seconds")]
    pub case_time: Duration,
    /// How long a job may be under way; cases that it has not come to are then failed.
    #[serde(rename = "job_seconds", with = "seconds")]
    pub job_time: Duration,
    /// Address space of a slot.
    pub slot_memory_bytes: u64,
    /// Failures of a shard after which its cases are tried one by one.
    pub shard_failures: u32,
    /// Slots that a model may end before nothing of it is run any more.
    pub model_deaths: u64,
    /// How long a lease lasts without a heartbeat.
    #[serde(rename = "lease_seconds", with = "seconds")]
    pub lease_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes: 2 << 30,
            suite_bytes: 16 << 30,
            suite_cases: 5_000_000,
            job_checks: 1000,
            job_gates: 1000,
            disk_free_bytes: 256 << 20,
            queued_shards: 1_000_000,
            calls: 1024,
            streams: 2048,
            inspections: 2,
            inspect_time: Duration::from_secs(120),
            shard_time: Duration::from_secs(600),
            case_time: Duration::from_secs(120),
            job_time: Duration::from_secs(30 * 24 * 3600),
            slot_memory_bytes: 16 << 30,
            shard_failures: 2,
            model_deaths: 100,
            lease_time: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The limits that callers can meet, by name.
    pub fn by_name(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("model_bytes", self.model_bytes),
            ("suite_bytes", self.suite_bytes),
            ("suite_cases", self.suite_cases),
            ("job_checks", self.job_checks),
            ("job_gates", self.job_gates),
            ("disk_free_bytes", self.disk_free_bytes),
            ("queued_shards", self.queued_shards),
            ("calls", self.calls),
            ("streams", self.streams),
            ("shard_seconds", self.shard_time.as_secs()),
            ("case_seconds", self.case_time.as_secs()),
            ("job_seconds", self.job_time.as_secs()),
            ("inspect_seconds", self.inspect_time.as_secs()),
            ("slot_memory_bytes", self.slot_memory_bytes),
            ("model_deaths", self.model_deaths),
        ]
    }
}

/// Refuses `found` above `limit`.
pub(super) fn within(name: &str, limit: u64, found: u64, what: &str) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::Exhausted { limit: name.to_owned(), value: limit, what: format!("{what} ({found})") })
}

/// Durations as whole seconds above 0.
mod seconds {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        NonZeroU32::deserialize(from).map(|seconds| Duration::from_secs(u64::from(seconds.get())))
    }
}
