//! How a shard is run: in a slot, and in the end case by case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use metrics::histogram;

use super::{End, Worker};
use crate::error::{Error, Result};
use crate::lab::meters::CASE_DURATION;
use crate::lab::models::owner;
use crate::lab::names;
use crate::lab::order::{allowed, failed, ids, is_whole, work};
use crate::lab::records::JobRecord;
use crate::lab::slot::{Ask, Death, Tell};
use crate::suite::{Evidence, Shard};
use crate::tensor::Tensor;

impl Worker {
    /// Runs a shard in the slot.
    pub(super) async fn run(&mut self, job: &JobRecord, shard: &Shard) -> Result<End> {
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
    pub(super) async fn one_by_one(&mut self, job: &JobRecord, shard: &Shard) -> Result<End> {
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
}

/// Notes how long a case of a shard took.
fn clock(job: &JobRecord, shard: &Shard, time: Duration) -> Result<()> {
    let probe = job.spec.checks[shard.check].read()?.manual.name;
    let cases = u32::try_from(shard.cases.end - shard.cases.start).unwrap_or(u32::MAX).max(1);
    histogram!(CASE_DURATION, "probe" => probe).record_many(time / cases, cases as usize);
    Ok(())
}
