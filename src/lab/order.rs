//! What a slot is told to do for a shard, how long it may take, and what its answer has to be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::records::JobRecord;
use super::slot::Work;
use super::{Lab, suite_file};
use crate::error::{Error, Result};
use crate::suite::{Evidence, Shard, Verdict};

/// An estimate of time may be this much too low.
const SLACK: f64 = 4.0;

/// What an estimate adds to a shard's time, at most.
const ESTIMATE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a shard may take: what is always granted, and some times what its attacks were estimated at.
#[allow(clippy::cast_precision_loss)]
pub(super) fn allowed(lab: &Lab, job: &JobRecord, shard: &Shard) -> Duration {
    let cases = (shard.cases.end - shard.cases.start) as f64;
    let estimated = (cases * job.seconds_per_case * SLACK).clamp(0.0, ESTIMATE_MAX.as_secs_f64());
    let granted = if cases > 1.0 { lab.limits().shard_time } else { lab.limits().case_time };
    granted + Duration::from_secs_f64(estimated)
}

/// The order for a shard.
pub(super) async fn work(lab: &Lab, job: &JobRecord, shard: &Shard, keep: bool) -> Result<Work> {
    let blobs = &lab.engine().blobs;
    let check = job.spec.checks[shard.check].read()?;
    let wanted = check.takes_background();
    let background = match &job.background {
        Some((digest, rows)) if wanted => Some((blobs.local(digest).await?, *rows)),
        _ => None,
    };
    Ok(Work {
        survey: check.wants_survey().then_some(job.cases),
        background,
        model: blobs.local(&job.model).await?,
        remote: job.remote.is_some(),
        signature: job.signature.clone(),
        suite: blobs.local(&job.suite).await?,
        check: job.spec.checks[shard.check].clone(),
        position: u32::try_from(shard.check).map_err(|e| Error::internal("check", e))?,
        cases: shard.cases.clone(),
        seed: job.spec.seed,
        keep,
    })
}

/// Whether an answer has one verdict of each case and point of its shard. A slot may have been taken over.
pub(super) fn is_whole(job: &JobRecord, shard: &Shard, evidence: &Evidence) -> Result<bool> {
    let points = job.spec.checks[shard.check].read()?.len();
    let told: BTreeSet<(u64, u32)> = evidence.verdicts.iter().map(|v| (v.index, v.point)).collect();
    let cases = usize::try_from(shard.cases.end - shard.cases.start).map_err(|e| Error::internal("cases", e))?;
    let of_it =
        |v: &Verdict| v.check as usize == shard.check && shard.cases.contains(&v.index) && (v.point as usize) < points;
    Ok(told.len() == cases * points && evidence.verdicts.len() == told.len() && evidence.verdicts.iter().all(of_it))
}

/// Ids of a shard's cases; positions stand in where the suite's file cannot be read.
pub(super) async fn ids(lab: &Lab, job: &JobRecord, shard: &Shard) -> Result<Vec<String>> {
    let cases = shard.cases.clone();
    let cases = match lab.engine().blobs.local(&job.suite).await {
        Ok(path) => {
            let read = tokio::task::spawn_blocking(move || suite_file::read(&path, cases)).await;
            read.map_err(|e| Error::internal("reading the suite", e))?
        }
        lost => lost.map(|_| Vec::new()),
    };
    Ok(cases.map_or_else(
        |_| shard.cases.clone().map(|i| format!("#{i}")).collect(),
        |c| c.into_iter().map(|c| c.id).collect(),
    ))
}

/// A failed verdict for every case and point.
pub(super) fn failed(job: &JobRecord, shard: &Shard, ids: &[String], reason: &str) -> Result<Evidence> {
    let check = job.spec.checks[shard.check].read()?;
    let position = u32::try_from(shard.check).map_err(|e| Error::internal("check", e))?;
    let points = u32::try_from(check.len()).map_err(|e| Error::internal("points", e))?;
    let verdict = |index: u64, case: &String, point: u32| Verdict {
        reason: reason.to_owned(),
        ..Verdict::blank(case, index, position, point)
    };
    let cases = shard.cases.clone().zip(ids);
    let verdicts = cases.flat_map(|(index, id)| (0..points).map(move |p| verdict(index, id, p))).collect();
    Ok(Evidence { verdicts, ..Evidence::default() })
}
