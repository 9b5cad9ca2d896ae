//! The report: a pure fold over verdicts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::check::Check;
use super::gate::{Gate, GateReport};
use super::verdict::{Outcome, Verdict};
use crate::metric::{Rate, mean, rate};

/// A figure with its 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    pub name: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Denominator.
    pub n: u64,
    /// Numerator, for rates.
    pub count: Option<u64>,
    /// `tag=value` for a part of the suite; empty for all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub slice: String,
}

impl Metric {
    /// A share with its interval.
    pub fn rate(name: &str, rate: Rate) -> Self {
        let Rate { count, n, value, low, high } = rate;
        Self { name: name.to_owned(), value, low, high, n, count: Some(count), slice: String::new() }
    }
}

/// The metrics of one point of a check, or of the whole curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The SPEC as given.
    pub check: String,
    pub name: &'static str,
    pub params: Map<String, Value>,
    pub metrics: Vec<Metric>,
    #[serde(skip)]
    pub check_index: usize,
    #[serde(skip)]
    pub point: Option<usize>,
}

impl CheckReport {
    /// The entry of one point.
    pub fn point(checks: &[Check], check: usize, point: usize, metrics: Vec<Metric>) -> Self {
        let params = checks[check].params(point).clone();
        let (spec, name) = (checks[check].spec.clone(), checks[check].manual.name);
        Self { check: spec, name, params, metrics, check_index: check, point: Some(point) }
    }
}

/// What a job says in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// In the order of the checks: the points of a check, then its curve.
    pub checks: Vec<CheckReport>,
    pub findings: Vec<Value>,
    pub gates: Vec<GateReport>,
    /// `pass`, `fail`, or `incomplete` while verdicts are missing or failed.
    pub verdict: &'static str,
    #[serde(skip)]
    pub counts: BTreeMap<&'static str, u64>,
}

/// Takes verdicts in any order of shards; within a shard the points of a case follow one another.
pub struct Fold<'a> {
    checks: &'a [Check],
    tallies: Vec<Vec<Tally>>,
    curves: Vec<Curve>,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Default)]
struct Tally {
    held: u64,
    judged: u64,
    top5: u64,
    ranked: u64,
    /// Absolute errors: number, sum, sum of squares. Kept per case so that the order of shards cannot change a sum.
    errors: BTreeMap<u64, f64>,
}

/// Held and judged points of the cases of a multi-point check.
#[derive(Clone, Default)]
struct Curve {
    cases: BTreeMap<u64, (u32, u32)>,
}

impl<'a> Fold<'a> {
    /// An empty fold for a job's checks.
    pub fn new(checks: &'a [Check]) -> Self {
        Self {
            checks,
            tallies: checks.iter().map(|c| vec![Tally::default(); c.len()]).collect(),
            curves: vec![Curve::default(); checks.len()],
            counts: BTreeMap::new(),
        }
    }

    /// Takes in one verdict; one that names no point of the job's checks is left out.
    pub fn add(&mut self, verdict: &Verdict) {
        *self.counts.entry(verdict.outcome.name()).or_default() += 1;
        let check = verdict.check as usize;
        let Some(tally) = self.tallies.get_mut(check).and_then(|t| t.get_mut(verdict.point as usize)) else { return };
        if let Some(error) = verdict.measures.get("absolute_error") {
            tally.errors.insert(verdict.index, *error);
        }
        if !matches!(verdict.outcome, Outcome::Held | Outcome::Broken) {
            return;
        }
        let held = u64::from(verdict.outcome == Outcome::Held);
        tally.held += held;
        tally.judged += 1;
        if let Some(top5) = verdict.measures.get("top5") {
            tally.top5 += u64::from(*top5 > 0.5);
            tally.ranked += 1;
        }
        if self.checks[check].len() > 1 {
            let case = self.curves[check].cases.entry(verdict.index).or_default();
            *case = (case.0 + u32::from(held > 0), case.1 + 1);
        }
    }

    /// The report over what was taken in; `expected` verdicts make it complete.
    pub fn report(&self, gates: &[Gate], expected: u64) -> Report {
        let mut entries = Vec::new();
        for (i, (check, tallies)) in self.checks.iter().zip(&self.tallies).enumerate() {
            entries.extend(tallies.iter().enumerate().map(|(p, t)| CheckReport::point(self.checks, i, p, t.metrics())));
            if check.len() > 1 {
                entries.push(CheckReport {
                    check: check.spec.clone(),
                    name: check.manual.name,
                    params: check.all_params(),
                    metrics: self.curves[i].metrics(),
                    check_index: i,
                    point: None,
                });
            }
        }
        let gates: Vec<GateReport> = gates.iter().map(|gate| gate.decide(&entries)).collect();
        let seen: u64 = self.counts.values().sum();
        let verdict = match () {
            () if seen < expected || self.counts.contains_key("failed") => "incomplete",
            () if gates.iter().all(|g| g.passed) => "pass",
            () => "fail",
        };
        Report { checks: entries, findings: Vec::new(), gates, verdict, counts: self.counts.clone() }
    }
}

impl Tally {
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        if !self.errors.is_empty() {
            let (value, low, high) = mean(self.errors.values().copied());
            let (name, n) = ("mae".to_owned(), self.errors.len() as u64);
            metrics.push(Metric { name, value, low, high, n, count: None, slice: String::new() });
        }
        if self.judged > 0 {
            metrics.push(Metric::rate("accuracy", rate(self.held, self.judged)));
        }
        if self.ranked > 0 {
            metrics.push(Metric::rate("top5_accuracy", rate(self.top5, self.ranked)));
        }
        metrics
    }
}

impl Curve {
    /// The mean over points of the accuracy. Its interval is Wilson's on the number of cases, as if all points of a
    /// case rose and fell together, which is the widest that can be: points of one case are not independent.
    fn metrics(&self) -> Vec<Metric> {
        let n = self.cases.len() as u64;
        if n == 0 {
            return Vec::new();
        }
        #[allow(clippy::cast_precision_loss)]
        let value = self.cases.values().map(|(held, all)| f64::from(*held) / f64::from(*all)).sum::<f64>() / n as f64;
        let (low, high) = crate::metric::wilson(value, n);
        vec![Metric { name: "mean_accuracy".to_owned(), value, low, high, n, count: None, slice: String::new() }]
    }
}
