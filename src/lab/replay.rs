//! One case of a job again, apart from the job's log: what is not the same to the bit cannot be trusted.

use std::collections::BTreeMap;

use super::Lab;
use super::order::{allowed, work};
use super::records::{JobRecord, Line, encode};
use super::results;
use super::slot::{Ask, Tell};
use crate::error::{Error, Result};
use crate::suite::{Check, Evidence, Shard, Verdict};
use crate::tensor::Tensor;

/// A case judged again.
pub struct Replayed {
    pub job: JobRecord,
    pub checks: Vec<Check>,
    /// By point of the check.
    pub verdicts: Vec<Verdict>,
    /// What the job keeps as artifacts, for this case alone: rows by point.
    pub arrays: BTreeMap<String, Tensor>,
    /// Whether the job's log says the same.
    pub identical: bool,
}

impl Lab {
    /// Judges one case under one check again, as the job did, in a slot of its own. `check` is the SPEC, or a name that is
    /// unique; it may be empty if the job has one check. A case that the job has not judged is [`Error::NotFound`].
    pub async fn replay(&self, tenant: &str, name: &str, case: &str, check: &str) -> Result<Replayed> {
        let job = self.job(tenant, name).await?;
        let checks = job.checks()?;
        let position = locate(check, &checks)?;
        let logged = self.logged(name, case, position).await?;
        let Some(index) = logged.verdicts.first().map(|v| v.index) else {
            return Err(Error::NotFound(format!("a verdict of {name} on case `{case}`")));
        };
        let shard = Shard { check: position, cases: index..index + 1 };
        let ask = Ask::Run(Box::new(work(self, &job, &shard, true).await?));
        if let Some(why) = self.quarantine(tenant, &job.spec.model).await? {
            return Err(Error::Precondition(why));
        }
        let _inspection = self.0.inspections.enter(tenant).await?;
        let (mut slot, remote) = (self.0.slots.start().await?, self.remote(job.remote.as_ref())?);
        let asked = slot.ask(ask, allowed(self, &job, &shard), remote.as_ref());
        // Time at an endpoint is nobody's own, and others wait for this place.
        let answer = if remote.is_some() { self.in_time(asked).await? } else { asked.await? };
        let evidence = match answer {
            Ok(Tell::Evidence(evidence)) => evidence,
            Ok(Tell::Failed(e)) => return Err(e),
            Ok(_) => return Err(Error::internal("slot", "evidence was asked for")),
            Err(death) => {
                self.mourn(tenant, &job.spec.model, &death).await?;
                return Err(Error::Precondition(format!("the case ended its slot: {}", death.0)));
            }
        };
        // Bytes are compared, for no figure that is NaN equals itself.
        let identical =
            encode(&(&evidence.verdicts, &evidence.audits))? == encode(&(&logged.verdicts, &logged.audits))?;
        Ok(Replayed { job, checks, verdicts: evidence.verdicts, arrays: evidence.arrays, identical })
    }

    /// The job's own verdicts on a case under a check, by point, and what its audits found in it.
    async fn logged(&self, job: &str, case: &str, check: usize) -> Result<Evidence> {
        let mut found = Evidence::default();
        let collect = |_, line| {
            let Line::Shard(mut line) = line else { return Ok(()) };
            line.verdicts.retain(|v| v.check as usize == check && v.case == case);
            let index = line.verdicts.first().map(|v| v.index);
            line.audits.iter_mut().for_each(|audited| audited.figures.retain(|position, _| Some(*position) == index));
            line.audits.retain(|audited| audited.check as usize == check && !line.verdicts.is_empty());
            found.verdicts.extend(line.verdicts);
            found.audits.extend(line.audits);
            Ok(())
        };
        results::lines(self, job, collect).await?;
        Ok(found)
    }
}

/// The check meant: by SPEC, by a name that is unique, or the only one.
fn locate(check: &str, checks: &[Check]) -> Result<usize> {
    if let Some(position) = checks.iter().position(|c| c.spec == check) {
        return Ok(position);
    }
    let named = |c: &Check| check.is_empty() || c.manual.name == check;
    let found: Vec<usize> = (0..checks.len()).filter(|i| named(&checks[*i])).collect();
    let specs = || checks.iter().map(|c| c.spec.as_str()).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::invalid("check", format!("the job has no check `{check}`; it has {}", specs()))),
        _ => Err(Error::invalid("check", format!("which one is meant of {}?", specs()))),
    }
}
