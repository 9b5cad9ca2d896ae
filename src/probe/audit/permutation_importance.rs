//! What the model loses when a feature is mixed up.

use ndarray::ArrayView1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, panels, rows};
use super::scoring::{CLASSES, Metric, around, mean, truth};
use super::{Asked, Audit, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Output, OutputKind, Signature, Spent};
use crate::error::{Error, Result};
use crate::metric::{Figure, Moments};
use crate::probe::Probe;
use crate::probe::explainer::Names;
use crate::tensor::Rng;

/// How much worse the model does when the values of a feature are dealt out anew among the cases.
///
/// A feature is as important as its order: what the model does not use costs nothing. Of features that say the same each
/// alone costs little, so name them together: `age+sex`. The cost is the metric as it is less the metric after (losses
/// and errors count negative), the mean over repeats; its interval is over cases, of metrics over classes over repeats.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct PermutationImportance {
    /// Features by name or number, separated by spaces; those that are mixed up together with `+` between them. If left
    /// out, each alone.
    features: Option<Names>,
    /// What is measured: `accuracy`, `top5_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `nll`, `brier`,
    /// `r2`, `mae` or `rmse`. If left out, `accuracy`, or `r2` of a model that gives a value.
    metric: Option<Metric>,
    /// How often each feature is mixed up.
    #[schemars(range(min = 1, max = 100), extend("aliases" = ["n_repeats"]))]
    repeats: u32,
}

impl Default for PermutationImportance {
    fn default() -> Self {
        Self { features: None, metric: None, repeats: 5 }
    }
}

/// Figures of a case before those of features: the expected value, and what it adds as it is.
const BEFORE: usize = 2;

/// Most features that belong together.
const TOGETHER: usize = 1000;

impl Probe for PermutationImportance {
    const NAME: &'static str = "permutation_importance";
    const PAPER: &'static str = "Breiman, Random Forests, 2001; Fisher et al., All Models are Wrong, but Many are Useful, 2018 (arXiv:1801.01489)";
    const COST: &'static str = "features x repeats + 1";
}

impl PermutationImportance {
    fn repeats(&self) -> usize {
        self.repeats as usize
    }
}

impl Audit for PermutationImportance {
    fn response(&self) -> Option<Response> {
        None
    }

