//! Results on stdout.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::args::Output;
use super::run::Cases;
use super::{junit, markdown};
use crate::api::{pb, struct_to_map};
use crate::error::{Error, Result};
use crate::suite::{self, Check};

/// Cases whose verdicts are kept for the page.
const SHOWN: u64 = 8;

/// Verdicts as lines, in the order of cases, then checks, then points, whatever order shards come in.
pub(super) struct Lines {
    print: bool,
    /// Verdicts that each case gets; 0 if that is not known.
    each: usize,
    next: u64,
    waiting: BTreeMap<u64, Vec<pb::Verdict>>,
    /// Of cases that wait.
    tags: BTreeMap<u64, Value>,
    pub(super) cases: Cases,
    /// Verdicts of the first cases.
    pub(super) shown: Vec<pb::Verdict>,
}

impl Lines {
    pub(super) fn new(job: &pb::Job, print: bool) -> Self {
        let checks = job.spec.as_ref().map_or(&[][..], |spec| &spec.checks);
        // A service with probes that this program does not know: its lines come at the end.
        let points = checks.iter().map(|c| Check::parse(&c.spec).map(|c| c.len())).sum::<Result<usize>>();
        let each = points.unwrap_or(0);
        Self {
            print,
            each,
            next: 0,
            waiting: BTreeMap::new(),
            tags: BTreeMap::new(),
            cases: Cases::new(),
            shown: Vec::new(),
        }
    }

    /// Takes in a shard's verdicts; prints the cases that are complete and next in order.
    pub(super) fn add(&mut self, batch: pb::VerdictBatch) -> Result<()> {
        if self.print {
            self.tags.extend(batch.tags.into_iter().map(|(case, tags)| (case, tags_to_json(tags))));
        }
        for verdict in batch.verdicts {
            self.cases.entry(verdict.case_index).or_insert_with(|| verdict.case_id.clone());
            if verdict.case_index < SHOWN {
                self.shown.push(verdict.clone());
            }
            if self.print {
                self.waiting.entry(verdict.case_index).or_default().push(verdict);
            }
        }
        let begun = self.next;
        while self.each > 0 && self.waiting.get(&self.next).is_some_and(|v| v.len() == self.each) {
            self.next += 1;
        }
        self.flush(begun..self.next)
    }

    /// Prints what is left.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.shown.sort_by_key(|v| (v.case_index, v.check_index));
        let left: Vec<u64> = self.waiting.keys().copied().collect();
        self.flush(left)
    }

    fn flush(&mut self, cases: impl IntoIterator<Item = u64>) -> Result<()> {
        let lines = cases.into_iter().flat_map(|case| {
            let mut verdicts = self.waiting.remove(&case).unwrap_or_default();
            // Stable, so that the points of a check stay in their order.
            verdicts.sort_by_key(|v| v.check_index);
            let tags = self.tags.remove(&case);
            verdicts.into_iter().map(move |verdict| line(verdict, tags.as_ref()))
        });
        print_lines(lines)
    }
}

fn tags_to_json(tags: pb::Tags) -> Value {
    let value = |tag: pb::Tag| match tag.tag {
        Some(pb::tag::Tag::Text(text)) => json!(text),
        Some(pb::tag::Tag::Number(n)) => number(n),
        None => Value::Null,
    };
    Value::Object(tags.tags.into_iter().map(|(name, tag)| (name, value(tag))).collect())
}

/// Verdicts as lines, in the order given.
pub(super) fn verdicts(verdicts: Vec<pb::Verdict>) -> Result<()> {
    print_lines(verdicts.into_iter().map(|verdict| line(verdict, None)))
}

fn print_lines(lines: impl Iterator<Item = Value>) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut print = |line| {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")
    };
    let written = { lines }.try_for_each(&mut print).and_then(|()| out.flush());
    written.map_err(|e| Error::internal("writing to stdout", e))
}

/// What a job would take, for `--dry-run`.
pub(super) fn estimate(job: &pb::Job, cases: u64) {
    let progress = job.progress.unwrap_or_default();
    let (verdicts, shards) = (progress.verdicts_total, progress.shards_total);
    println!("{cases} cases, {verdicts} verdicts in {shards} shards");
    if let Some(pb::Estimate { queries, seconds, memory_bytes }) = job.estimate {
        println!("{queries} rows through the model, about {seconds:.1} s; {} MiB a slot", memory_bytes >> 20);
    }
    println!("nothing was started");
}

