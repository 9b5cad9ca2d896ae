//! Reports in the contract's words.

use super::convert::map_to_struct;
use super::pb;
use crate::probe::audit::Curve;
use crate::suite::{Cell, CheckReport, ConfusionMatrix, Finding, GateOutcome, GateReport, Metric, Report};

/// A whole report.
pub(super) fn report_to_pb(report: Report) -> pb::Report {
    pb::Report {
        checks: report.checks.into_iter().map(check_to_pb).collect(),
        findings: report.findings.into_iter().map(finding_to_pb).collect(),
        gates: report.gates.into_iter().map(gate_to_pb).collect(),
        verdict: report.verdict.to_owned(),
        counts: report.counts.into_iter().map(|(outcome, n)| (outcome.to_owned(), n)).collect(),
    }
}

/// The entry of one place.
pub fn check_to_pb(entry: CheckReport) -> pb::CheckReport {
    let CheckReport { check, name, params, metrics, confusion, curves, place: _ } = entry;
    pb::CheckReport {
        check,
        name: name.to_owned(),
        params: Some(map_to_struct(&params)),
        metrics: metrics.into_iter().map(metric_to_pb).collect(),
        confusion: confusion.map(confusion_to_pb),
        curves: curves.into_iter().map(curve_to_pb).collect(),
    }
}

/// What became of a gate.
pub fn gate_to_pb(report: GateReport) -> pb::GateReport {
    let GateReport { gate, outcome, passed, metric, message } = report;
    let outcome = match outcome {
        GateOutcome::Pass => pb::GateOutcome::Pass,
        GateOutcome::Fail => pb::GateOutcome::Fail,
        GateOutcome::Inconclusive => pb::GateOutcome::Inconclusive,
    };
    pb::GateReport { gate, outcome: outcome.into(), passed, metric: metric.map(metric_to_pb), message }
}

fn metric_to_pb(metric: Metric) -> pb::Metric {
    let Metric { name, value, low, high, n, count, slice } = metric;
    pb::Metric { name, value, low, high, n, count, slice }
}

fn curve_to_pb(curve: Curve) -> pb::FeatureCurve {
    let Curve { name, axes, mean, low, high } = curve;
    let axes = axes.into_iter().map(|values| pb::feature_curve::Axis { values }).collect();
    pb::FeatureCurve { name, axes, mean, low, high }
}

fn confusion_to_pb(matrix: ConfusionMatrix) -> pb::ConfusionMatrix {
    let ConfusionMatrix { cells, omitted } = matrix;
    let cell = |Cell { label, predicted, count }| pb::confusion_matrix::Cell { label, predicted, count };
    pb::ConfusionMatrix { cells: cells.into_iter().map(cell).collect(), omitted }
}

fn finding_to_pb(finding: Finding) -> pb::Finding {
    let Finding { kind, check, message, details } = finding;
    pb::Finding { kind: kind.to_owned(), check, message, details: Some(map_to_struct(&details)) }
}
