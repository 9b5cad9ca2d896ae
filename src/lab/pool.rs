//! The pool: leases shards, hands them to slots, appends what they give, acknowledges.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::Lab;
use super::engines::{Appended, Lease};
use super::jobs::key_of;
use super::meters::{CASE_DURATION, DUPLICATES, QUERIES, REDELIVERIES};
use super::models::owner;
use super::names;
use super::order::{allowed, failed, ids, is_whole, work};
use super::records::{ArtifactRecord, JobRecord, Line, ShardLine, State};
use super::sealed::seal;
use super::slot::{Ask, Death, Slot, Tell};
use super::turns::Turn;
use crate::error::{Error, Result};
use crate::suite::{Evidence, Shard};
use crate::tensor::Tensor;

/// How long an idle worker waits before it looks again by itself.
const IDLE: Duration = Duration::from_secs(1);

/// Workers of one process, each with a slot of its own.
pub struct Pool {
    lab: Lab,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Pool {
    /// Starts `slots` workers.
    pub fn start(lab: &Lab, slots: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut workers = JoinSet::new();
        for _ in 0..slots {
            let worker = Worker { lab: lab.clone(), slot: None, last: None, stopped: stopped.clone() };
            workers.spawn(worker.serve());
        }
        Self { lab: lab.clone(), stop, workers }
    }

    /// Stops leasing; shards under way go back to the queue.
    pub async fn stop(mut self) {
        // Workers that have ended already need no word.
        let _ = self.stop.send(true);
        while self.workers.join_next().await.is_some() {}
        self.lab.engine().queue.give_back().await;
    }
}

struct Worker {
    lab: Lab,
    slot: Option<Slot>,
    /// What its slot has the cases of.
    last: Option<Lease>,
    stopped: watch::Receiver<bool>,
}

/// How the work on a shard ended.
enum End {
    Evidence(Evidence),
    /// The job or the pool stopped.
    Stopped,
    Died(Death),
}

impl Worker {
    async fn serve(mut self) {
        while !*self.stopped.borrow() {
            let queue = self.lab.engine().queue.clone();
            match self.turn().await {
                // The turn lasts until the pause after a failure is over: that is time of the worker's too.
                Ok(Some((lease, _turn))) => {
                    self.last = Some(lease.clone());
                    if let Err(error) = self.work(&lease).await {
                        // The shard goes back without a mark against it: the fault is the engine's, an endpoint's or this host's.
                        tell(&error, &lease);
                        let _ = queue.nack(&lease, false).await;
                        tokio::time::sleep(IDLE).await;
                    }
                }
                Ok(None) => {
                    let mut stopped = self.stopped.clone();
                    tokio::select! { () = queue.wait(IDLE) => {}, _ = stopped.changed() => {} }
                }
                Err(error) => {
                    tracing::error!(%error, "the queue does not answer");
                    tokio::time::sleep(IDLE).await;
                }
            }
        }
    }

    /// A shard of the tenant whose turn it is.
    async fn turn(&self) -> Result<Option<(Lease, Turn)>> {
        let queue = &self.lab.engine().queue;
        loop {
            let (waiting, last) = (queue.tenants().await?, self.last.as_ref());
            let tenant = last.map(|last| names::tenant(&last.job)).transpose()?;
            let Some(turn) = self.lab.turn(&waiting, tenant) else { return Ok(None) };
            // If another worker took it, whoever waits still is asked for again.
            if let Some(lease) = queue.lease(self.lab.limits().lease_time, &turn.tenant, last).await? {
                return Ok(Some((lease, turn)));
            }
        }
    }

    async fn work(&mut self, lease: &Lease) -> Result<()> {
        let engine = self.lab.engine().clone();
        let job: JobRecord = match self.lab.get(&key_of(&lease.job)?, &lease.job).await {
            Ok((_, job)) => job,
            Err(Error::NotFound(_)) => return engine.queue.ack(lease).await.map(drop),
            Err(e) => return Err(e),
        };
        let shard = job.plan().shard(u64::from(lease.shard)).filter(|_| job.state == State::Running);
        let Some(shard) = shard else { return engine.queue.ack(lease).await.map(drop) };
        let (span, lab) = (open(lease, &job, &shard), self.lab.clone());
        let recorded = tokio::select! {
            recorded = self.attend(lease, &job, &shard).instrument(span.clone()) => recorded?,
            // Whoever has it now begins anew; what this one did is dropped with its slot.
            lost = keep_up(&lab, lease) => return lost,
        };
        if recorded {
            // The lease ends here, so nothing may depend on it that comes after.
            engine.queue.ack(lease).await?;
            lab.go_on(&job.name).instrument(span).await?;
        }
        Ok(())
    }

