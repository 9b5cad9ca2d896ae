//! Whether two features act together.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, choices, name, rows};
use super::scoring::{around, mean};
use super::{Asked, Audit, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Signature, Spent};
use crate::error::{Error, Result};
use crate::metric::{Figure, Moments};
use crate::probe::Probe;
use crate::probe::explainer::{Case, Names};
use crate::tensor::Rng;

/// Friedman's H: the share of what a pair of features does together that neither does alone.
///
/// 0 if their effects add up, 1 if the pair only counts together. From partial dependence at the values of some cases;
/// where both features hardly count it is a share of nothing, so look at `partial_dependence` first. Needs one query of
/// every case for every point of every feature and pair.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct FeatureInteraction {
    #[serde(flatten)]
    response: Response,
    /// Pairs of features by name or number, such as `age*sex bmi*bp`; a feature alone stands for all pairs with it. If
    /// left out, all pairs of at most twelve features.
    features: Option<Names>,
    /// Cases whose values are looked at.
    #[schemars(range(min = 2, max = 1000))]
    n_samples: usize,
}

impl Default for FeatureInteraction {
    fn default() -> Self {
        Self { response: Response::default(), features: None, n_samples: 50 }
    }
}

/// Features of which all pairs are looked at, at most.
const FEATURES: usize = 12;

impl Probe for FeatureInteraction {
    const NAME: &'static str = "feature_interaction";
    const PAPER: &'static str = "Friedman and Popescu, Predictive Learning via Rule Ensembles, 2008 (arXiv:0811.1679)";
    const COST: &'static str = "(features + pairs) x n_samples";
}

/// Pairs, at most.
const PAIRS: usize = 1000;

impl FeatureInteraction {
    /// The pairs as they are named, each once, the lower feature first.
    fn pairs(&self, input: &Input) -> Result<Vec<[usize; 2]>> {
        let refuse = |message: String| Err(Error::invalid("params.features", message));
        if self.features.is_none() && input.len() > FEATURES {
            return refuse(format!("the row has {} features; name pairs such as 0*1", input.len()));
        }
        let (mut pairs, mut known) = (Vec::new(), BTreeSet::new());
        for chosen in choices(self.features.as_ref(), '*', 2, input)? {
            let named: Vec<[usize; 2]> = match chosen.as_slice() {
                [a, b] => vec![[*a.min(b), *a.max(b)]],
                [a] => (0..input.len()).filter(|b| b != a).map(|b| [*a.min(&b), *a.max(&b)]).collect(),
                _ => Vec::new(),
            };
            pairs.extend(named.into_iter().filter(|pair| known.insert(*pair)));
            if pairs.len() > PAIRS {
                return refuse(format!("more than {PAIRS} pairs are named"));
            }
        }
        if pairs.is_empty() {
            return refuse("a row of one feature has no pairs".to_owned());
        }
        Ok(pairs)
    }
}

