//! What one tenant may have, so that it leaves something to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Lab;
use super::limits::{within, within_all};
use super::records::{JobRecord, ModelRecord, State, SuiteRecord};
use crate::error::{Error, Result};

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
    /// Shards of jobs under way.
    pub queued_shards: u64,
    /// Streams of results, artifacts and uploads at once.
    pub streams: u64,
    /// Calls that are answered at once.
    pub calls: u64,
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
            calls: 512,
        }
    }
}

/// The quota of every tenant, and of those who have one of their own.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    /// What every tenant may have who has no quota of its own.
    pub usual: Quota,
    /// By tenant.
    pub own: HashMap<String, Quota>,
}

impl Quotas {
    /// A tenant's quota.
    pub fn of(&self, tenant: &str) -> &Quota {
        self.own.get(tenant).unwrap_or(&self.usual)
    }
}

/// What is under way, by tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<String, u64>>>);

/// A place of a tenant's, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    tenant: String,
}

impl Places {
    /// One more for a tenant, if it has fewer than `own` and all together fewer than `all`, under the limits' names.
    fn take(&self, tenant: &str, own: (&str, u64), all: (&str, u64), what: &str) -> Result<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        within(own.0, own.1, places.get(tenant).copied().unwrap_or(0) + 1, what)?;
        within_all(all.0, all.1, places.values().sum::<u64>(), 1, what)?;
        *places.entry(tenant.to_owned()).or_default() += 1;
        Ok(Place { places: self.clone(), tenant: tenant.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = places.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.tenant);
            }
        }
    }
}

impl Lab {
    /// A place for one more stream of a tenant.
    pub fn stream_place(&self, tenant: &str) -> Result<Place> {
        let (own, all) = (self.quota(tenant).streams, self.limits().streams);
        self.0.streams.take(tenant, ("tenant_streams", own), ("streams", all), "the number of open streams")
    }

    /// A place for one more call of a tenant.
    pub fn call_place(&self, tenant: &str) -> Result<Place> {
        let (own, all) = (self.quota(tenant).calls, self.limits().calls);
        self.0.calls.take(tenant, ("tenant_calls", own), ("calls", all), "the number of calls under way")
    }

    /// Refuses one more model of so many bytes.
    pub(super) async fn room_for_model(&self, tenant: &str, bytes: u64) -> Result<()> {
        let (models, _) = self.stored(tenant, bytes).await?;
        within("tenant_models", self.quota(tenant).models, models + 1, "the number of models")
    }

    /// Refuses one more suite of so many bytes.
    pub(super) async fn room_for_suite(&self, tenant: &str, bytes: u64) -> Result<()> {
        let (_, suites) = self.stored(tenant, bytes).await?;
        within("tenant_suites", self.quota(tenant).suites, suites + 1, "the number of suites")
    }

    /// Refuses one more job of a model, of so many shards.
    pub(super) async fn room_for_job(&self, tenant: &str, model: &str, shards: u64) -> Result<()> {
        if let Some(why) = self.quarantine(tenant, model).await? {
            return Err(Error::Precondition(format!("{why}; delete it and upload it again to try once more")));
        }
        self.room(0)?;
        let pending = self.engine().queue.pending().await?;
        within_all("queued_shards", self.limits().queued_shards, pending, shards, "the number of queued shards")?;
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

    /// The number of models and of suites, if there is room for so many bytes more.
    async fn stored(&self, tenant: &str, more: u64) -> Result<(u64, u64)> {
        let models: Vec<ModelRecord> = self.all(&format!("model/{tenant}/")).await?;
        let suites: Vec<SuiteRecord> = self.all(&format!("suite/{tenant}/")).await?;
        let mut bytes = models.iter().map(|model| model.size).fold(more, u64::saturating_add);
        for suite in &suites {
            bytes = bytes.saturating_add(self.engine().blobs.size(&suite.sha256).await?.unwrap_or(0));
        }
        within("tenant_stored_bytes", self.quota(tenant).stored_bytes, bytes, "the bytes of models and suites")?;
        Ok((models.len() as u64, suites.len() as u64))
    }
}
