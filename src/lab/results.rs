//! What a job gave: its log read, followed and folded.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Lab;
use super::engines::Entry;
use super::jobs::DONE;
use super::records::{ArtifactRecord, JobRecord, Line, ShardLine, State, decode};
use crate::error::{Error, Result};
use crate::suite::{Check, Fold, Gate, Report, Scope, Sheet, Tags, Verdict, Wanted};

/// Log entries read at once.
const PAGE: usize = 64;

/// Jobs whose progress is remembered.
const ASKED_MAX: usize = 1024;

/// What a stream carries. The number goes into the resume token: a stream from there goes on after this message.
pub enum Message {
    /// With the tags of their cases by position in the suite.
    Verdicts {
        verdicts: Vec<Verdict>,
        tags: BTreeMap<u64, Tags>,
    },
    Progress(Progress),
    Heartbeat,
    Done {
        state: State,
        counts: BTreeMap<String, u64>,
    },
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub shards_total: u64,
    pub shards_done: u64,
    pub verdicts_total: u64,
    pub verdicts_done: u64,
    pub queries_done: u64,
    /// By the pace since the stream began.
    pub seconds_left: Option<f64>,
}

/// What counts of a line of a shard; the rest of its body is skipped, not read.
#[derive(Deserialize)]
enum Work {
    Shard { verdicts: Vec<IgnoredAny>, queries: u64 },
    Done {},
}

impl Progress {
    /// Takes in a line of the log.
    fn add(&mut self, entry: &Entry) -> Result<()> {
        if let Work::Shard { verdicts, queries } = decode(&entry.body)? {
            self.add_shard(verdicts.len(), queries);
        }
        Ok(())
    }

    fn add_shard(&mut self, verdicts: usize, queries: u64) {
        self.shards_done += 1;
        self.verdicts_done += verdicts as u64;
        self.queries_done += queries;
    }
}

/// Calls `each` with the lines of a job's log up to its end.
pub(super) async fn lines(lab: &Lab, job: &str, mut each: impl FnMut(u32, Line) -> Result<()>) -> Result<()> {
    let mut after = 0;
    loop {
        let entries = lab.engine().log.read(job, after, PAGE).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.sequence;
        for entry in &entries {
            each(entry.key, decode(&entry.body)?)?;
            if entry.key == DONE {
                return Ok(());
            }
        }
    }
}

/// Verdicts of a job by outcome, so far.
pub(super) async fn counts(lab: &Lab, job: &str) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let count = |_, line| {
        if let Line::Shard(ShardLine { verdicts, .. }) = line {
            verdicts.iter().for_each(|v| *counts.entry(v.outcome.name().to_owned()).or_default() += 1);
        }
        Ok(())
    };
    lines(lab, job, count).await?;
    Ok(counts)
}

/// Arrays that a job's shards left.
pub(super) async fn artifacts(lab: &Lab, job: &str) -> Result<Vec<ArtifactRecord>> {
    let mut artifacts = Vec::new();
    let collect = |_, line| {
        if let Line::Shard(line) = line {
            artifacts.extend(line.artifacts);
        }
        Ok(())
    };
    lines(lab, job, collect).await?;
    artifacts.sort_by(|a, b| (a.check, &a.array, a.first_case).cmp(&(b.check, &b.array, b.first_case)));
    Ok(artifacts)
}