    fn metric(&self) -> &'static str {
        "importance"
    }

    fn panels(&self, input: &Input) -> Result<Vec<Panel>> {
        panels(self.features.as_ref(), '+', TOGETHER, input)
    }

    fn fits(&self, output: &Output) -> Result<()> {
        let values = output.kind == OutputKind::Value;
        let many = output.size > CLASSES as usize;
        match self.metric {
            Some(metric) if metric.is_of_values() != values => {
                let found = if values { "a value" } else { "classes" };
                Err(Error::invalid("params.metric", format!("it is not of a model that gives {found}")))
            }
            Some(metric) if many && metric.is_over_classes() => {
                Err(Error::invalid("params.metric", format!("the model has more than {CLASSES} classes")))
            }
            _ => Ok(()),
        }
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let features = self.panels(input).map_or(input.len(), |panels| panels.len()) as u64;
        Spent { forward: features.saturating_mul(u64::from(self.repeats)).saturating_add(1), gradient: 0 }
    }

    fn figures(&self, input: &Input) -> u64 {
        self.cost(input, 0).forward.saturating_add(1)
    }

    fn width(&self, frame: &Frame) -> Option<usize> {
        frame.panels.len().checked_mul(self.repeats())?.checked_add(BEFORE)
    }

    /// An order of the rows for each repeat, the same for all features, as scikit-learn has it.
    #[allow(clippy::cast_possible_truncation)]
    fn fit(&self, table: &Table, signature: &Signature, draw: &Draw<'_>) -> Result<Frame> {
        rows(table, 2)?;
        let order = |repeat: u32| {
            let order = Rng::new(draw.seed, draw.check, "", u64::from(repeat)).order(table.len());
            order.into_iter().map(|place| place as u32).collect()
        };
        let metric = self.metric.unwrap_or_else(|| Metric::usual(signature.output.kind));
        let (panels, orders) = (self.panels(signature.probed())?, (0..self.repeats).map(order).collect());
        Ok(Frame { panels, metric: Some(metric), orders })
    }

    /// What is expected of the case, what it adds to the metric as it is, and with each feature by each order.
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let (table, frame, kind) = (asked.table, asked.frame, asked.target.kind());
        let (study, metric) = (asked.study(&Response::default()), frame.metric.unwrap_or_else(|| Metric::usual(kind)));
        let mut figures = Vec::new();
        for (case, (own, (answer, place))) in asked.cases.iter().zip(asked.answers.iter().zip(asked.places)).enumerate()
        {
            let mixed = |i: usize, rows: &mut Vec<f32>| {
                let start = rows.len();
                rows.extend(&own.x);
                if let Some(i) = i.checked_sub(1) {
                    let (panel, order) = (&frame.panels[i / self.repeats()], &frame.orders[i % self.repeats()]);
                    let other = table.row(order[*place] as usize);
                    panel.features.iter().for_each(|feature| rows[start + feature] = other[*feature]);
                }
            };
            #[allow(clippy::cast_possible_truncation)]
            let add = |scores: ArrayView1<'_, f64>| {
                let scores: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
                metric.of(answer, &scores, kind)
            };
            let adds = study.scores_at(case, 1 + frame.panels.len() * self.repeats(), mixed, add)?;
            figures.push(std::iter::once(truth(answer)).chain(adds).collect());
        }
        Ok(figures)
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let Some(metric) = frame.metric else { return Reduced::default() };
        let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<f64>>();
        let (truth, clean) = (column(0), column(1));
        let of = |(panel, Panel { name, .. }): (usize, &Panel)| {
            let first = BEFORE + panel * self.repeats();
            let mixed: Vec<Vec<f64>> = (first..first + self.repeats()).map(column).collect();
            Some((self.metric(), name.clone(), importance(metric, &truth, &clean, &mixed)?))
        };
        Reduced { metrics: frame.panels.iter().enumerate().filter_map(of).collect(), curves: Vec::new() }
    }
}

/// The metric as it is less the mean of the mixed ones.
fn importance(metric: Metric, truth: &[f64], clean: &[f64], mixed: &[Vec<f64>]) -> Option<Figure> {
    let before = metric.value(clean, truth)?;
    let costs = mixed.iter().map(|adds| Some(before - metric.value(adds, truth)?)).collect::<Option<Vec<f64>>>()?;
    let influences = mixed.iter().map(|adds| metric.influence(adds, truth)).collect::<Option<Vec<_>>>();
    Some(match (metric.influence(clean, truth), influences) {
        (Some(before), Some(after)) => {
            let moved = |case: usize| {
                let after: Vec<f64> = after.iter().map(|influence| influence[case]).collect();
                before[case] - mean(&after)
            };
            around(mean(&costs), (0..clean.len()).map(moved))
        }
        _ => costs.into_iter().collect::<Moments>().figure(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importance_is_the_fall_and_its_interval_is_over_cases() {
        let clean = vec![1.0; 100];
        let mixed: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i >= 20))).collect();
        let figure = importance(Metric::Accuracy, &[0.0; 100], &clean, &[mixed.clone(), mixed]).unwrap();
        // A share of 0.2 of a hundred has a standard error of 0.0402, and t is 1.984.
        assert!((figure.value - 0.2).abs() < 1e-12 && (figure.low - 0.1202).abs() < 1e-3, "{figure:?}");
        assert_eq!(figure.n, 100);
        let nothing = importance(Metric::Accuracy, &[0.0; 100], &clean, std::slice::from_ref(&clean)).unwrap();
        assert_eq!((nothing.value, nothing.low, nothing.high), (0.0, 0.0, 0.0));
    }
}