impl Audit for FeatureInteraction {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn metric(&self) -> &'static str {
        "h_statistic"
    }

    /// The features of the pairs, then the pairs.
    fn panels(&self, input: &Input) -> Result<Vec<Panel>> {
        let pairs = self.pairs(input)?;
        let single: BTreeSet<usize> = pairs.iter().flatten().copied().collect();
        let all = single.into_iter().map(|i| vec![i]).chain(pairs.into_iter().map(Vec::from));
        let panel = |features: Vec<usize>| Panel { name: name(&features, '*', input), features, axes: Vec::new() };
        Ok(all.map(panel).collect())
    }

    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        Ok(self.pairs(input)?.iter().map(|pair| name(pair, '*', input)).collect())
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let panels = self.panels(input).map_or(0, |panels| panels.len());
        Spent { forward: (panels as u64).saturating_mul(self.n_samples as u64), gradient: 0 }
    }

    fn width(&self, frame: &Frame) -> Option<usize> {
        let points = points(frame);
        let whole = |panel: &Panel| {
            panel.axes.len() == panel.features.len() && panel.axes.iter().all(|axis| axis.len() == points)
        };
        frame.panels.len().checked_mul(points).filter(|_| frame.panels.iter().all(whole))
    }

    /// Axes hold the values of the chosen cases, which belong together point by point.
    fn fit(&self, table: &Table, signature: &Signature, draw: &Draw<'_>) -> Result<Frame> {
        rows(table, 2)?;
        let mut chosen = Rng::new(draw.seed, draw.check, "", 0).sample(table.len(), self.n_samples);
        chosen.sort_unstable();
        let values = |feature: &usize| chosen.iter().map(|place| f64::from(table.row(*place)[*feature])).collect();
        let mut panels = self.panels(signature.probed())?;
        panels.iter_mut().for_each(|panel| panel.axes = panel.features.iter().map(values).collect());
        Ok(Frame { panels, ..Frame::default() })
    }

    /// By panel the answer with its features as each chosen case has them.
    #[allow(clippy::cast_possible_truncation)]
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let (study, panels, points) = (asked.study(&self.response), &asked.frame.panels, points(asked.frame));
        let ask = |(case, own): (usize, &Case)| {
            study.values_at(case, panels.len() * points, |i, rows| {
                let (panel, start) = (&panels[i / points], rows.len());
                rows.extend(&own.x);
                let set = panel.features.iter().zip(&panel.axes);
                set.for_each(|(feature, axis)| rows[start + feature] = axis[i % points] as f32);
            })
        };
        asked.cases.iter().enumerate().map(ask).collect()
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let points = points(frame);
        // The partial dependence at the chosen cases, centred there.
        let dependence = |panel: usize| {
            let at = |point: usize| rows.iter().map(|row| row[panel * points + point]).collect::<Moments>().mean();
            let values: Vec<f64> = (0..points).map(at).collect();
            let centre = mean(&values);
            values.into_iter().map(|value| value - centre).collect::<Vec<_>>()
        };
        let alone = |feature: usize| frame.panels.iter().position(|panel| panel.features == [feature]).map(dependence);
        let mut metrics = Vec::new();
        for (number, panel) in frame.panels.iter().enumerate() {
            if let &[a, b] = panel.features.as_slice()
                && let (Some(a), Some(b)) = (alone(a), alone(b))
            {
                metrics.push((self.metric(), panel.name.clone(), h(&dependence(number), &a, &b)));
            }
        }
        Reduced { metrics, curves: Vec::new() }
    }
}

/// Cases whose values a frame holds.
fn points(frame: &Frame) -> usize {
    frame.panels.first().and_then(|panel| panel.axes.first()).map_or(0, Vec::len)
}

/// The root of the share of the pair's variance that is neither's own; its interval is the delta method's for the ratio.
fn h(both: &[f64], a: &[f64], b: &[f64]) -> Figure {
    let own: Vec<f64> = both.iter().zip(a).zip(b).map(|((both, a), b)| (both - a - b).powi(2)).collect();
    let all: Vec<f64> = both.iter().map(|both| both.powi(2)).collect();
    let whole = mean(&all);
    let share = if whole > 0.0 { mean(&own) / whole } else { 0.0 };
    let influence = |(own, all): (&f64, &f64)| if whole > 0.0 { (own - share * all) / whole } else { 0.0 };
    let figure = around(share, own.iter().zip(&all).map(influence));
    let root = |value: f64| value.max(0.0).sqrt();
    Figure { value: root(figure.value), low: root(figure.low), high: root(figure.high), ..figure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_that_add_up_do_not_interact_and_products_do() {
        let (a, b) = ([-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]);
        let both = |f: fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect::<Vec<f64>>();
        assert!(h(&both(|a, b| 2.0 * a + b), &a.map(|a| 2.0 * a), &b).value < 1e-12);
        assert!((h(&both(|a, b| a * b), &[0.0; 4], &[0.0; 4]).value - 1.0).abs() < 1e-12);
        // Half of the variance is the product's.
        assert!((h(&both(|a, b| a + a * b), &a, &[0.0; 4]).value - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(h(&[0.0; 4], &[0.0; 4], &[0.0; 4]).value, 0.0);
    }
}
