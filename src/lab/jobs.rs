//! Jobs: created once per request id, ended once.

use std::collections::{BTreeMap, HashSet};

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::engines::{Appended, Expect, Record};
use super::limits::within;
use super::names;
use super::records::{CheckSpec, JobRecord, JobSpec, Line, State, SuiteRecord, decode, encode};
use super::sealed::{record, seal};
use super::trace::TraceContext;
use super::{ALL, Lab, results};
use crate::engine::{Signature, Spent};
use crate::error::{Error, Result};
use crate::probe::audit::VALUES_MAX;
use crate::suite::{BACKGROUND_MAX, Check, Gate, Missing, Plan, fits, validate};

/// The key of a job's last line in its log.
pub(super) const DONE: u32 = u32::MAX;

/// Forward passes that take as long as a forward and a backward one.
const GRADIENT_PASSES: u64 = 3;

/// What is asked, as rows that go forward.
fn rows(spent: Spent) -> u64 {
    spent.forward.saturating_add(GRADIENT_PASSES.saturating_mul(spent.gradient))
}

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

    /// The spec with the suite's defaults filled in, fitted to its model and suite.
    async fn resolve(&self, tenant: &str, mut spec: JobSpec) -> Result<Created> {
        within("job_checks", self.limits().job_checks, spec.checks.len() as u64, "the number of checks")?;
        within("job_gates", self.limits().job_gates, spec.gates.len() as u64, "the number of gates")?;
        let id = names::id(&spec.model, tenant, "models", "subject.model")?;
        let (_, model): (_, super::records::ModelRecord) =
            self.get(&format!("model/{tenant}/{id}"), &spec.model).await?;
        let id = names::id(&spec.suite, tenant, "suites", "suite")?;
        let (_, suite): (_, SuiteRecord) = self.get(&format!("suite/{tenant}/{id}"), &spec.suite).await?;
        if spec.checks.is_empty() {
            spec.checks.clone_from(&suite.checks);
        }
        if spec.gates.is_empty() {
            spec.gates.clone_from(&suite.gates);
        }
        let checks = CheckSpec::read_all(&spec.checks)?;
        // From here on a check has one text, whatever form it came in.
        for (given, check) in spec.checks.iter_mut().zip(&checks) {
            given.spec.clone_from(&check.spec);
        }
        let inspected = &model.inspection;
        let missing = Missing { gradient: &inspected.no_gradient, trees: &inspected.no_trees };
        let gates = validate(&inspected.signature, missing, &suite.summary, &checks, &spec.gates)?;
        self.fits_baseline(tenant, &spec, &suite, &gates).await?;
        let background = self.background(tenant, &spec, &inspected.signature, &checks).await?;
        let rows_behind = background.as_ref().map_or(0, |(_, rows)| *rows);
        let all = suite.summary.cases;
        let cases = if spec.limit == 0 { all } else { all.min(spec.limit) };
        let values = cases.saturating_mul(inspected.signature.probed().len() as u64);
        if checks.iter().any(Check::wants_survey) {
            within("audit_values", VALUES_MAX, values, "the number of values of all cases, which audits read at once")?;
            let figures = checks.iter().map(|check| check.figures(&inspected.signature)).fold(0, u64::saturating_add);
            let figures = cases.saturating_mul(figures);
            within("audit_figures", VALUES_MAX, figures, "the number of figures that audits have of all cases")?;
        }
        let costs: Vec<Spent> = checks.iter().map(|check| check.cost(&inspected.signature, rows_behind)).collect();
        let most = costs.iter().map(|cost| rows(*cost)).max().unwrap_or(0);
        within("case_queries", self.limits().case_queries, most, "the number of rows that a check asks for a case")?;
        let flops_per_case = most.saturating_mul(inspected.flops);
        let plan = Plan::new(cases, checks.len(), flops_per_case);
        within("queued_shards", self.limits().queued_shards, plan.len(), "the number of shards of the job")?;
        let points: u64 = checks.iter().map(|c| c.len() as u64).sum();
        let verdicts = cases * points;
        let of = |part: fn(&Spent) -> u64| costs.iter().map(part).fold(0, u64::saturating_add).saturating_mul(cases);
        let (forward, gradient) = (of(|cost| cost.forward), of(|cost| cost.gradient));
        #[allow(clippy::cast_precision_loss)]
        let seconds = rows(Spent { forward, gradient }) as f64 * model.inspection.seconds_per_row;
        let queries = forward.saturating_add(gradient);
        let memory = model.inspection.memory;
        let job = JobRecord {
            name: String::new(),
            spec,
            state: State::Running,
            created: names::now(),
            ended: 0,
            model: model.sha256,
            signature: model.inspection.signature.to_yaml()?,
            suite: suite.sha256,
            cases,
            flops_per_case,
            background,
            #[allow(clippy::cast_precision_loss)]
            seconds_per_case: most as f64 * model.inspection.seconds_per_row,
            slices: suite.summary.slices,
            counts: BTreeMap::new(),
            remote: model.remote,
            trace: TraceContext::default(),
        };
        Ok(Created { job, shards: plan.len(), verdicts, queries, seconds, memory })
    }

    /// The digest of the background's suite and the rows taken of it. Refuses one that does not fit the model, and none
    /// where a check wants one.
    async fn background(
        &self,
        tenant: &str,
        spec: &JobSpec,
        signature: &Signature,
        checks: &[Check],
    ) -> Result<Option<(String, u64)>> {
        const FIELD: &str = "references.background";
        if spec.background.is_empty() {
            let wants = checks.iter().enumerate().find(|(_, check)| check.wants_background(signature));
            return wants.map_or(Ok(None), |(i, check)| {
                let message = format!("{} wants reference rows: --background, or the role `background`", check.spec);
                Err(Error::invalid(format!("checks[{i}]"), message))
            });
        }
        if !checks.iter().any(Check::takes_background) {
            return Ok(None);
        }
        let id = names::id(&spec.background, tenant, "suites", FIELD)?;
        let (_, suite): (_, SuiteRecord) = self.get(&format!("suite/{tenant}/{id}"), &spec.background).await?;
        fits(signature, &suite.summary).map_err(|e| e.under(FIELD))?;
        let rows = suite.summary.cases.min(BACKGROUND_MAX);
        if rows == 0 {
            return Err(Error::invalid(FIELD, "the suite has no rows"));
        }
        Ok(Some((suite.sha256, rows)))
    }

    /// Refuses a baseline that is not finished or is of other cases, and gates that it has nothing for.
    async fn fits_baseline(&self, tenant: &str, spec: &JobSpec, suite: &SuiteRecord, gates: &[Gate]) -> Result<()> {
        let paired = || gates.iter().enumerate().filter(|(_, gate)| gate.is_paired());
        if spec.baseline.is_empty() {
            return match paired().next() {
                None => Ok(()),
                Some((i, _)) => {
                    Err(Error::invalid(format!("gates[{i}]"), "it compares with a baseline, and the job names none"))
                }
            };
        }
        let id = names::id(&spec.baseline, tenant, "jobs", "baseline")?;
        let (_, job): (_, JobRecord) = self.get(&key(tenant, id), &spec.baseline).await?;
        if job.state == State::Running {
            return Err(Error::Precondition(format!("{} is still running; a baseline is finished", spec.baseline)));
        }
        if job.suite != suite.sha256 {
            return Err(Error::invalid("baseline", format!("{} judged other cases", spec.baseline)));
        }
        let checks = job.checks()?;
        let has = |point: &String| checks.iter().any(|c| (0..c.len()).any(|p| c.canonical(p) == point));
        for (i, gate) in paired() {
            if let Some(point) = gate.points().iter().find(|point| !has(point)) {
                return Err(Error::invalid(format!("gates[{i}]"), format!("the baseline has no check `{point}`")));
            }
        }
        Ok(())
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
        let log = &self.engine().log;
        let mut after = 0;
        loop {
            let entries = log.read(&job.name, after, 256).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.sequence;
            if let Some(done) = entries.iter().find(|e| e.key == DONE)
                && let Line::Done { state, counts } = decode(&done.body)?
            {
                return self.settle_as(job, state, counts).await;
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

    /// Recovers all jobs that were running when an earlier process ended.
    pub async fn recover_all(&self) -> Result<()> {
        for job in self.running().await? {
            self.recover(&job).await?;
        }
        Ok(())
    }

    /// Goes on with all jobs that have nobody to do so: the last worker of each may have died, or shards were lost.
    pub async fn reconcile(&self) -> Result<()> {
        for job in self.running().await? {
            self.go_on(&job.name).await?;
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

fn key(tenant: &str, id: &str) -> String {
    format!("job/{tenant}/{id}")
}

/// The key of a stored job's record.
pub(super) fn key_of(name: &str) -> Result<String> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["tenants", tenant, "jobs", id] => Ok(key(tenant, id)),
        _ => Err(Error::internal("job name", name)),
    }
}
