//! The report: a pure fold over verdicts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::audit::Collected;
use super::check::Check;
use super::corruption_error;
use super::finding::{self, Finding};
use super::flags;
use super::gate::{Gate, GateReport};
use super::paired;
use super::sheet::{Sheet, Wanted};
use super::slices::Slicer;
use super::tally::{ConfusionMatrix, Part, Tally};
use super::verdict::{Audited, Tags, Verdict};
use crate::metric::{Figure, Level, Paired, wilson};
use crate::probe::audit::Curve;

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
    /// `tag=value` or `class=NAME` for a part of the suite; empty for all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub slice: String,
}

impl Metric {
    /// A figure under its name, of a slice or (empty) of all.
    pub fn new(name: &str, figure: Figure, slice: &str) -> Self {
        let Figure { value, low, high, n, count } = figure;
        Self { name: name.to_owned(), value, low, high, n, count, slice: slice.to_owned() }
    }
}

/// What an entry of the report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A check by its position, and a point of it.
    Point(usize, usize),
    /// All points of a check.
    Curve(usize),
    /// All checks.
    Job,
}

/// The metrics of one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The SPEC as given; `all` for the job.
    pub check: String,
    pub name: &'static str,
    pub params: Map<String, Value>,
    /// Overall metrics before sliced ones.
    pub metrics: Vec<Metric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
    /// Of audits that follow the answer over the values of features.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    #[serde(skip)]
    pub place: Place,
}

impl CheckReport {
    /// An entry of a job's checks.
    pub fn new(checks: &[Check], place: Place, metrics: Vec<Metric>) -> Self {
        let (check, name, params) = match place {
            Place::Point(c, p) => (checks[c].spec.clone(), checks[c].manual.name, checks[c].params(p).clone()),
            Place::Curve(c) => (checks[c].spec.clone(), checks[c].manual.name, checks[c].all_params()),
            Place::Job => ("all".to_owned(), "all", Map::new()),
        };
        Self { check, name, params, metrics, confusion: None, curves: Vec::new(), place }
    }
}

/// What a job says in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// In the order of the checks: the points of a check, then its curve; last the job.
    pub checks: Vec<CheckReport>,
    pub findings: Vec<Finding>,
    pub gates: Vec<GateReport>,
    /// `pass`, `fail`, or `incomplete` while verdicts are missing or failed.
    pub verdict: &'static str,
    #[serde(skip)]
    pub counts: BTreeMap<&'static str, u64>,
}

/// What a report is about.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub checks: &'a [Check],
    pub gates: &'a [Gate],
    /// Number of the model's classes, and their names if it has any.
    pub outputs: usize,
    pub classes: &'a [String],
    pub slices: &'a Slicer,
    /// Cases that the job judges.
    pub cases: u64,
}

impl Scope<'_> {
    /// What the fold, or that of a baseline, keeps of single cases: points of curves, of attacks, of corruptions with the
    /// clean ones, and of paired gates.
    pub fn wanted(&self) -> Wanted {
        let corrupted = self.checks.iter().any(corruption_error::applies);
        let mut wanted = Wanted::new();
        for check in self.checks {
            let clean = corrupted && check.manual.name == "clean";
            let compared = check.manual.family == "attack" || corruption_error::applies(check);
            if clean || check.len() > 1 || compared {
                wanted.extend((0..check.len()).map(|p| (check.canonical(p).to_owned(), BTreeSet::new())));
            }
        }
        for gate in self.gates.iter().filter(|gate| gate.is_paired()) {
            for point in gate.points() {
                let measures = wanted.entry(point.clone()).or_default();
                if let Some(Paired::Flag(name) | Paired::Measure(name)) = gate.metric().paired {
                    measures.insert(name);
                }
            }
        }
        wanted
    }
}

/// Takes verdicts in any order. Memory grows with points and slices, and by a byte a case where [`Scope::wanted`]
/// asks for it.
pub struct Fold<'a> {
    scope: Scope<'a>,
    points: Vec<Vec<(Tally, Vec<Part>)>>,
    sheet: Sheet,
    /// By check and point.
    audits: BTreeMap<(u32, u32), Collected>,
    counts: BTreeMap<&'static str, u64>,
}

impl<'a> Fold<'a> {
    /// An empty fold.
    pub fn new(scope: Scope<'a>) -> Self {
        let point = (Tally::default(), vec![Part::default(); scope.slices.names().len()]);
        Self {
            points: scope.checks.iter().map(|c| vec![point.clone(); c.len()]).collect(),
            sheet: Sheet::of(scope.wanted()),
            audits: BTreeMap::new(),
            counts: BTreeMap::new(),
            scope,
        }
    }

    /// Takes in verdicts with the tags of their cases.
    pub fn add(&mut self, verdicts: &[Verdict], tags: &BTreeMap<u64, Tags>) {
        for verdict in verdicts {
            self.add_one(verdict, tags.get(&verdict.index));
        }
    }

    /// Takes in what audits found in the cases of a shard.
    pub fn add_audits(&mut self, audits: &[Audited]) {
        for audited in audits {
            self.audits.entry((audited.check, audited.point)).or_default().add(audited);
        }
    }

