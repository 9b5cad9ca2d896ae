//! Gates: conditions on metrics, decided by confidence intervals.

use serde::Serialize;

use super::check::Check;
use super::expression::{self, Bound};
use super::paired;
use super::report::{CheckReport, Metric, Place};
use super::sheet::Sheet;
use crate::error::Result;
use crate::metric::{Better, Known};

/// `check.metric >= number` or `<=`, or against a baseline, with the policy for an inconclusive outcome.
#[derive(Clone, Debug)]
pub struct Gate {
    /// As given.
    pub text: String,
    pub(super) place: Place,
    /// SPECs of the points that it is about.
    pub(super) points: Vec<String>,
    pub(super) metric: &'static Known,
    /// `tag=value`, or empty.
    pub(super) slice: String,
    pub(super) at_least: bool,
    pub(super) bound: Bound,
    pub(super) or_inconclusive: bool,
}

/// By the metric's interval: passed if all of it is on the right side, failed if none of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateOutcome {
    Pass,
    Fail,
    Inconclusive,
}

/// What became of a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateReport {
    pub gate: String,
    pub outcome: GateOutcome,
    /// Whether it lets a release through, by its own policy.
    pub passed: bool,
    /// Of a paired gate the difference from the baseline, `METRIC_difference`.
    pub metric: Option<Metric>,
    /// A sentence with the figures.
    pub message: String,
}

impl Gate {
    /// Reads `text` against the checks of its job. Errors name what was found and the nearest known name.
    pub fn parse(text: &str, checks: &[Check]) -> Result<Self> {
        expression::parse(text, checks)
    }

    /// Whether it compares with a baseline.
    pub fn is_paired(&self) -> bool {
        matches!(self.bound, Bound::Baseline(_))
    }

    /// Whether a check that does too little helps it to pass: it asks for much of what is good, or little of what is bad.
    pub(super) fn flattered(&self) -> bool {
        self.at_least == (self.metric.better == Better::Higher)
    }

    /// SPECs of the points that it is about; none for the whole job.
    pub fn points(&self) -> &[String] {
        &self.points
    }

