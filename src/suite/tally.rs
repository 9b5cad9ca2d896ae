//! What one point of a check adds up to.

use std::collections::BTreeSet;

use serde::Serialize;

use super::explain::Explained;
use super::report::Metric;
use super::robust::Robust;
use super::verdict::Verdict;
use crate::metric::{Average, Calibration, Confusion, Figure, Moments, Regression, rate};

/// Classes up to which every class has metrics of its own; with more, only those that a gate names.
const CLASSES_MAX: usize = 100;

/// Most cells of a confusion matrix that are reported.
const CELLS_MAX: usize = 1024;

/// Held of judged cases, or errors of values: what a slice is measured by.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) held: u64,
    pub(super) judged: u64,
    pub(super) values: Regression,
}

impl Part {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        if let Some(held) = verdict.held() {
            self.held += u64::from(held);
            self.judged += 1;
        }
        if let (Some(expected), Some(predicted), Some(_)) =
            (verdict.label, verdict.predicted, verdict.measures.get("absolute_error"))
        {
            self.values.add(expected, predicted);
        }
    }

    /// `r2` and `mae`, or the share that held under the name `accuracy`.
    pub(super) fn metrics(&self, accuracy: &str, slice: &str) -> Vec<Metric> {
        let held = (self.judged > 0).then(|| rate(self.held, self.judged));
        let figures = [(accuracy, held), ("r2", self.values.r2()), ("mae", self.values.mae())];
        named(figures, slice)
    }
}

/// Figures that are there, as metrics of a slice.
fn named<'a>(figures: impl IntoIterator<Item = (&'a str, Option<Figure>)>, slice: &str) -> Vec<Metric> {
    figures.into_iter().filter_map(|(name, figure)| Some(Metric::new(name, figure?, slice))).collect()
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) all: Part,
    /// Of an attack; a case that was attacked counts here alone, and in `all`.
    pub(super) robust: Robust,
    /// Of an explainer, which says nothing of right and wrong.
    pub(super) explained: Explained,
    top5: u64,
    ranked: u64,
    confusion: Confusion,
    calibration: Calibration,
    nll: Moments,
    brier: Moments,
}

/// Cells of a confusion matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    /// The largest cells, in the order of labels and predictions; cells without a case are left out.
    pub cells: Vec<Cell>,
    /// Cases in cells that are not listed.
    pub omitted: u64,
}

/// Cases of a label that were predicted as a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    pub label: String,
    pub predicted: String,
    pub count: u64,
}

impl Tally {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        self.all.add(verdict);
        self.robust.add(verdict);
        self.explained.add(verdict);
        let Some(held) = verdict.held() else { return };
        let measure = |name: &str| verdict.measures.get(name).copied();
        if let Some(top5) = measure("top5") {
            self.top5 += u64::from(top5 > 0.5);
            self.ranked += 1;
        }
        if let Some(confidence) = measure("confidence") {
            self.calibration.add(confidence, held);
        }
        measure("nll").into_iter().for_each(|nll| self.nll.add(nll));
        measure("brier").into_iter().for_each(|brier| self.brier.add(brier));
        // Of several acceptable labels the effective one is the prediction.
        if let (Some(label), Some(predicted)) = (verdict.label.and_then(class), verdict.predicted.and_then(class)) {
            self.confusion.add(if held { predicted } else { label }, predicted);
        }
    }

    /// What the share that held is called.
    pub(super) fn accuracy(&self) -> &'static str {
        if self.robust.judged() > 0 { "robust_accuracy" } else { "accuracy" }
    }

    /// Overall metrics, then those of classes. `wanted` are slices that a gate names.
    pub(super) fn metrics(&self, classes: &[String], wanted: &BTreeSet<&str>) -> Vec<Metric> {
        if self.robust.judged() > 0 {
            return named(self.robust.figures(), "");
        }
        let (matrix, some) = (&self.confusion, |m: &Moments| (m.n() > 0).then(|| m.figure()));
        let right = matrix.cells().filter(|((l, p), _)| l == p).map(|(_, n)| n).sum();
        let micro = (matrix.n() > 0).then(|| rate(right, matrix.n()));
        let Part { held, judged, values } = &self.all;
        let overall = [
            ("accuracy", (*judged > 0).then(|| rate(*held, *judged))),
            ("top5_accuracy", (self.ranked > 0).then(|| rate(self.top5, self.ranked))),
            ("precision_micro", micro),
            ("precision_macro", matrix.precision(Average::Macro)),
            ("precision_weighted", matrix.precision(Average::Weighted)),
            ("recall_micro", micro),
            ("recall_macro", matrix.recall(Average::Macro)),
            ("recall_weighted", matrix.recall(Average::Weighted)),
            ("f1_micro", micro),
            ("f1_macro", matrix.f1(Average::Macro)),
            ("f1_weighted", matrix.f1(Average::Weighted)),
            ("ece", self.calibration.ece()),
            ("brier", some(&self.brier)),
            ("nll", some(&self.nll)),
            ("r2", values.r2()),
            ("mae", values.mae()),
            ("rmse", values.rmse()),
        ];
        let mut metrics = named(overall, "");
        let margins = matrix.margins();
        let many = margins.len() > CLASSES_MAX;
        for (class, margin) in &margins {
            let slice = format!("class={}", name(classes, *class));
            if !many || wanted.contains(slice.as_str()) {
                let own = [("precision", margin.precision()), ("recall", margin.recall()), ("f1", margin.f1())];
                metrics.extend(named(own, &slice));
            }
        }
        metrics
    }

    /// Metrics of an explainer.
    pub(super) fn explanations(&self) -> Vec<Metric> {
        named(self.explained.figures(), "")
    }

    /// The matrix; `None` without a judged class.
    pub(super) fn matrix(&self, classes: &[String]) -> Option<ConfusionMatrix> {
        let mut cells: Vec<((u32, u32), u64)> = self.confusion.cells().collect();
        cells.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let omitted = cells.iter().skip(CELLS_MAX).map(|(_, n)| n).sum();
        cells.truncate(CELLS_MAX);
        cells.sort();
        let cell = |((label, predicted), count)| Cell {
            label: name(classes, label),
            predicted: name(classes, predicted),
            count,
        };
        (!cells.is_empty()).then(|| ConfusionMatrix { cells: cells.into_iter().map(cell).collect(), omitted })
    }
}

/// The class that a verdict's number stands for.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn class(number: f64) -> Option<u32> {
    (number >= 0.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
}

/// A class's name, or its index.
fn name(classes: &[String], class: u32) -> String {
    classes.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
}
