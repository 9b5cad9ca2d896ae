//! Verdicts that an earlier job has already: the same model, case, check, seed and engine give the same verdict, so it is
//! copied and not computed again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::Lab;
use super::engines::Expect;
use super::jobs::key_of;
use super::names;
use super::records::{JobRecord, Line, ShardLine, decode};
use super::sealed::seal;
use super::suite_file;
use crate::error::{Error, Result};
use crate::suite::{Evidence, Outcome, Shard};

/// What computes verdicts. Another version's are not mixed in.
const ENGINE: &str = env!("CARGO_PKG_VERSION");

/// Earlier jobs that are looked into for a shard.
const JOBS_MAX: usize = 8;

/// Cases of a suite beyond which only jobs on the same suite are looked into.
const CASES_MAX: u64 = 200_000;

/// A job that has, or will have, verdicts of a check.
type Offer = (String, u64);

impl Lab {
    /// Lets later jobs find this one's verdicts.
    pub(super) async fn offer(&self, job: &JobRecord) -> Result<()> {
        for (check, key) in keys(job)?.into_iter().enumerate() {
            let offer: Offer = (job.name.clone(), check as u64);
            self.engine().meta.put(&key, &seal(&offer)?, Expect::Any).await?;
        }
        Ok(())
    }

    /// Takes an offer back, before the job is deleted.
    pub(super) async fn withdraw(&self, job: &JobRecord) -> Result<()> {
        for key in keys(job)? {
            self.engine().meta.delete(&key, Expect::Any).await?;
        }
        Ok(())
    }

    /// A shard's evidence from an earlier job; `None` if no job has all of it. Arrays are not shared between jobs, so a
    /// job that keeps them computes its own; nor are audits, whose figures of a case are about all cases of the job; nor
    /// verdicts on a model elsewhere, which may be another one by now.
    pub(super) async fn known(&self, job: &JobRecord, shard: &Shard) -> Result<Option<Evidence>> {
        if job.remote.is_some() || job.spec.artifacts || job.spec.checks[shard.check].read()?.wants_survey() {
            return Ok(None);
        }
        let keys = keys(job)?;
        let key = &keys[shard.check];
        let prefix = &key[..=key.rfind('/').unwrap_or(0)];
        for record in self.engine().meta.list(prefix, None, JOBS_MAX).await? {
            let (name, check): Offer = decode(&record.value)?;
            if name == job.name {
                continue;
            }
            let other: JobRecord = match self.get(&key_of(&name)?, &name).await {
                Ok((_, other)) => other,
                // Deleted meanwhile, or damaged: there is nothing to copy.
                Err(Error::NotFound(_) | Error::DataLoss(_)) => continue,
                Err(e) => return Err(e),
            };
            let check = usize::try_from(check).map_err(|e| Error::internal("check", e))?;
            if let Some(positions) = self.positions(job, shard, &other).await?
                && let Some(evidence) = self.copy(job, shard, &other, check, &positions).await?
            {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    /// Where another job has a shard's cases; `None` if it lacks one.
    async fn positions(&self, job: &JobRecord, shard: &Shard, other: &JobRecord) -> Result<Option<Vec<u64>>> {
        if job.suite == other.suite {
            return Ok((shard.cases.end <= other.cases).then(|| shard.cases.clone().collect()));
        }
        if other.cases > CASES_MAX {
            return Ok(None);
        }
        let blobs = &self.engine().blobs;
        let (own, theirs) = match (blobs.local(&job.suite).await, blobs.local(&other.suite).await) {
            (Ok(own), Ok(theirs)) => (own, theirs),
            // The other's suite was deleted; its verdicts can no longer be told apart.
            _ => return Ok(None),
        };
        let (range, all) = (shard.cases.clone(), 0..other.cases);
        let find = move || -> Result<Option<Vec<u64>>> {
            let at: HashMap<_, _> = suite_file::digests(&theirs, &all)?.into_iter().zip(0..).collect();
            Ok(suite_file::digests(&own, &range)?.iter().map(|digest| at.get(digest).copied()).collect())
        };
        tokio::task::spawn_blocking(find).await.map_err(|e| Error::internal("comparing suites", e))?
    }

    /// The verdicts at these positions of another job's check, as this shard's; `None` if one is missing or failed.
    async fn copy(
        &self,
        job: &JobRecord,
        shard: &Shard,
        other: &JobRecord,
        check: usize,
        positions: &[u64],
    ) -> Result<Option<Evidence>> {
        let points = job.spec.checks[shard.check].read()?.len();
        let mut lines: BTreeMap<u64, ShardLine> = BTreeMap::new();
        let mut evidence = Evidence::default();
        for (index, position) in shard.cases.clone().zip(positions) {
            let key = other.plan().index(check, *position);
            let line = match lines.entry(key) {
                Entry::Occupied(line) => line.into_mut(),
                Entry::Vacant(place) => {
                    let found = self.engine().log.get(&other.name, u32::try_from(key).unwrap_or(u32::MAX)).await?;
                    let Some(Line::Shard(line)) = found.map(|entry| decode(&entry.body)).transpose()? else {
                        return Ok(None);
                    };
                    place.insert(line)
                }
            };
            let own: Vec<_> = line.verdicts.iter().filter(|v| v.index == *position).cloned().collect();
            if own.len() != points || own.iter().any(|v| v.outcome == Outcome::Failed) {
                return Ok(None);
            }
            evidence.tags.extend(line.tags.get(position).map(|tags| (index, tags.clone())));
            for mut verdict in own {
                verdict.index = index;
                verdict.check = u32::try_from(shard.check).map_err(|e| Error::internal("check", e))?;
                evidence.verdicts.push(verdict);
            }
        }
        Ok(Some(evidence))
    }
}

/// `known/TENANT/WHAT/JOB` for each check of a job, where WHAT is all that its verdicts follow from but the case.
fn keys(job: &JobRecord) -> Result<Vec<String>> {
    let parts: Vec<&str> = job.name.split('/').collect();
    let ["tenants", tenant, "jobs", id] = parts.as_slice() else {
        return Err(Error::internal("job name", &job.name));
    };
    let key = |check: crate::suite::Check| {
        let points: Vec<&str> = (0..check.len()).map(|point| check.canonical(point)).collect();
        let (points, seed) = (points.join("\n"), job.spec.seed.to_le_bytes());
        let background = job.background.as_ref().filter(|_| check.takes_background());
        let background = background.map_or(String::new(), |(digest, rows)| format!("{digest} {rows}"));
        let mut parts =
            vec![job.model.as_bytes(), job.signature.as_bytes(), points.as_bytes(), &seed, ENGINE.as_bytes()];
        parts.extend(Some(background.as_bytes()).filter(|b| !b.is_empty()));
        format!("known/{tenant}/{}/{id}", names::content_id(&parts))
    };
    Ok(job.checks()?.into_iter().map(key).collect())
}