    /// What it is about.
    pub fn metric(&self) -> &'static Known {
        self.metric
    }

    /// The part of the suite that it is about, `tag=value`; empty for all.
    pub fn slice(&self) -> &str {
        &self.slice
    }

    /// Decides the gate on a report's entries. A gate against a baseline that is not there is inconclusive.
    pub fn decide(&self, entries: &[CheckReport]) -> GateReport {
        let entry = entries.iter().find(|e| e.place == self.place);
        let found = entry.and_then(|e| e.metrics.iter().find(|m| m.name == self.metric.name && m.slice == self.slice));
        match (&self.bound, found) {
            (Bound::Number(threshold), Some(metric)) if metric.n > 0 => {
                let sign = if self.at_least { ">=" } else { "<=" };
                self.by_interval(metric.clone(), *threshold, &format!("{sign} {threshold} was asked"))
            }
            (Bound::Number(_), _)
                if matches!(self.metric.level, crate::metric::Level::Corruption | crate::metric::Level::Job) =>
            {
                self.open("there is no reference: neither AlexNet's figures apply nor is there a baseline")
            }
            (Bound::Number(_), _) => self.open("no case has been judged for this metric"),
            (Bound::Baseline(_), _) => self.open("there is no baseline to compare with"),
        }
    }

    /// Decides a gate against a baseline, on the difference of cases that both jobs have judged.
    pub fn decide_paired(&self, baseline: &Sheet, own: &Sheet) -> GateReport {
        let (Bound::Baseline(offset), Some(by)) = (&self.bound, self.metric.paired) else { return self.decide(&[]) };
        let columns = |sheet| self.points.iter().map(|p| Sheet::column(sheet, p)).collect::<Option<Vec<_>>>();
        let change = columns(baseline).zip(columns(own)).and_then(|(a, b)| paired::change(by, &a, &b));
        match change {
            Some(figure) => {
                let metric = Metric::new(&format!("{}_difference", self.metric.name), figure, "");
                let sign = if self.at_least { ">=" } else { "<=" };
                self.by_interval(metric, *offset, &format!("a difference {sign} {offset} was asked"))
            }
            None => self.open("no case has been judged in both this job and the baseline"),
        }
    }

    fn by_interval(&self, metric: Metric, threshold: f64, asked: &str) -> GateReport {
        let Metric { value, low, high, n, .. } = metric;
        let (clears, misses) =
            if self.at_least { (low >= threshold, high < threshold) } else { (high <= threshold, low > threshold) };
        let outcome = match (clears, misses) {
            (true, _) => GateOutcome::Pass,
            (_, true) => GateOutcome::Fail,
            _ => GateOutcome::Inconclusive,
        };
        self.outcome(outcome, Some(metric), format!("{value:.4} [{low:.4}, {high:.4}], n = {n}; {asked}"))
    }

    fn open(&self, why: &str) -> GateReport {
        self.outcome(GateOutcome::Inconclusive, None, why.to_owned())
    }

    fn outcome(&self, outcome: GateOutcome, metric: Option<Metric>, message: String) -> GateReport {
        let passed = outcome == GateOutcome::Pass || (self.or_inconclusive && outcome == GateOutcome::Inconclusive);
        GateReport { gate: self.text.clone(), outcome, passed, metric, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Figure, rate};
    use crate::suite::{Outcome, Verdict};

    fn checks() -> Vec<Check> {
        ["clean", "gaussian_noise"].map(|s| Check::parse(s).unwrap()).into()
    }

    fn outcome(gate: &str, name: &str, figure: Figure, slice: &str) -> (GateOutcome, bool) {
        let metrics = vec![Metric::new(name, figure, slice)];
        let entry = CheckReport::new(&checks(), Place::Point(0, 0), metrics);
        let report = Gate::parse(gate, &checks()).unwrap().decide(&[entry]);
        (report.outcome, report.passed)
    }

    #[test]
    fn the_interval_decides() {
        let accuracy = |gate: &str, count, n| outcome(gate, "accuracy", rate(count, n), "");
        assert_eq!(accuracy("clean.accuracy >= 0.8", 900, 1000), (GateOutcome::Pass, true));
        assert_eq!(accuracy("clean.accuracy >= 0.95", 900, 1000), (GateOutcome::Fail, false));
        assert_eq!(accuracy("clean.accuracy >= 0.9", 900, 1000), (GateOutcome::Inconclusive, false));
        assert_eq!(accuracy("clean.accuracy >= 0.9 or inconclusive", 900, 1000), (GateOutcome::Inconclusive, true));
        assert_eq!(accuracy("clean.accuracy <= 0.95", 900, 1000), (GateOutcome::Pass, true));
        assert_eq!(accuracy("clean.accuracy >= 0.5", 0, 0), (GateOutcome::Inconclusive, false));
    }

    #[test]
    fn a_slice_is_its_own_figure() {
        let gate = "clean.accuracy[group=a.b] >= 0.8";
        assert_eq!(outcome(gate, "accuracy", rate(900, 1000), "group=a.b").0, GateOutcome::Pass);
        assert_eq!(outcome(gate, "accuracy", rate(900, 1000), "").0, GateOutcome::Inconclusive);
        assert_eq!(outcome("clean.recall[class=7] >= 0.8", "recall", rate(900, 1000), "class=7").0, GateOutcome::Pass);
    }

    #[test]
    fn a_paired_gate_is_decided_on_the_difference() {
        let sheet = |broken: std::ops::Range<usize>| {
            let mut sheet = Sheet::default();
            for case in 0..1000 {
                let mut verdict = Verdict::blank("", 0, 0, 0);
                verdict.outcome = if broken.contains(&case) { Outcome::Broken } else { Outcome::Held };
                sheet.add("clean", case, &verdict);
            }
            sheet
        };
        let decide = |gate: &str, a, b| {
            let report = Gate::parse(gate, &checks()).unwrap().decide_paired(&sheet(a), &sheet(b));
            (report.outcome, report.metric.unwrap().value)
        };
        // Half of the cases are wrong in both, so that an unpaired interval would be 0.06 wide.
        assert_eq!(decide("clean.accuracy >= baseline - 0.01", 0..500, 0..500), (GateOutcome::Pass, 0.0));
        assert_eq!(decide("clean.accuracy >= baseline - 0.01", 0..500, 0..550), (GateOutcome::Fail, -0.05));
        assert_eq!(decide("clean.accuracy >= baseline + 0.01", 0..500, 0..450), (GateOutcome::Pass, 0.05));
        assert_eq!(decide("clean.accuracy >= baseline", 0..500, 0..500), (GateOutcome::Inconclusive, 0.0));
        let alone = Gate::parse("clean.accuracy >= baseline", &checks()).unwrap().decide(&[]);
        assert_eq!((alone.outcome, alone.passed), (GateOutcome::Inconclusive, false));
    }
}