    /// One try of a shard; whether it has its line now, or was given back.
    async fn attend(&mut self, lease: &Lease, job: &JobRecord, shard: &Shard) -> Result<bool> {
        let queue = self.lab.engine().queue.clone();
        if lease.token > 1 {
            counter!(REDELIVERIES).increment(1);
        }
        // Whoever had it may have died between its line and its acknowledgement, or it was queued again meanwhile.
        if self.lab.engine().log.get(&job.name, lease.shard).await?.is_some() {
            return Ok(true);
        }
        let last = lease.failures >= self.lab.limits().shard_failures;
        let end = match (self.lab.known(job, shard).await?, self.given_up(job).await?) {
            (Some(evidence), _) => End::Evidence(evidence),
            (None, Some(why)) => End::Evidence(failed(job, shard, &ids(&self.lab, job, shard).await?, &why)?),
            (None, None) if last => self.one_by_one(job, shard).await?,
            (None, None) => self.run(job, shard).await?,
        };
        match end {
            End::Stopped => queue.nack(lease, false).await.map(|_| false),
            End::Died(Death(reason)) => {
                tracing::warn!(job = lease.job, shard = lease.shard, reason, "a slot died; the shard is tried again");
                Span::current().record("otel.status_code", "ERROR");
                queue.nack(lease, true).await.map(|_| false)
            }
            End::Evidence(evidence) => {
                counter!(QUERIES).increment(evidence.queries);
                Span::current().record("queries", evidence.queries);
                self.record(lease, job, shard, evidence).await?;
                Ok(true)
            }
        }
    }

    /// How long a job may still be under way.
    fn time_left(&self, job: &JobRecord) -> Duration {
        self.lab.limits().job_time.saturating_sub(names::since(job.created, names::now()))
    }

    /// Why nothing of a job is run any more; `None` for most.
    async fn given_up(&self, job: &JobRecord) -> Result<Option<String>> {
        let limit = self.lab.limits().job_time;
        if self.time_left(job).is_zero() {
            return Ok(Some(format!("timeout: the job was under way for more than job_seconds = {}", limit.as_secs())));
        }
        // The configuration may have changed since the model was registered.
        if let Err(refused) = self.lab.remote(job.remote.as_ref()) {
            return Ok(Some(refused.to_string()));
        }
        self.lab.quarantine(names::tenant(&job.name)?, &job.spec.model).await
    }

    /// Runs a shard in the slot.
    async fn run(&mut self, job: &JobRecord, shard: &Shard) -> Result<End> {
        let lab = self.lab.clone();
        let work = match work(&lab, job, shard, job.spec.artifacts).await {
            // No waiting brings lost bytes back.
            Err(lost @ (Error::DataLoss(_) | Error::NotFound(_))) => {
                tracing::error!(error = %lost, job = job.name, "what a job needs is lost");
                return Ok(End::Evidence(failed(job, shard, &ids(&lab, job, shard).await?, &lost.to_string())?));
            }
            other => other?,
        };
        let tenant = names::tenant(&job.name)?;
        let owner = owner(tenant, &job.model);
        let mut slot = match self.slot.take_if(|slot| slot.serves(&owner)) {
            Some(slot) => slot,
            None => {
                // It ends before the next one takes memory.
                self.slot = None;
                lab.slot(&owner).await?
            }
        };
        let (stop, mut stopped) = (lab.stop_signal(&job.name), self.stopped.clone());
        let (ask, begin) = (Ask::Run(Box::new(work)), Instant::now());
        let remote = lab.remote(job.remote.as_ref())?;
        let answer = tokio::select! {
            answer = slot.ask(ask, allowed(&lab, job, shard), remote.as_ref()) => answer?,
            () = tokio::time::sleep(self.time_left(job)) => {
                let why = self.given_up(job).await?.unwrap_or_default();
                return Ok(End::Evidence(failed(job, shard, &ids(&lab, job, shard).await?, &why)?));
            }
            // A slot that is dropped in mid-work is killed.
            () = stop.notified() => return Ok(End::Stopped),
            _ = stopped.changed() => return Ok(End::Stopped),
        };
        match answer {
            Err(death) => {
                lab.mourn(tenant, &job.spec.model, &death).await?;
                Ok(End::Died(death))
            }
            Ok(answer) => {
                self.slot = Some(slot);
                match answer {
                    Tell::Evidence(evidence) if !is_whole(job, shard, &evidence)? => {
                        self.slot = None;
                        Ok(End::Died(Death::garbled("it is not of its order")))
                    }
                    Tell::Evidence(evidence) => {
                        clock(job, shard, begin.elapsed())?;
                        Ok(End::Evidence(evidence))
                    }
                    // The same order gives the same error, so there is nothing to retry.
                    Tell::Failed(e) => {
                        Ok(End::Evidence(failed(job, shard, &ids(&lab, job, shard).await?, &e.to_string())?))
                    }
                    _ => Err(Error::internal("slot", "evidence was asked for")),
                }
            }
        }
    }

