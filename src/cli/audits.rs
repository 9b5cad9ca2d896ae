//! Pictures of what audits found: bars of features, curves, swarms.

use std::collections::BTreeMap;

use super::plot::{Bars, Curves, Heat, Swarm, bars, beeswarm, curves, heat};
use crate::api::pb;

/// Features that have a bar or a line of dots of their own.
const MOST: usize = 20;

/// A picture of a whole check.
pub(super) struct Plot {
    pub(super) check: u32,
    /// What a file of it is called, in lower case.
    pub(super) name: String,
    pub(super) svg: String,
}

/// The figures of cases, and their own values; by check.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) figures: BTreeMap<u32, Vec<Vec<f64>>>,
    pub(super) x: Vec<Vec<f64>>,
}

/// What a metric of features is called under its bars.
fn label(metric: &str) -> &str {
    match metric {
        "importance" => "what the metric loses",
        "mean_attribution" => "mean size of the attributions",
        "h_statistic" => "H",
        other => other,
    }
}

/// All pictures of a report's audits, in the order of the checks. Of a check with several points the first is shown.
pub(super) fn plots(job: &pb::Job, report: &pb::Report, found: &Figures) -> Vec<Plot> {
    let checks = job.spec.as_ref().map_or(&[][..], |spec| &spec.checks);
    let mut plots = Vec::new();
    for (index, check) in (0..).zip(checks) {
        let Some(entry) = report.checks.iter().find(|entry| entry.check == check.spec) else { continue };
        let mut add = |name: String, svg: String| plots.push(Plot { check: index, name, svg });
        if let (true, Some(svg)) = (entry.curves.is_empty(), of_metrics(entry)) {
            add("features".to_owned(), svg);
        }
        let none = Vec::new();
        let figures = found.figures.get(&index).unwrap_or(&none);
        if entry.name == "global_shap" && !figures.is_empty() {
            add("swarm".to_owned(), swarm(entry, figures, &found.x));
        }
        let mut first = 0;
        for (number, curve) in entry.curves.iter().enumerate() {
            let width = curve.mean.len();
            // Of accumulated effects the figures of a case are no curve.
            let own = |row: &Vec<f64>| row.get(first..first + width).map(<[f64]>::to_vec);
            let individual =
                if entry.name == "partial_dependence" { figures.iter().filter_map(own).collect() } else { Vec::new() };
            first += width;
            add(format!("curve{number:02}"), of_curve(entry, curve, &individual));
        }
    }
    plots
}

/// Names and metrics of features.
fn parts(entry: &pb::CheckReport) -> (Vec<String>, Vec<&pb::Metric>) {
    let part = |metric: &pb::Metric| metric.slice.strip_prefix("feature=").map(str::to_owned);
    entry.metrics.iter().filter_map(|metric| Some((part(metric)?, metric))).unzip()
}

fn of_metrics(entry: &pb::CheckReport) -> Option<String> {
    let (names, metrics) = parts(entry);
    let values: Vec<f64> = metrics.iter().map(|metric| metric.value).collect();
    let intervals: Vec<(f64, f64)> = metrics.iter().map(|metric| (metric.low, metric.high)).collect();
    let label = label(&metrics.first()?.name);
    Some(bars(&Bars {
        title: &entry.name,
        label,
        names: &names,
        own: &[],
        values: &values,
        intervals: &intervals,
        most: MOST,
    }))
}

fn swarm(entry: &pb::CheckReport, attributions: &[Vec<f64>], values: &[Vec<f64>]) -> String {
    let (names, _) = parts(entry);
    let label = "adds to the score";
    beeswarm(&Swarm { title: &entry.name, label, names: &names, attributions, values, most: MOST })
}

fn of_curve(entry: &pb::CheckReport, curve: &pb::FeatureCurve, individual: &[Vec<f64>]) -> String {
    let title = entry.name.replace('_', " ");
    match curve.axes.as_slice() {
        [x, y] => {
            let (down, across) = curve.name.split_once('*').unwrap_or((&curve.name, ""));
            let rows: Vec<Vec<f64>> = (0..y.values.len())
                .map(|j| (0..x.values.len()).filter_map(|i| curve.mean.get(i * y.values.len() + j).copied()).collect())
                .collect();
            heat(&Heat { title: &title, labels: [down, across, "mean answer"], x: &x.values, y: &y.values, z: &rows })
        }
        axes => {
            let x = axes.first().map_or(&[][..], |axis| &axis.values);
            let band = Some((curve.low.as_slice(), curve.high.as_slice()));
            let labels = [curve.name.as_str(), "mean answer"];
            curves(&Curves { title: &title, labels, x, mean: &curve.mean, band, individual, rug: &[] })
        }
    }
}
