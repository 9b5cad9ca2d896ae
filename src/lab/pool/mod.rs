//! The pool: leases shards, hands them to slots, appends what they give, acknowledges.

mod record;
mod run;

use std::ops::Range;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::Lab;
use super::engines::Lease;
use super::jobs::key_of;
use super::meters::{QUERIES, REDELIVERIES};
use super::names;
use super::order::{failed, ids};
use super::records::{JobRecord, State};
use super::slot::{Death, Slot};
use super::turns::Turn;
use crate::error::{Error, Result};
use crate::suite::{Evidence, Shard};

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