impl Lab {
    /// The report over what is there. A baseline that was deleted meanwhile leaves its gates inconclusive.
    pub async fn report(&self, tenant: &str, name: &str) -> Result<(Vec<Check>, Report)> {
        let job = self.job(tenant, name).await?;
        let checks = job.checks()?;
        let gates = job.spec.gates.iter().map(|gate| Gate::parse(gate, &checks)).collect::<Result<Vec<_>>>()?;
        let output = job.signature()?.output;
        let scope = Scope {
            checks: &checks,
            gates: &gates,
            outputs: output.size,
            classes: &output.classes,
            slices: &job.slices,
            cases: job.cases,
        };
        let baseline = match job.spec.baseline.as_str() {
            "" => None,
            baseline => self.sheet(tenant, baseline, scope.wanted()).await?,
        };
        let mut fold = Fold::new(scope);
        let add = |_, line| {
            if let Line::Shard(line) = line {
                fold.add(&line.verdicts, &line.tags);
                fold.add_audits(&line.audits);
            }
            Ok(())
        };
        lines(self, name, add).await?;
        let report = fold.report(baseline.as_ref());
        Ok((checks, report))
    }

    /// What is wanted of another job's verdicts; `None` if that job is gone.
    async fn sheet(&self, tenant: &str, name: &str, wanted: Wanted) -> Result<Option<Sheet>> {
        let job = match self.job(tenant, name).await {
            Ok(job) => job,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        let (checks, mut sheet) = (job.checks()?, Sheet::of(wanted));
        let add = |_, line| {
            let Line::Shard(line) = line else { return Ok(()) };
            for verdict in &line.verdicts {
                let (check, point) = (checks.get(verdict.check as usize), verdict.point as usize);
                let case = usize::try_from(verdict.index).ok().filter(|_| verdict.index < job.cases);
                if let (Some(check), Some(case)) = (check.filter(|check| point < check.len()), case) {
                    sheet.add(check.canonical(point), case, verdict);
                }
            }
            Ok(())
        };
        lines(self, name, add).await?;
        Ok(Some(sheet))
    }

    /// Verdicts after a place in the log, at most those of a page of lines; the second part goes on, 0 at the end.
    pub async fn results(&self, tenant: &str, name: &str, after: u64, limit: usize) -> Result<(Vec<Verdict>, u64)> {
        self.job(tenant, name).await?;
        let (mut verdicts, mut after) = (Vec::new(), after);
        while verdicts.len() < limit {
            let entries = self.engine().log.read(name, after, 1).await?;
            let Some(entry) = entries.first().filter(|e| e.key != DONE) else { return Ok((verdicts, 0)) };
            after = entry.sequence;
            if let Line::Shard(line) = decode(&entry.body)? {
                verdicts.extend(line.verdicts);
            }
        }
        Ok((verdicts, after))
    }

    /// A job and the arrays that it kept.
    pub async fn artifacts(&self, tenant: &str, name: &str) -> Result<(JobRecord, Vec<ArtifactRecord>)> {
        Ok((self.job(tenant, name).await?, artifacts(self, name).await?))
    }

    /// One array by its id.
    pub async fn artifact(&self, tenant: &str, job: &str, id: &str) -> Result<ArtifactRecord> {
        let missing = || Error::NotFound(format!("{job}/artifacts/{id}"));
        self.artifacts(tenant, job).await?.1.into_iter().find(|a| a.id == id).ok_or_else(missing)
    }

    /// Bytes of an array from `offset`.
    pub async fn read_artifact(&self, artifact: &ArtifactRecord, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.engine().blobs.read(&artifact.digest, artifact.offset + offset, length).await
    }

    /// How far a job is. Only what came since the last time is read.
    pub async fn progress(&self, job: &JobRecord) -> Result<Progress> {
        let asked = || self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let known = asked().get(&job.name).cloned();
        let (mut after, mut progress) = match known {
            Some(known) => known,
            None => (0, Follow::new(self.clone(), job.clone(), 0)?.progress),
        };
        loop {
            let entries = self.engine().log.read(&job.name, after, PAGE).await?;
            let Some(last) = entries.last() else { break };
            after = last.sequence;
            entries.iter().try_for_each(|entry| progress.add(entry))?;
        }
        let mut asked = asked();
        if asked.len() >= ASKED_MAX {
            asked.clear();
        }
        asked.insert(job.name.clone(), (after, progress.clone()));
        Ok(progress)
    }

    /// Follows a job from a place in its log; 0 is the beginning.
    pub async fn follow(&self, tenant: &str, name: &str, after: u64) -> Result<Follow> {
        let job = self.job(tenant, name).await?;
        let mut follow = Follow::new(self.clone(), job, 0)?;
        // What lies before the token counts as progress.
        while follow.after < after {
            let take = usize::try_from(after - follow.after).unwrap_or(PAGE).min(PAGE);
            let entries = self.engine().log.read(name, follow.after, take).await?;
            let Some(last) = entries.last() else { break };
            follow.after = last.sequence.min(after);
            let seen = entries.iter().filter(|e| e.sequence <= after && e.key != DONE);
            for entry in seen {
                follow.progress.add(entry)?;
            }
        }
        follow.start = follow.progress.verdicts_done;
        follow.after = after;
        Ok(follow)
    }
}

/// A reader of a job's log that waits for more.
pub struct Follow {
    lab: Lab,
    job: JobRecord,
    after: u64,
    progress: Progress,
    began: Instant,
    start: u64,
    /// Whether progress is owed for verdicts that were given.
    owed: bool,
    ended: bool,
}

impl Follow {
    fn new(lab: Lab, job: JobRecord, after: u64) -> Result<Self> {
        let points: u64 = job.checks()?.iter().map(|c| c.len() as u64).sum();
        let progress =
            Progress { shards_total: job.plan().len(), verdicts_total: job.cases * points, ..Progress::default() };
        Ok(Self { lab, job, after, progress, began: Instant::now(), start: 0, owed: true, ended: false })
    }