    /// One that names no point of the job's checks, or no case, is only counted.
    fn add_one(&mut self, verdict: &Verdict, tags: Option<&Tags>) {
        *self.counts.entry(verdict.outcome.name()).or_default() += 1;
        let (check, point) = (verdict.check as usize, verdict.point as usize);
        let Some((tally, parts)) = self.points.get_mut(check).and_then(|points| points.get_mut(point)) else { return };
        tally.add(verdict);
        for slice in tags.map_or(Vec::new(), |tags| self.scope.slices.of(tags)) {
            parts[slice].add(verdict);
        }
        if let Some(case) = usize::try_from(verdict.index).ok().filter(|_| verdict.index < self.scope.cases) {
            self.sheet.add(self.scope.checks[check].canonical(point), case, verdict);
        }
    }

    /// The report over what was taken in. `baseline` has what [`Scope::wanted`] names of another job on the same
    /// cases.
    pub fn report(&self, baseline: Option<&Sheet>) -> Report {
        let scope = &self.scope;
        let mut entries = Vec::new();
        for (i, check) in scope.checks.iter().enumerate() {
            entries.extend((0..check.len()).map(|p| self.point(i, p)));
            if check.len() > 1 {
                entries.push(CheckReport::new(scope.checks, Place::Curve(i), self.mean_accuracy(check)));
            }
        }
        corruption_error::add(&mut entries, scope, &self.sheet, baseline);
        let findings = self.findings();
        let decide = |gate: &Gate| {
            let decided = match baseline.filter(|_| gate.is_paired()) {
                Some(baseline) => gate.decide_paired(baseline, &self.sheet),
                None => gate.decide(&entries),
            };
            flags::doubt(gate, decided, scope.checks, &findings)
        };
        let gates: Vec<GateReport> = scope.gates.iter().map(decide).collect();
        let seen: u64 = self.counts.values().sum();
        let expected = scope.cases * scope.checks.iter().map(|c| c.len() as u64).sum::<u64>();
        let verdict = match () {
            () if seen < expected || self.counts.contains_key("failed") => "incomplete",
            () if gates.iter().all(|g| g.passed) => "pass",
            () => "fail",
        };
        Report { checks: entries, findings, gates, verdict, counts: self.counts.clone() }
    }

    fn findings(&self) -> Vec<Finding> {
        let checks = || self.scope.checks.iter().zip(&self.points);
        let judged = checks().filter(|(check, _)| !matches!(check.manual.family, "explainer" | "audit"));
        let weak = judged.flat_map(|(check, points)| finding::weak_slices(check, points, self.scope.slices));
        let mut attacked = Vec::new();
        for (check, points) in checks().filter(|(check, _)| check.manual.family == "attack") {
            for (point, (tally, _)) in points.iter().enumerate() {
                attacked.push(flags::Attacked { check, point, robust: &tally.robust });
            }
        }
        weak.chain(flags::findings(&attacked, &self.sheet)).collect()
    }

    fn point(&self, check: usize, point: usize) -> CheckReport {
        let (tally, parts) = &self.points[check][point];
        let wanted = self.scope.gates.iter().map(Gate::slice).collect();
        let place = Place::Point(check, point);
        if self.scope.checks[check].manual.family == "explainer" {
            return CheckReport::new(self.scope.checks, place, tally.explanations());
        }
        if let Some(auditor) = self.scope.checks[check].auditor(point) {
            let key = (u32::try_from(check).unwrap_or(u32::MAX), u32::try_from(point).unwrap_or(u32::MAX));
            let (metrics, curves) = self.audits.get(&key).map(|found| found.report(auditor)).unwrap_or_default();
            return CheckReport { curves, ..CheckReport::new(self.scope.checks, place, metrics) };
        }
        let mut metrics = tally.metrics(self.scope.classes, &wanted);
        let slices = self.scope.slices.names();
        metrics.extend(parts.iter().zip(&slices).flat_map(|(part, slice)| part.metrics(tally.accuracy(), slice)));
        let confusion = tally.matrix(self.scope.classes);
        CheckReport { confusion, ..CheckReport::new(self.scope.checks, place, metrics) }
    }

    /// The mean over points of the accuracy. Its interval is Wilson's on the number of cases, as if all points of a
    /// case rose and fell together, which is the widest that can be: points of one case are not independent.
    #[allow(clippy::cast_precision_loss)]
    fn mean_accuracy(&self, check: &Check) -> Vec<Metric> {
        let columns: Vec<_> = (0..check.len()).filter_map(|p| self.sheet.column(check.canonical(p))).collect();
        let (mut sum, mut n) = (0.0, 0);
        for case in 0..columns.iter().map(|c| c.len()).max().unwrap_or(0) {
            if let Some(mean) = paired::mean(Paired::Held, &columns, case) {
                sum += mean;
                n += 1;
            }
        }
        let value = sum / n as f64;
        let (low, high) = wilson(value, n as f64);
        let figure = (n > 0).then_some(Figure { value, low, high, n, count: None });
        figure.map(|figure| Metric::new("mean_accuracy", figure, "")).into_iter().collect()
    }
}

/// The entry that holds a metric of this level.
pub(super) fn place(level: Level, check: usize, points: usize) -> Place {
    match level {
        Level::Job => Place::Job,
        Level::Curve => Place::Curve(check),
        Level::Corruption if points > 1 => Place::Curve(check),
        Level::Corruption | Level::Point | Level::Class | Level::Feature => Place::Point(check, 0),
    }
}
