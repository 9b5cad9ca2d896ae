//! Gates against a file of verdicts, which the service knows nothing of: decided here, by the suite's own functions.

use std::path::Path;

use super::sheet::{self, Ids};
use crate::api::{check_to_pb, gate_to_pb, pb};
use crate::error::{Error, Result};
use crate::metric::Level;
use crate::suite::{Check, Gate, Scope, Sheet, Slicer, corruption_errors};

/// What is compared with a file while a job runs.
pub(super) struct Baseline {
    checks: Vec<Check>,
    /// Gates that need the file, with their places among all: paired ones are held back from the service, those on
    /// corruption errors are decided again where it had no reference.
    gates: Vec<(usize, Gate)>,
    ids: Ids,
    file: Sheet,
    own: Sheet,
}

impl Baseline {
    /// Reads the file and takes the gates that need it out of `gates`.
    pub(super) fn read(path: &Path, checks: &[String], gates: &mut Vec<String>) -> Result<Self> {
        let read = |(i, spec): (usize, &String)| Check::parse(spec).map_err(|e| e.under(&format!("checks[{i}]")));
        let checks = checks.iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
        let mut held = Vec::new();
        for (i, text) in gates.iter().enumerate() {
            let gate = Gate::parse(text, &checks).map_err(|e| e.under(&format!("gates[{i}]")))?;
            if gate.is_paired() || matches!(gate.metric().level, Level::Corruption | Level::Job) {
                held.push((i, gate));
            }
        }
        let mut at = 0..;
        gates.retain(|_| at.next().is_some_and(|at| !held.iter().any(|(i, gate)| *i == at && gate.is_paired())));
        let (mut ids, mut file) = (Ids::default(), Sheet::default());
        sheet::read(path, &mut ids, &mut file)?;
        for (i, gate) in held.iter().filter(|(_, gate)| gate.is_paired()) {
            if let Some(point) = gate.points().iter().find(|point| !file.has(point)) {
                let message = format!("{} has no check `{point}`", path.display());
                return Err(Error::invalid(format!("gates[{i}]"), message));
            }
        }
        let gates: Vec<Gate> = held.iter().map(|(_, gate)| gate.clone()).collect();
        let own = Sheet::of(scope(&checks, &gates, &Slicer::default()).wanted());
        Ok(Self { checks, gates: held, ids, file, own })
    }

    /// Takes in a verdict of the job.
    pub(super) fn add(&mut self, verdict: &pb::Verdict) {
        sheet::add(verdict, &mut self.ids, &mut self.own);
    }

    /// Completes a report: corruption errors against the file unless the service has a reference of its own, and the
    /// gates that need the file.
    pub(super) fn complete(self, report: &mut pb::Report) {
        let slices = Slicer::default();
        let gates: Vec<Gate> = self.gates.iter().map(|(_, gate)| gate.clone()).collect();
        let mut entries = corruption_errors(&scope(&self.checks, &gates, &slices), &self.own, &self.file);
        if report.checks.iter().flat_map(|c| &c.metrics).any(|m| m.name == "corruption_error") {
            entries.clear();
        }
        for (at, gate) in &self.gates {
            if gate.is_paired() {
                let decided = gate.decide_paired(&self.file, &self.own);
                report.gates.insert((*at).min(report.gates.len()), gate_to_pb(decided));
            } else if let Some(open) = report.gates.get_mut(*at).filter(|_| !entries.is_empty()) {
                *open = gate_to_pb(gate.decide(&entries));
            }
        }
        for entry in entries.into_iter().map(check_to_pb) {
            match report.checks.iter_mut().find(|c| c.check == entry.check && c.params == entry.params) {
                Some(same) => {
                    // Overall metrics stand before those of slices.
                    let place = same.metrics.iter().position(|m| !m.slice.is_empty()).unwrap_or(same.metrics.len());
                    same.metrics.splice(place..place, entry.metrics);
                }
                None => report.checks.push(entry),
            }
        }
        if report.verdict != "incomplete" {
            let verdict = if report.gates.iter().all(|gate| gate.passed) { "pass" } else { "fail" };
            verdict.clone_into(&mut report.verdict);
        }
    }
}

/// What the file is compared under. Classes are none of its business: without them AlexNet is no reference.
fn scope<'a>(checks: &'a [Check], gates: &'a [Gate], slices: &'a Slicer) -> Scope<'a> {
    Scope { checks, gates, outputs: 0, classes: &[], slices, cases: 0 }
}
