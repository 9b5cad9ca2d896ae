//! Jobs: created once per request id, ended once.

use std::collections::{BTreeMap, HashSet};

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::engines::{Appended, Expect, Record};
use super::limits::within;
use super::names;
use super::records::{JobRecord, JobSpec, Line, State, decode, encode};
use super::sealed::{record, seal};
use super::trace::TraceContext;
use super::{ALL, Lab, results};
use crate::error::{Error, Result};

/// The key of a job's last line in its log.
pub(super) const DONE: u32 = u32::MAX;

/// A job that was created, or would be.
pub struct Created {
    pub job: JobRecord,
    /// Shards, verdicts and, at most, rows that go through the model.
    pub shards: u64,
    pub verdicts: u64,
    pub queries: u64,
    /// Estimated seconds of one slot for all of it, and bytes of memory that a slot takes.
    pub seconds: f64,
    pub memory: u64,
}

impl Lab {
    /// Validates everything at once, writes the job, enqueues its shards. The same `request_id` gives the same job;
    /// with another spec it is [`Error::AlreadyExists`]. `dry` only validates.
    pub async fn create_job(&self, tenant: &str, spec: JobSpec, request_id: &str, dry: bool) -> Result<Created> {
        let created = self.resolve(tenant, spec).await?;
        if dry {
            self.room_for_job(tenant, &created.job.spec.model, created.shards).await?;
            return Ok(created);
        }
        let (cases, shards) = (created.job.cases, created.shards);
        let span = tracing::info_span!("job", job = Empty, cases, shards);
        self.begin(tenant, created, request_id).instrument(span).await
    }

    /// Writes a validated job and enqueues its shards.
    async fn begin(&self, tenant: &str, mut created: Created, request_id: &str) -> Result<Created> {
        let taking = self.0.taking.lock().await;
        let id = self.claim(tenant, &created, request_id).await?;
        created.job.name = names::name(tenant, "jobs", &id);
        created.job.trace = TraceContext::of(&Span::current());
        Span::current().record("job", &created.job.name);
        let key = key(tenant, &id);
        if self.engine().meta.put(&key, &record(&created.job)?, Expect::Absent).await?.is_none() {
            created.job = self.get(&key, &created.job.name).await?.1;
        }
        drop(taking);
        if created.job.state == State::Running {
            self.offer(&created.job).await?;
            self.recover(&created.job).await?;
        }
        Ok(created)
    }

    /// The id of a request's job: the one that it was given before, or a new one if there is room for the job.
    async fn claim(&self, tenant: &str, created: &Created, request_id: &str) -> Result<String> {
        let (key, meta) = (format!("request/{tenant}/{request_id}"), &self.engine().meta);
        let hash = names::content_id(&[&encode(&created.job.spec)?]);
        let given = async || -> Result<String> {
            let (_, (id, spec)): (_, (String, String)) = self.get(&key, request_id).await?;
            let message = format!("request_id `{request_id}` was used for a job with another spec");
            if spec == hash { Ok(id) } else { Err(Error::AlreadyExists(message)) }
        };
        within("request_id_bytes", 128, request_id.len() as u64, "the length of request_id")?;
        if !request_id.is_empty() && meta.get(&key).await?.is_some() {
            return given().await;
        }
        self.room_for_job(tenant, &created.job.spec.model, created.shards).await?;
        let id = names::fresh_id()?;
        let first = request_id.is_empty() || meta.put(&key, &seal(&(&id, &hash))?, Expect::Absent).await?.is_some();
        if first { Ok(id) } else { given().await }
    }

    /// A job by name.
    pub async fn job(&self, tenant: &str, name: &str) -> Result<JobRecord> {
        Ok(self.get(&key(tenant, names::id(name, tenant, "jobs", "name")?), name).await?.1)
    }

    /// A page of jobs in the order of their creation; the second part goes on.
    pub async fn jobs(&self, tenant: &str, size: i32, token: &str) -> Result<(Vec<JobRecord>, String)> {
        self.page(&key(tenant, ""), token, size).await
    }

    /// Ends a job early; what is judged stays. An ended job is left as it is.
    pub async fn cancel_job(&self, tenant: &str, name: &str) -> Result<JobRecord> {
        let job = self.job(tenant, name).await?;
        if job.state == State::Running {
            let counts = results::counts(self, name).await?;
            self.end(&job, State::Cancelled, counts).await?;
        }
        self.job(tenant, name).await
    }

    /// Forgets a job: its shards, verdicts and artifacts.
    pub async fn delete_job(&self, tenant: &str, name: &str) -> Result<()> {
        let job = self.cancel_job(tenant, name).await?;
        for artifact in results::artifacts(self, &job.name).await? {
            self.engine().blobs.delete(&artifact.digest).await?;
        }
        self.withdraw(&job).await?;
        self.engine().queue.forget(name).await?;
        self.engine().log.forget(name).await?;
        self.engine().meta.delete(&key_of(name)?, Expect::Any).await?;
        Ok(())
    }

