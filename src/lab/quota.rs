//! What one tenant may have, so that it leaves something to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Lab;
use super::limits::within;
use super::records::{JobRecord, ModelRecord, State, SuiteRecord};
use crate::error::Result;

/// What each tenant may have, with the defaults.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Bytes of models and suites.
    pub stored_bytes: u64,
    /// Models.
    pub models: u64,
    /// Suites.
    pub suites: u64,
    /// Jobs whose results are kept.
    pub jobs: u64,
    /// Jobs under way.
    pub running_jobs: u64,
    /// Shards that wait or run.
    pub queued_shards: u64,
    /// Streams of results, artifacts and uploads at once.
    pub streams: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            stored_bytes: 256 << 30,
            models: 10_000,
            suites: 10_000,
            jobs: 100_000,
            running_jobs: 1000,
            queued_shards: 500_000,
            streams: 256,
        }
    }
}

/// The quota of every tenant, and of those who have one of their own.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    pub usual: Quota,
    pub own: HashMap<String, Quota>,
}

impl Quotas {
    /// A tenant's quota.
    pub fn of(&self, tenant: &str) -> &Quota {
        self.own.get(tenant).unwrap_or(&self.usual)
    }
}

/// Streams by tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<String, u64>>>);

/// A stream of a tenant; the place is free again when this is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    streams: Streams,
    tenant: String,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.tenant) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.tenant);
            }
        }
    }
}

impl Lab {
    /// A place for one more stream of a tenant.
    pub fn stream_place(&self, tenant: &str) -> Result<StreamPlace> {
        let mut streams = self.0.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, all) = (streams.get(tenant).copied().unwrap_or(0), streams.values().sum::<u64>());
        within("tenant_streams", self.quota(tenant).streams, own + 1, "the number of open streams")?;
        within("streams", self.limits().streams, all + 1, "the number of open streams of all tenants")?;
        *streams.entry(tenant.to_owned()).or_default() += 1;
        Ok(StreamPlace { streams: self.0.streams.clone(), tenant: tenant.to_owned() })
    }

    /// Refuses one more model of so many bytes.
    pub(super) async fn room_for_model(&self, tenant: &str, bytes: u64) -> Result<()> {
        let (quota, (models, _, stored)) = (self.quota(tenant), self.stored(tenant).await?);
        within("tenant_models", quota.models, models + 1, "the number of models")?;
        within(
            "tenant_stored_bytes",
            quota.stored_bytes,
            stored.saturating_add(bytes),
            "the bytes of models and suites",
        )
    }

    /// Refuses one more suite of so many bytes.
    pub(super) async fn room_for_suite(&self, tenant: &str, bytes: u64) -> Result<()> {
        let (quota, (_, suites, stored)) = (self.quota(tenant), self.stored(tenant).await?);
        within("tenant_suites", quota.suites, suites + 1, "the number of suites")?;
        within(
            "tenant_stored_bytes",
            quota.stored_bytes,
            stored.saturating_add(bytes),
            "the bytes of models and suites",
        )
    }

    /// Refuses one more job of so many shards.
    pub(super) async fn room_for_job(&self, tenant: &str, shards: u64) -> Result<()> {
        let quota = self.quota(tenant);
        let jobs: Vec<JobRecord> = self.all(&format!("job/{tenant}/")).await?;
        let running = jobs.iter().filter(|job| job.state == State::Running);
        let (running, queued) = running.fold((0, 0), |(n, shards), job| (n + 1, shards + job.plan().len()));
        within("tenant_jobs", quota.jobs, jobs.len() as u64 + 1, "the number of jobs that are kept")?;
        within("tenant_running_jobs", quota.running_jobs, running + 1, "the number of running jobs")?;
        within("tenant_queued_shards", quota.queued_shards, queued + shards, "the number of shards of running jobs")
    }

    fn quota(&self, tenant: &str) -> &Quota {
        self.0.quotas.of(tenant)
    }

    /// Models, suites, and the bytes of both.
    async fn stored(&self, tenant: &str) -> Result<(u64, u64, u64)> {
        let models: Vec<ModelRecord> = self.all(&format!("model/{tenant}/")).await?;
        let suites: Vec<SuiteRecord> = self.all(&format!("suite/{tenant}/")).await?;
        let mut bytes = models.iter().map(|model| model.size).sum::<u64>();
        for suite in &suites {
            bytes += self.engine().blobs.size(&suite.sha256).await?.unwrap_or(0);
        }
        Ok((models.len() as u64, suites.len() as u64, bytes))
    }
}
