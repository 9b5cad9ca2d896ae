//! How much of everything one server takes.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Limits with their defaults; a refusal names the limit and its value. In a configuration file times are in seconds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of an ONNX file.
    pub model_bytes: u64,
    /// Size of all cases of a suite as stored.
    pub suite_bytes: u64,
    /// Cases of a suite.
    pub suite_cases: u64,
    /// Longest message that brings cases; a picture or a tensor of one case is within it.
    pub message_bytes: u64,
    /// Checks of a job.
    pub job_checks: u64,
    /// Gates of a job.
    pub job_gates: u64,
    /// Rows that one check may ask of the model for one case, by the check's formula; a gradient counts as three.
    pub case_queries: u64,
    /// Free bytes of the disk below which nothing new is taken in: what runs needs some to end.
    pub disk_free_bytes: u64,
    /// Shards of all jobs that wait or run.
    pub queued_shards: u64,
    /// Calls that are answered at once, of all tenants; more are refused with a time to come back.
    pub calls: u64,
    /// Streams of results, artifacts and uploads at once, of all tenants.
    pub streams: u64,
    /// Models parsed, and cases replayed, at once; of these one of a tenant.
    pub inspections: u64,
    /// Inferences of the Open Inference Protocol at once; of these one of a tenant.
    pub inferences: u64,
    /// How long an upload may bring nothing.
    #[serde(rename = "idle_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub idle_time: Duration,
    /// Time of an inspection.
    #[serde(rename = "inspect_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub inspect_time: Duration,
    /// Time of a shard, beside some times of what it was estimated at.
    #[serde(rename = "shard_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub shard_time: Duration,
    /// The same of a case that is tried alone, after its shard ended slots, and of an inference.
    #[serde(rename = "case_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub case_time: Duration,
    /// How long a job may be under way; cases that it has not come to are then failed.
    #[serde(rename = "job_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub job_time: Duration,
    /// Address space of a slot.
    pub slot_memory_bytes: u64,
    /// Failures of a shard after which its cases are tried one by one.
    pub shard_failures: u32,
    /// Slots that a model may end before nothing of it is run any more.
    pub model_deaths: u64,
    /// How long a lease lasts without a heartbeat.
    #[serde(rename = "lease_seconds", with = "seconds")]
    #[schemars(with = "u32")]
    pub lease_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes: 2 << 30,
            suite_bytes: 16 << 30,
            suite_cases: 5_000_000,
            message_bytes: 64 << 20,
            job_checks: 1000,
            job_gates: 1000,
            case_queries: 100_000_000,
            disk_free_bytes: 256 << 20,
            queued_shards: 1_000_000,
            calls: 1024,
            streams: 2048,
            inspections: 2,
            inferences: 4,
            idle_time: Duration::from_secs(300),
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
    /// All of them by the names that a configuration file has for them, times in seconds.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        match serde_json::to_value(self) {
            Ok(Value::Object(limits)) => limits.into_iter().filter_map(|(name, n)| Some((name, n.as_u64()?))).collect(),
            // A struct of numbers is an object of numbers.
            _ => BTreeMap::new(),
        }
    }
}

/// Refuses `found` above `limit`.
pub(super) fn within(name: &str, limit: u64, found: u64, what: &str) -> Result<()> {
    if found <= limit {
        return Ok(());
    }
    Err(Error::Exhausted { limit: name.to_owned(), value: limit, what: format!("{what} ({found})") })
}

/// Refuses `asked` more on top of what all tenants have, of which a caller hears nothing.
pub(super) fn within_all(name: &str, limit: u64, there: u64, asked: u64, what: &str) -> Result<()> {
    let found = there.saturating_add(asked);
    within(name, limit, found, what).map_err(|_| Error::Exhausted {
        limit: name.to_owned(),
        value: limit,
        what: format!("{what} of all tenants with {asked} more"),
    })
}

/// Durations as whole seconds above 0.
mod seconds {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        NonZeroU32::deserialize(from).map(|seconds| Duration::from_secs(u64::from(seconds.get())))
    }
}