    /// The next message with the place after it; `None` after `Done`. A heartbeat comes when nothing else does for
    /// `patience`.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<(u64, Message)>> {
        if self.ended {
            return Ok(None);
        }
        if std::mem::take(&mut self.owed) {
            return Ok(Some((self.after, Message::Progress(self.pace()))));
        }
        let until = Instant::now() + patience;
        loop {
            let log = &self.lab.engine().log;
            if let Some(entry) = log.read(&self.job.name, self.after, 1).await?.pop() {
                self.after = entry.sequence;
                return match decode(&entry.body)? {
                    Line::Shard(line) => {
                        self.progress.add_shard(line.verdicts.len(), line.queries);
                        self.owed = true;
                        let ShardLine { verdicts, tags, .. } = line;
                        Ok(Some((self.after, Message::Verdicts { verdicts, tags })))
                    }
                    Line::Done { state, counts } => {
                        self.ended = true;
                        // The line is written before the record; who has seen it may rely on the record.
                        let key = super::jobs::key_of(&self.job.name)?;
                        let (_, job): (_, JobRecord) = self.lab.get(&key, &self.job.name).await?;
                        if job.state == State::Running {
                            self.lab.settle_as(&job, state, counts.clone()).await?;
                        }
                        Ok(Some((self.after, Message::Done { state, counts })))
                    }
                };
            }
            // A token from after the last line, or a job that was deleted meanwhile: the record tells.
            let key = super::jobs::key_of(&self.job.name)?;
            let (_, job): (_, JobRecord) = self.lab.get(&key, &self.job.name).await?;
            if job.state != State::Running && log.read(&self.job.name, self.after, 1).await?.is_empty() {
                self.ended = true;
                return Ok(Some((self.after, Message::Done { state: job.state, counts: job.counts })));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some((self.after, Message::Heartbeat)));
            }
            log.wait(&self.job.name, self.after, left).await;
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn pace(&self) -> Progress {
        let mut progress = self.progress.clone();
        let (done, left) =
            (progress.verdicts_done - self.start, progress.verdicts_total.saturating_sub(progress.verdicts_done));
        if done > 0 {
            progress.seconds_left = Some(self.began.elapsed().as_secs_f64() / done as f64 * left as f64);
        }
        progress
    }
}
