//! What the model loses when a feature is mixed up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, choices, name, panels, rows};
use super::scoring::{Metric, around, mean, truth};
use super::{Asked, Audit, Draw, Frame, Reduced, Table};
use crate::engine::{Input, Output, OutputKind, Row, Spent};
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

    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        let chosen = choices(self.features.as_ref(), '+', TOGETHER, input)?;
        Ok(chosen.iter().map(|features| name(features, '+', input)).collect())
    }

    fn fits(&self, output: &Output) -> Result<()> {
        let values = output.kind == OutputKind::Value;
        match self.metric {
            Some(metric) if metric.is_of_values() != values => {
                let found = if values { "a value" } else { "classes" };
                Err(Error::invalid("params.metric", format!("it is not of a model that gives {found}")))
            }
            _ => Ok(()),
        }
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let features = self.parts(input).map_or(input.len(), |parts| parts.len()) as u64;
        Spent { forward: features.saturating_mul(u64::from(self.repeats)).saturating_add(1), gradient: 0 }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn fit(&self, table: &Table, input: &Input, draw: &Draw<'_>) -> Result<Frame> {
        rows(table, 2)?;
        let panels = panels(choices(self.features.as_ref(), '+', TOGETHER, input)?, '+', input);
        let order = |stream: usize| {
            let order = Rng::new(draw.seed, draw.check, "", stream as u64).order(table.len());
            order.into_iter().map(|place| place as u32).collect()
        };
        let orders = (0..panels.len() * self.repeats()).map(order).collect();
        Ok(Frame { panels, orders })
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let (table, frame) = (asked.table, asked.frame);
        let metric = self.metric.unwrap_or_else(|| Metric::usual(asked.target.kind()));
        let mut figures = Vec::new();
        for (case, (own, (answer, place))) in asked.cases.iter().zip(asked.answers.iter().zip(asked.places)).enumerate()
        {
            let mut mixed = vec![Row { case, x: own.x.clone() }];
            for (panel, orders) in frame.panels.iter().zip(frame.orders.chunks(self.repeats())) {
                mixed.extend(orders.iter().map(|order| {
                    let other = table.row(order[*place] as usize);
                    let mut x = own.x.clone();
                    panel.features.iter().for_each(|feature| x[*feature] = other[*feature]);
                    Row { case, x }
                }));
            }
            let scores = asked.target.scores(&mixed.iter().collect::<Vec<_>>())?;
            #[allow(clippy::cast_possible_truncation)]
            let add = |scores: ndarray::ArrayView1<'_, f64>| {
                let scores: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
                metric.of(answer, &scores, asked.target.kind())
            };
            figures.push(std::iter::once(truth(answer)).chain(scores.rows().into_iter().map(add)).collect());
        }
        Ok(figures)
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let sound: Vec<&&[f64]> = rows.iter().filter(|row| row.iter().all(|figure| figure.is_finite())).collect();
        if sound.is_empty() {
            return Reduced::default();
        }
        let column = |at: usize| sound.iter().map(|row| row[at]).collect::<Vec<f64>>();
        // Which metric it is shows in whether values are expected.
        let values = rows.iter().any(|row| row[0] != 0.0);
        let metric = self.metric.unwrap_or(if values { Metric::R2 } else { Metric::Accuracy });
        let (truth, clean) = (column(0), column(1));
        let importance = |panel: usize| {
            let mixed: Vec<Vec<f64>> =
                (0..self.repeats()).map(|r| column(BEFORE + panel * self.repeats() + r)).collect();
            importance(metric, &truth, &clean, &mixed)
        };
        let figures =
            frame.panels.iter().enumerate().map(|(i, panel)| ("importance", panel.name.clone(), importance(i)));
        Reduced { metrics: figures.collect(), curves: Vec::new() }
    }
}

/// The metric as it is less the mean of the mixed ones.
fn importance(metric: Metric, truth: &[f64], clean: &[f64], mixed: &[Vec<f64>]) -> Figure {
    let before = metric.value(clean, truth);
    let costs: Vec<f64> = mixed.iter().map(|adds| before - metric.value(adds, truth)).collect();
    let influences = mixed.iter().map(|adds| metric.influence(adds, truth)).collect::<Option<Vec<_>>>();
    match (metric.influence(clean, truth), influences) {
        (Some(before), Some(after)) => {
            let moved = |case: usize| {
                let after: Vec<f64> = after.iter().map(|influence| influence[case]).collect();
                before[case] - mean(&after)
            };
            around(mean(&costs), (0..clean.len()).map(moved))
        }
        _ => {
            let mut moments = Moments::default();
            costs.iter().for_each(|cost| moments.add(*cost));
            moments.figure()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importance_is_the_fall_and_its_interval_is_over_cases() {
        let clean = vec![1.0; 100];
        let mixed: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i >= 20))).collect();
        let figure = importance(Metric::Accuracy, &[0.0; 100], &clean, &[mixed.clone(), mixed]);
        // A share of 0.2 of a hundred has a standard error of 0.0402, and t is 1.984.
        assert!((figure.value - 0.2).abs() < 1e-12 && (figure.low - 0.1202).abs() < 1e-3, "{figure:?}");
        assert_eq!(figure.n, 100);
        let nothing = importance(Metric::Accuracy, &[0.0; 100], &clean, std::slice::from_ref(&clean));
        assert_eq!((nothing.value, nothing.low, nothing.high), (0.0, 0.0, 0.0));
    }
}