/// A number as JSON, without a fraction where it has none.
fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

/// A verdict, with its case's tags if there are any.
fn line(verdict: pb::Verdict, tags: Option<&Value>) -> Value {
    let outcome = match verdict.outcome() {
        pb::Outcome::Held => "held",
        pb::Outcome::Broken => "broken",
        pb::Outcome::Skipped => "skipped",
        pb::Outcome::Failed => "failed",
        pb::Outcome::Unspecified => "unspecified",
    };
    let mut line = json!({
        "case": verdict.case_id,
        "check": verdict.check,
        "name": verdict.probe,
        "params": verdict.params.as_ref().map(struct_to_map).unwrap_or_default(),
        "outcome": outcome,
        "label": verdict.label.map(number),
        "predicted_clean": verdict.predicted_clean.map(number),
        "predicted": verdict.predicted.map(number),
        "measures": verdict.measures,
        "seed": verdict.seed,
    });
    if !verdict.reason.is_empty() {
        line["reason"] = json!(verdict.reason);
    }
    if let Some(tags) = tags {
        line["tags"] = tags.clone();
    }
    line
}

fn metric(m: &pb::Metric) -> Value {
    let mut value = json!({"name": m.name, "value": m.value, "low": m.low, "high": m.high, "n": m.n, "count": m.count});
    if !m.slice.is_empty() {
        value["slice"] = json!(m.slice);
    }
    value
}

/// Prints the report in the form asked for.
pub(super) fn print(report: &pb::Report, form: Output) -> Result<()> {
    let text = match form {
        Output::Table => table(report),
        Output::Json | Output::Jsonl => json(report),
        Output::Junit => junit::report(report),
        Output::Markdown => markdown::report(report),
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end()).map_err(|e| Error::internal("writing to stdout", e))
}

/// The report as one line of JSON.
fn json(report: &pb::Report) -> String {
    let check = |c: &pb::CheckReport| {
        let params = c.params.as_ref().map(struct_to_map).unwrap_or_default();
        let metrics: Vec<Value> = c.metrics.iter().map(metric).collect();
        let mut entry = json!({"check": c.check, "name": c.name, "params": params, "metrics": metrics});
        if let Some(matrix) = &c.confusion {
            let cell =
                |c: &pb::confusion_matrix::Cell| json!({"label": c.label, "predicted": c.predicted, "count": c.count});
            let cells: Vec<Value> = matrix.cells.iter().map(cell).collect();
            entry["confusion"] = json!({"cells": cells, "omitted": matrix.omitted});
        }
        if !c.curves.is_empty() {
            let axes = |c: &pb::FeatureCurve| c.axes.iter().map(|axis| numbers(&axis.values)).collect::<Vec<_>>();
            let curve = |c: &pb::FeatureCurve| json!({"name": c.name, "axes": axes(c), "mean": numbers(&c.mean), "low": numbers(&c.low), "high": numbers(&c.high)});
            entry["curves"] = c.curves.iter().map(curve).collect();
        }
        entry
    };
    let finding = |f: &pb::Finding| {
        let details = f.details.as_ref().map(struct_to_map).unwrap_or_default();
        json!({"kind": f.kind, "check": f.check, "message": f.message, "details": details})
    };
    let gate = |g: &pb::GateReport| json!({"gate": g.gate, "outcome": outcome(g), "passed": g.passed, "metric": g.metric.as_ref().map(metric), "message": g.message});
    let whole = json!({"report": {
        "checks": report.checks.iter().map(check).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "gates": report.gates.iter().map(gate).collect::<Vec<_>>(),
        "verdict": report.verdict,
    }});
    whole.to_string()
}

fn numbers(values: &[f64]) -> Vec<Value> {
    values.iter().map(|value| number(*value)).collect()
}

/// `PASS`, `FAIL` or `INCONCLUSIVE`.
pub(super) fn outcome(gate: &pb::GateReport) -> &'static str {
    match gate.outcome() {
        pb::GateOutcome::Pass => "PASS",
        pb::GateOutcome::Fail => "FAIL",
        _ => "INCONCLUSIVE",
    }
}

/// How a line of the report is called: the SPEC of one point, or the check's curve.
pub(super) fn title(check: &pb::CheckReport) -> String {
    suite::title(&check.name, &check.params.as_ref().map(struct_to_map).unwrap_or_default())
}

