//! How the answer moves with a feature, among cases that have such values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, panels, rows};
use super::{Asked, Audit, Curve, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Signature, Spent};
use crate::error::Result;
use crate::metric::{Figure, Moments, student};
use crate::probe::Probe;
use crate::probe::explainer::{Case, Names};

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

/// The interval that a value lies in: above its lower edge and up to its upper one, the first with its lower edge.
fn interval(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge < value).saturating_sub(1).min(edges.len().saturating_sub(2))
}

impl Audit for AccumulatedLocalEffects {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn metric(&self) -> &'static str {
        "effect_range"
    }

    fn panels(&self, input: &Input) -> Result<Vec<Panel>> {
        panels(self.features.as_ref(), '*', 1, input)
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        Spent { forward: 2 * self.panels(input).map_or(input.len(), |panels| panels.len()) as u64, gradient: 0 }
    }

    fn width(&self, frame: &Frame) -> Option<usize> {
        let sound = frame.panels.iter().all(|panel| panel.axes.len() == 1 && !panel.axes[0].is_empty());
        frame.panels.len().checked_mul(2).filter(|_| sound)
    }

    fn fit(&self, table: &Table, signature: &Signature, _: &Draw<'_>) -> Result<Frame> {
        rows(table, 1)?;
        let mut panels = self.panels(signature.probed())?;
        // Of one case in an interval nothing is known of how the others would move.
        let intervals = self.intervals.min(table.len() / 2).max(1);
        for panel in &mut panels {
            let sorted = panel.features.first().map_or_else(Vec::new, |feature| table.sorted(*feature));
            // Values of cases, so that every interval has some: quantiles of type 1, as in the authors' ALEPlot.
            let edge = |i: usize| sorted[(sorted.len() * i).div_ceil(intervals).max(1) - 1];
            let mut edges: Vec<f64> = (0..=intervals).map(edge).collect();
            edges.dedup();
            panel.axes = vec![edges];
        }
        Ok(Frame { panels, ..Frame::default() })
    }

    /// By feature the interval of the case, and how the answer differs between its edges.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let (study, panels) = (asked.study(&self.response), &asked.frame.panels);
        let ask = |(case, own): (usize, &Case)| {
            let place = |panel: &Panel| interval(&panel.axes[0], f64::from(own.x[panel.features[0]]));
            let values = study.values_at(case, 2 * panels.len(), |i, rows| {
                let (panel, start) = (&panels[i / 2], rows.len());
                let edges = &panel.axes[0];
                rows.extend(&own.x);
                rows[start + panel.features[0]] = edges[(place(panel) + i % 2).min(edges.len() - 1)] as f32;
            })?;
            let both = panels.iter().zip(values.chunks(2));
            Ok(both.flat_map(|(panel, ends)| [place(panel) as f64, ends[1] - ends[0]]).collect())
        };
        asked.cases.iter().enumerate().map(ask).collect()
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let mut reduced = Reduced::default();
        for (number, panel) in frame.panels.iter().enumerate() {
            let moves = rows.iter().map(|row| (row[2 * number], row[2 * number + 1]));
            let (range, curve) = effects(&panel.axes[0], moves);
            reduced.metrics.push((self.metric(), panel.name.clone(), range));
            reduced.curves.push(Curve { name: panel.name.clone(), axes: panel.axes.clone(), ..curve });
        }
        reduced
    }
}

/// The range of the curve over the edges, and the curve. A step's standard error is that of its interval's mean; of an
/// interval with one case the variance is the others' together, and without any others nothing bounds it.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn effects(edges: &[f64], moves: impl Iterator<Item = (f64, f64)>) -> (Figure, Curve) {
    let mut intervals = vec![Moments::default(); edges.len().saturating_sub(1)];
    for (place, moved) in moves {
        if let Some(moments) = intervals.get_mut(place as usize) {
            moments.add(moved);
        }
    }
    let n: u64 = intervals.iter().map(Moments::n).sum();
    let several = || intervals.iter().filter(|moments| moments.n() > 1);
    let (squares, freedom) = several().fold((0.0, 0.0), |(squares, freedom), moments| {
        let own = moments.n() as f64 - 1.0;
        (squares + own * moments.variance(), freedom + own)
    });
    let pooled = if freedom > 0.0 { squares / freedom } else { f64::INFINITY };
    let (mut curve, mut errors) = (vec![0.0], vec![0.0]);
    for moments in &intervals {
        let step = if moments.n() > 0 { moments.mean() } else { 0.0 };
        let variance = if moments.n() > 1 { moments.variance() } else { pooled };
        let error = if moments.n() > 0 { variance / moments.n() as f64 } else { 0.0 };
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
    let between: f64 = errors[low.max(high)] - errors[low.min(high)];
    let error = if between.is_nan() { f64::INFINITY } else { between.max(0.0).sqrt() };
    let range = student(mean[high] - mean[low], error, n);
    let band = |i: usize| student(mean[i], errors[i].sqrt(), n);
    let (low, high) = (0..mean.len()).map(band).map(|figure| (figure.low, figure.high)).unzip();
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
        // One case alone varies as the others do; where all are alone nothing bounds it.
        let (range, _) = effects(&[0.0, 1.0, 2.0], [(0.0, 1.0), (0.0, 3.0), (1.0, 5.0)].into_iter());
        assert!((range.value - 7.0).abs() < 1e-12 && range.low < 0.0 && range.low.is_finite(), "{range:?}");
        let (range, _) = effects(&[0.0, 1.0, 2.0], [(0.0, 1.0), (1.0, 5.0)].into_iter());
        assert_eq!((range.low, range.high), (f64::NEG_INFINITY, f64::INFINITY));
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
