//! What a job's spec comes to: defaults filled in, everything looked up and fitted, the work counted.

use std::collections::BTreeMap;

use super::Lab;
use super::jobs::{Created, key};
use super::limits::within;
use super::names;
use super::records::{CheckSpec, JobRecord, JobSpec, ModelRecord, State, SuiteRecord};
use super::trace::TraceContext;
use crate::engine::{Signature, Spent};
use crate::error::{Error, Result};
use crate::probe::audit::VALUES_MAX;
use crate::suite::{BACKGROUND_MAX, Check, Gate, Missing, Plan, fits, validate};

/// Forward passes that take as long as a forward and a backward one.
const GRADIENT_PASSES: u64 = 3;

/// What is asked, as rows that go forward.
fn rows(spent: Spent) -> u64 {
    spent.forward.saturating_add(GRADIENT_PASSES.saturating_mul(spent.gradient))
}

impl Lab {
    /// The spec with the suite's defaults filled in, fitted to its model and suite.
    pub(super) async fn resolve(&self, tenant: &str, mut spec: JobSpec) -> Result<Created> {
        within("job_checks", self.limits().job_checks, spec.checks.len() as u64, "the number of checks")?;
        within("job_gates", self.limits().job_gates, spec.gates.len() as u64, "the number of gates")?;
        let id = names::id(&spec.model, tenant, "models", "subject.model")?;
        let (_, model): (_, ModelRecord) = self.get(&format!("model/{tenant}/{id}"), &spec.model).await?;
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
}