    /// Ends a job: the last line of its log, then its record. The first end stands.
    pub(super) async fn end(&self, job: &JobRecord, state: State, counts: BTreeMap<String, u64>) -> Result<()> {
        let line = seal(&Line::Done { state, counts: counts.clone() })?;
        if let Appended::Exists(_) = self.engine().log.append(&job.name, DONE, &line).await? {
            return self.settle(job).await;
        }
        let seconds = names::since(job.created, names::now()).as_secs();
        tracing::info!(job = job.name, ?state, seconds, "a job ended");
        self.settle_as(job, state, counts).await
    }

    /// Brings a job's record in line with the last line of its log.
    async fn settle(&self, job: &JobRecord) -> Result<()> {
        let Some(done) = self.engine().log.get(&job.name, DONE).await? else { return Ok(()) };
        match decode(&done.body)? {
            Line::Done { state, counts } => self.settle_as(job, state, counts).await,
            Line::Shard(_) => {
                Err(Error::DataLoss(format!("{} has a line of a shard where its last one belongs", job.name)))
            }
        }
    }

    pub(super) async fn settle_as(&self, job: &JobRecord, state: State, counts: BTreeMap<String, u64>) -> Result<()> {
        let ended = JobRecord { state, counts, ended: names::now(), ..job.clone() };
        let key = key_of(&job.name)?;
        if let Some(stored) = self.engine().meta.get(&key).await? {
            let current: JobRecord = decode(&stored.value)?;
            if current.state == State::Running {
                let revision = Expect::Revision(stored.revision);
                // Whoever was faster has written the same.
                self.engine().meta.put(&key, &seal(&ended)?, revision).await?;
            }
        }
        self.engine().queue.forget(&job.name).await?;
        self.stop(&job.name);
        Ok(())
    }

    /// Puts a running job on its way again, wherever it was left: shards without a line are enqueued, a job with all
    /// of its lines is ended.
    async fn recover(&self, job: &JobRecord) -> Result<()> {
        let keys: HashSet<u32> = self.engine().log.keys(&job.name).await?.into_iter().collect();
        if keys.contains(&DONE) {
            return self.settle(job).await;
        }
        let shards = u32::try_from(job.plan().len()).map_err(|e| Error::internal("shards", e))?;
        let missing: Vec<u32> = (0..shards).filter(|shard| !keys.contains(shard)).collect();
        if missing.is_empty() {
            return self.complete(job).await;
        }
        let checks = u32::try_from(job.spec.checks.len()).map_err(|e| Error::internal("checks", e))?;
        let (tenant, pool) = (names::tenant(&job.name)?, job.spec.pool.as_str());
        self.engine().queue.enqueue(tenant, pool, &job.name, &missing, checks).await
    }

    /// Goes on with a job of whose shards none is left: it is complete, or some were lost.
    pub(super) async fn go_on(&self, name: &str) -> Result<()> {
        if self.engine().queue.left(name).await? {
            return Ok(());
        }
        // It may have ended, or be gone, since somebody last looked.
        match self.get::<JobRecord>(&key_of(name)?, name).await {
            Ok((_, job)) if job.state == State::Running => self.recover(&job).await,
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Ends a job whose last line has come.
    pub(super) async fn complete(&self, job: &JobRecord) -> Result<()> {
        let counts = results::counts(self, &job.name).await?;
        let state = if counts.contains_key("failed") { State::Failed } else { State::Succeeded };
        self.end(job, state, counts).await
    }

    /// Goes on with all jobs that have nobody to do so: an earlier process ended, the last worker of one died, or shards were
    /// lost.
    pub async fn reconcile(&self) -> Result<()> {
        for job in self.running().await? {
            // One that cannot be gone on with keeps the others from nothing, and is tried again the next time.
            if let Err(error) = self.go_on(&job.name).await {
                tracing::error!(%error, job = job.name, "a job cannot be gone on with");
            }
        }
        Ok(())
    }

    /// Jobs that have not ended.
    async fn running(&self) -> Result<Vec<JobRecord>> {
        let mut running = Vec::new();
        for Record { key, value, .. } in self.engine().meta.list("job/", None, ALL).await? {
            match decode::<JobRecord>(&value) {
                Ok(job) if job.state == State::Running => running.push(job),
                Ok(_) => {}
                // One that is damaged keeps the others from nothing.
                Err(error) => tracing::error!(%error, key, "a job cannot be read"),
            }
        }
        Ok(running)
    }
}

/// The key of a job's record.
pub(super) fn key(tenant: &str, id: &str) -> String {
    format!("job/{tenant}/{id}")
}

/// The key of a stored job's record.
pub(super) fn key_of(name: &str) -> Result<String> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["tenants", tenant, "jobs", id] => Ok(key(tenant, id)),
        _ => Err(Error::internal("job name", name)),
    }
}
