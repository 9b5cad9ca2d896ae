//! How the answer moves with a feature, among cases that have such values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, choices, name, panels, rows};
use super::{Asked, Audit, Curve, Draw, Frame, Reduced, Table};
use crate::engine::{Input, Row, Spent};
use crate::error::Result;
use crate::metric::{Figure, Moments};
use crate::probe::Probe;
use crate::probe::explainer::Names;

/// How the answer moves as a feature goes on, among cases that have such values: local effects, added up.
///
/// Unlike partial dependence it only asks about values near those that a case has, and so stays true where features go
/// together. Intervals hold about equally many cases. The curve's mean over the cases is zero; `effect_range` is how far
/// it moves from its lowest to its highest.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct AccumulatedLocalEffects {
    #[serde(flatten)]
    response: Response,
    /// Features by name or number, separated by spaces. If left out, each feature.
    features: Option<Names>,
    /// Intervals of each feature, at most.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["grid_resolution", "bins"]))]
    intervals: usize,
}

impl Default for AccumulatedLocalEffects {
    fn default() -> Self {
        Self { response: Response::default(), features: None, intervals: 20 }
    }
}

impl Probe for AccumulatedLocalEffects {
    const NAME: &'static str = "accumulated_local_effects";
    const PAPER: &'static str = "Apley and Zhu, Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models, 2016 (arXiv:1612.08468)";
    const COST: &'static str = "2 x features";
}

/// Two standard errors of a normal distribution: 95 %.
const Z: f64 = 1.96;

/// The interval that a value lies in: above its lower edge and up to its upper one, the first with its lower edge.
fn interval(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge < value).saturating_sub(1).min(edges.len().saturating_sub(2))
}

impl Audit for AccumulatedLocalEffects {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        let chosen = choices(self.features.as_ref(), '*', 1, input)?;
        Ok(chosen.iter().map(|features| name(features, '*', input)).collect())
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        Spent { forward: 2 * self.parts(input).map_or(input.len(), |parts| parts.len()) as u64, gradient: 0 }
    }

    fn fit(&self, table: &Table, input: &Input, _: &Draw<'_>) -> Result<Frame> {
        rows(table, 1)?;
        let mut panels = panels(choices(self.features.as_ref(), '*', 1, input)?, '*', input);
        for panel in &mut panels {
            let sorted = table.sorted(panel.features[0]);
            // Values of cases, so that every interval has some: quantiles of type 1, as in the authors' ALEPlot.
            let edge = |i: usize| sorted[(sorted.len() * i).div_ceil(self.intervals).max(1) - 1];
            let mut edges: Vec<f64> = (0..=self.intervals).map(edge).collect();
            edges.dedup();
            panel.axes = vec![edges];
        }
        Ok(Frame { panels, orders: Vec::new() })
    }

    /// By feature the interval of the case, and how the answer differs between its edges.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let study = asked.study(&self.response);
        let mut figures = Vec::new();
        for (case, own) in asked.cases.iter().enumerate() {
            let (mut rows, mut places) = (Vec::new(), Vec::new());
            for panel in &asked.frame.panels {
                let (feature, edges) = (panel.features[0], &panel.axes[0]);
                let place = interval(edges, f64::from(own.x[feature]));
                places.push(place);
                for edge in [place, (place + 1).min(edges.len() - 1)] {
                    let mut x = own.x.clone();
                    x[feature] = edges[edge] as f32;
                    rows.push(Row { case, x });
                }
            }
            let values = study.values(&rows)?;
            let both = places.into_iter().zip(values.chunks(2));
            figures.push(both.flat_map(|(place, ends)| [place as f64, ends[1] - ends[0]]).collect());
        }
        Ok(figures)
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let mut reduced = Reduced::default();
        for (number, panel) in frame.panels.iter().enumerate() {
            let moves = rows.iter().map(|row| (row[2 * number], row[2 * number + 1]));
            let (range, curve) = effects(&panel.axes[0], moves);
            reduced.metrics.push(("effect_range", panel.name.clone(), range));
            reduced.curves.push(Curve { name: panel.name.clone(), axes: panel.axes.clone(), ..curve });
        }
        reduced
    }
}

/// The range of the curve over the edges, and the curve.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn effects(edges: &[f64], moves: impl Iterator<Item = (f64, f64)>) -> (Figure, Curve) {
    let mut intervals = vec![Moments::default(); edges.len().saturating_sub(1)];
    for (place, moved) in moves {
        if let Some(moments) = intervals.get_mut(place as usize) {
            moments.add(moved);
        }
    }
    let n: u64 = intervals.iter().map(Moments::n).sum();
    let (mut curve, mut errors) = (vec![0.0], vec![0.0]);
    for moments in &intervals {
        let step = if moments.n() > 0 { moments.mean() } else { 0.0 };
        let error = if moments.n() > 1 { moments.variance() / moments.n() as f64 } else { 0.0 };
        curve.push(curve[curve.len() - 1] + step);
        errors.push(errors[errors.len() - 1] + error);
    }
    let middle = |i: usize| curve[i].midpoint(curve[i + 1]) * intervals[i].n() as f64;
    let centre = (0..intervals.len()).map(middle).sum::<f64>() / (n as f64).max(1.0);
    let mean: Vec<f64> = curve.iter().map(|value| value - centre).collect();
    let places = 0..mean.len();
    let by_value = |a: &usize, b: &usize| mean[*a].total_cmp(&mean[*b]);
    let low = places.clone().min_by(by_value).unwrap_or(0);
    let high = places.max_by(by_value).unwrap_or(0);
    // What lies between the two is what makes the range uncertain.
    let half = Z * (errors[high] - errors[low]).abs().sqrt();
    let value = mean[high] - mean[low];
    let range = Figure { value, low: value - half, high: value + half, n, count: None };
    let band = |sign: f64| mean.iter().zip(&errors).map(|(m, e)| m + sign * Z * e.sqrt()).collect();
    let (low, high) = (band(-1.0), band(1.0));
    (range, Curve { name: String::new(), axes: Vec::new(), mean, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_moves_add_up_and_the_curve_is_centred() {
        // Three intervals with means 1, -2 and 4.
        let moves = [(0.0, 0.5), (0.0, 1.5), (1.0, -2.0), (1.0, -2.0), (2.0, 4.0), (2.0, 4.0)];
        let (range, curve) = effects(&[0.0, 1.0, 2.0, 3.0], moves.into_iter());
        let steps: Vec<f64> = curve.mean.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(steps, [1.0, -2.0, 4.0]);
        let middles: f64 = curve.mean.windows(2).map(|w| w[0].midpoint(w[1]) * 2.0).sum();
        assert!(middles.abs() < 1e-12 && (range.value - 4.0).abs() < 1e-12);
        assert_eq!(range.low, 4.0, "the last two intervals do not vary");
    }

    #[test]
    fn a_value_lies_below_its_upper_edge() {
        let edges = [0.0, 1.0, 2.0];
        for (value, place) in [(-1.0, 0), (0.0, 0), (0.5, 0), (1.0, 0), (1.1, 1), (2.0, 1), (9.0, 1)] {
            assert_eq!(interval(&edges, value), place, "{value}");
        }
        assert_eq!(interval(&[3.0], 3.0), 0);
    }
}
