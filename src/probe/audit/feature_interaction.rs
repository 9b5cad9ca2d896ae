//! Whether two features act together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, choices, name, rows};
use super::partial_dependence::mean_of;
use super::scoring::{around, mean};
use super::{Asked, Audit, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Row, Spent};
use crate::error::{Error, Result};
use crate::metric::Figure;
use crate::probe::Probe;
use crate::probe::explainer::Names;
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

impl FeatureInteraction {
    /// The pairs, each once, the lower feature first.
    fn pairs(&self, input: &Input) -> Result<Vec<[usize; 2]>> {
        let all = 0..input.len();
        let mut pairs: Vec<[usize; 2]> = Vec::new();
        let mut add = |a: usize, b: usize| {
            let pair = [a.min(b), a.max(b)];
            if a != b && !pairs.contains(&pair) {
                pairs.push(pair);
            }
        };
        if self.features.is_none() && input.len() > FEATURES {
            let message = format!("the row has {} features; name pairs such as 0*1", input.len());
            return Err(Error::invalid("params.features", message));
        }
        for chosen in choices(self.features.as_ref(), '*', 2, input)? {
            match chosen.as_slice() {
                [a, b] => add(*a, *b),
                [a] => all.clone().for_each(|b| add(*a, b)),
                _ => {}
            }
        }
        if pairs.is_empty() {
            return Err(Error::invalid("params.features", "a row of one feature has no pairs"));
        }
        Ok(pairs)
    }

    /// Features of the pairs, then the pairs.
    fn looked_at(&self, input: &Input) -> Result<Vec<Vec<usize>>> {
        let pairs = self.pairs(input)?;
        let mut single: Vec<usize> = pairs.iter().flatten().copied().collect();
        single.sort_unstable();
        single.dedup();
        Ok(single.into_iter().map(|i| vec![i]).chain(pairs.into_iter().map(Vec::from)).collect())
    }
}

impl Audit for FeatureInteraction {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        Ok(self.pairs(input)?.iter().map(|pair| name(pair, '*', input)).collect())
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let looked_at = self.looked_at(input).map_or(0, |looked_at| looked_at.len());
        Spent { forward: (looked_at as u64).saturating_mul(self.n_samples as u64), gradient: 0 }
    }

    /// Axes hold the values of the chosen cases, which belong together point by point.
    fn fit(&self, table: &Table, input: &Input, draw: &Draw<'_>) -> Result<Frame> {
        rows(table, 2)?;
        let mut chosen = Rng::new(draw.seed, draw.check, "", 0).order(table.len());
        chosen.truncate(self.n_samples);
        chosen.sort_unstable();
        let values = |feature: &usize| chosen.iter().map(|place| f64::from(table.row(*place)[*feature])).collect();
        let panel = |features: Vec<usize>| Panel {
            name: name(&features, '*', input),
            axes: features.iter().map(values).collect(),
            features,
        };
        Ok(Frame { panels: self.looked_at(input)?.into_iter().map(panel).collect(), orders: Vec::new() })
    }

    #[allow(clippy::cast_possible_truncation)]
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let study = asked.study(&self.response);
        let ask = |(case, own): (usize, &crate::probe::explainer::Case)| {
            let at = |panel: &Panel, point: usize| {
                let mut x = own.x.clone();
                panel.features.iter().zip(&panel.axes).for_each(|(feature, axis)| x[*feature] = axis[point] as f32);
                Row { case, x }
            };
            let rows = asked.frame.panels.iter().flat_map(|p| (0..p.axes[0].len()).map(move |point| at(p, point)));
            study.values(&rows.collect::<Vec<_>>())
        };
        asked.cases.iter().enumerate().map(ask).collect()
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let points = frame.panels.first().map_or(0, |panel| panel.axes[0].len());
        // The partial dependence at the chosen cases, centred there.
        let dependence = |panel: usize| {
            let at = |point: usize| mean_of(rows.iter().map(|row| row[panel * points + point])).value;
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
                metrics.push(("h_statistic", panel.name.clone(), h(&dependence(number), &a, &b)));
            }
        }
        Reduced { metrics, curves: Vec::new() }
    }
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