    /// The last try of a shard that killed its slots: each case alone, so that only the guilty ones fail.
    async fn one_by_one(&mut self, job: &JobRecord, shard: &Shard) -> Result<End> {
        let mut all = Evidence::default();
        let mut parts: Vec<BTreeMap<String, Tensor>> = Vec::new();
        for case in shard.cases.clone() {
            let alone = Shard { check: shard.check, cases: case..case + 1 };
            let end = match self.given_up(job).await? {
                Some(why) => End::Died(Death(why)),
                None => self.run(job, &alone).await?,
            };
            let evidence = match end {
                End::Evidence(evidence) => evidence,
                End::Died(Death(reason)) => failed(job, &alone, &ids(&self.lab, job, &alone).await?, &reason)?,
                End::Stopped => return Ok(End::Stopped),
            };
            all.verdicts.extend(evidence.verdicts);
            all.tags.extend(evidence.tags);
            evidence.audits.into_iter().for_each(|audited| all.audited(audited));
            all.queries += evidence.queries;
            parts.push(evidence.arrays);
        }
        let names: BTreeSet<String> = parts.iter().flat_map(|part| part.keys().cloned()).collect();
        for name in names {
            let rows = parts.iter_mut().map(|part| part.remove(&name)).collect();
            all.arrays.extend(Tensor::concat_or_blank(rows)?.map(|rows| (name, rows)));
        }
        Ok(End::Evidence(all))
    }

    /// Publishes arrays, appends the shard's line.
    async fn record(&self, lease: &Lease, job: &JobRecord, shard: &Shard, mut evidence: Evidence) -> Result<()> {
        let engine = self.lab.engine();
        // To a job that another process has ended or deleted meanwhile, nothing is added.
        match self.lab.get::<JobRecord>(&key_of(&job.name)?, &job.name).await {
            Ok((_, job)) if job.state == State::Running => {}
            Ok(_) | Err(Error::NotFound(_)) => return Ok(()),
            Err(other) => return Err(other),
        }
        let mut artifacts = Vec::new();
        for (array, tensor) in std::mem::take(&mut evidence.arrays) {
            let mut staged = engine.blobs.stage().await?;
            // The job's name in front makes the blob the job's own: deleting the job cannot take another's.
            staged.write(job.name.clone().into_bytes()).await?;
            let bytes = tensor.to_bytes();
            let (size, sha256) = (bytes.len() as u64, names::sha256(&bytes));
            staged.write(bytes).await?;
            artifacts.push(ArtifactRecord {
                id: format!("{}-{}-{array}", shard.check, shard.cases.start),
                check: u32::try_from(shard.check).map_err(|e| Error::internal("check", e))?,
                array,
                first_case: shard.cases.start,
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
                digest: staged.publish(None).await?,
                offset: job.name.len() as u64,
                size,
                sha256,
            });
        }
        let Evidence { verdicts, tags, audits, queries, .. } = evidence;
        let line = ShardLine { verdicts, tags, audits, queries, artifacts };
        let appended = engine.log.append(&job.name, lease.shard, &seal(&Line::Shard(line))?).await?;
        if matches!(appended, Appended::Exists(_)) {
            counter!(DUPLICATES).increment(1);
        }
        Ok(())
    }
}

/// Says why a shard goes back. What is away may come back, and is asked again each second.
fn tell(error: &Error, lease: &Lease) {
    let Lease { job, shard, .. } = lease;
    match error {
        Error::Unavailable(why) => tracing::warn!(why, job, shard, "a shard waits"),
        other => tracing::error!(error = %other, job, shard, "a shard could not be worked on"),
    }
}

/// A span for a try of a shard, in the trace of its job.
fn open(lease: &Lease, job: &JobRecord, shard: &Shard) -> Span {
    let Range { start, end } = shard.cases;
    let span = tracing::info_span!(
        "shard",
        job = job.name,
        check = shard.check,
        first_case = start,
        cases = end - start,
        attempt = lease.token,
        queries = Empty,
        otel.status_code = Empty,
    );
    job.trace.adopt(&span);
    span
}

/// Notes how long a case of a shard took.
fn clock(job: &JobRecord, shard: &Shard, time: Duration) -> Result<()> {
    let probe = job.spec.checks[shard.check].read()?.manual.name;
    let cases = u32::try_from(shard.cases.end - shard.cases.start).unwrap_or(u32::MAX).max(1);
    histogram!(CASE_DURATION, "probe" => probe).record_many(time / cases, cases as usize);
    Ok(())
}

/// Extends the lease again and again; returns when it is lost, or when the job has ended, which another process may have done.
async fn keep_up(lab: &Lab, lease: &Lease) -> Result<()> {
    let (time, queue) = (lab.limits().lease_time, &lab.engine().queue);
    loop {
        tokio::time::sleep(time / 3).await;
        if !queue.extend(lease, time).await? {
            return Ok(());
        }
        match lab.get::<JobRecord>(&key_of(&lease.job)?, &lease.job).await {
            Ok((_, job)) if job.state == State::Running => {}
            Ok(_) | Err(Error::NotFound(_)) => return queue.ack(lease).await.map(drop),
            // The lease lasts on; whether the job does is asked again.
            Err(error) => tracing::warn!(%error, job = lease.job, "a job could not be looked for"),
        }
    }
}