/// A title for people: severities in short.
pub(super) fn short(check: &pb::CheckReport) -> String {
    title(check).replace(":severity=", " ").replace("[1,2,3,4,5]", "1-5").replace(",variant", ", variant")
}

/// Metrics that only `--output json` and the page show.
const DETAILS: [&str; 12] = [
    "top5_accuracy",
    "precision_micro",
    "precision_macro",
    "precision_weighted",
    "recall_micro",
    "recall_macro",
    "recall_weighted",
    "f1_micro",
    "f1_weighted",
    "brier",
    "nll",
    "rmse",
];

/// Features of an audit that are shown.
const FEATURES: usize = 10;

/// The few metrics that tell most: of all cases, and more than one of them for `clean` alone; of an audit the largest.
pub(super) fn shown(check: &pb::CheckReport) -> Vec<&pb::Metric> {
    let clean = check.name == "clean";
    let told = |metric: &&pb::Metric| {
        let more = matches!(metric.name.as_str(), "f1_macro" | "ece" | "r2");
        metric.slice.is_empty() && if more { clean } else { !DETAILS.contains(&metric.name.as_str()) }
    };
    let mut features: Vec<&pb::Metric> = check.metrics.iter().filter(|m| m.slice.starts_with("feature=")).collect();
    features.sort_by(|a, b| b.value.total_cmp(&a.value));
    features.truncate(FEATURES);
    check.metrics.iter().filter(told).chain(features).collect()
}

/// A metric's name, and the feature that it is of.
pub(super) fn called(metric: &pb::Metric) -> String {
    metric.slice.strip_prefix("feature=").map_or_else(|| metric.name.clone(), |part| format!("{} {part}", metric.name))
}

/// A metric's interval as text.
pub(super) fn interval(m: &pb::Metric) -> String {
    format!("[{}, {}]", figure(m.low), figure(m.high))
}

/// A figure for people: of larger ones fewer decimals.
pub(super) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 4,
        10.0..100.0 => 2,
        100.0..100_000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The verdict and how many cases came out how.
pub(super) fn summary(report: &pb::Report) -> String {
    let counts = report.counts.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect::<Vec<_>>().join(", ");
    let verdict = if report.gates.is_empty() && report.verdict == "pass" { "done" } else { &report.verdict };
    format!("{verdict}: {counts}")
}

/// The report as a table of at most 80 columns: of each point the few metrics that tell most; then findings and gates.
fn table(report: &pb::Report) -> String {
    let mut table = Table::new();
    let ranked = report.checks.iter().flat_map(|c| &c.metrics).any(|m| m.name == "top5_accuracy");
    let columns = if ranked { 6 } else { 5 };
    let header = ["check", "metric", "value", "95 % interval", "n", "top 5"];
    table.load_style(presets::NOTHING).set_header(&header[..columns]);
    for check in &report.checks {
        let top5 = check.metrics.iter().find(|m| m.name == "top5_accuracy");
        for (i, m) in shown(check).into_iter().enumerate() {
            let count = m.count.map_or_else(|| m.n.to_string(), |count| format!("{count}/{}", m.n));
            // Once a check, beside its accuracy.
            let top5 = top5.filter(|_| i == 0).map_or(String::new(), |m| figure(m.value));
            let name = if i == 0 { short(check) } else { String::new() };
            let row = [name, called(m), figure(m.value), interval(m), count, top5];
            table.add_row(row.into_iter().take(columns));
        }
    }
    // Only names of checks are broken where the whole would be too wide.
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(80);
    for (number, column) in table.column_iter_mut().enumerate().skip(1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
        if number > 1 {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_padding((0, 1));
        }
    }
    let mut text = table.trim_fmt();
    if !report.findings.is_empty() {
        text.push('\n');
    }
    for finding in &report.findings {
        text.push_str(&format!("\n{}", wrapped(&format!("! {}", finding.message), "  ")));
    }
    for gate in &report.gates {
        text.push_str(&format!("\n{:<12} {}\n             {}", outcome(gate), gate.gate, gate.message));
    }
    format!("{text}\n\n{}", summary(report))
}

/// Words in lines of at most 80 characters; lines after the first begin with `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 80 {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        line.push_str(if line.is_empty() || line == indent { "" } else { " " });
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}
