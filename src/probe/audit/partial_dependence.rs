//! The mean answer as a feature takes other values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, mquantile, panels, rows};
use super::scoring::around;
use super::{Asked, Audit, Curve, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Signature, Spent};
use crate::error::Result;
use crate::metric::{Figure, Moments};
use crate::probe::Probe;
use crate::probe::explainer::{Case, Names};

/// The mean answer over all cases when a feature, or a pair of them, is set to one value after the other.
///
/// The curve of each case (ICE) is kept with the artifacts; the mean of them is the partial dependence. Cases get values
/// that they may never have beside their others: where features go together, look at `accumulated_local_effects` too.
/// `effect_range` is how far the mean moves from its lowest to its highest.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct PartialDependence {
    #[serde(flatten)]
    response: Response,
    /// Features by name or number, separated by spaces; pairs with `*` between them. If left out, each feature.
    features: Option<Names>,
    /// Values of each feature: its own where they are fewer, else evenly between the two percentiles.
    #[schemars(range(min = 2, max = 1000), extend("aliases" = ["grid", "resolution"]))]
    grid_resolution: usize,
    /// The share of the cases below the lowest value, and above the highest.
    #[schemars(range(min = 0.0, max = 0.45))]
    percentile: f64,
    /// Whether the curve of each case begins at zero, so that only its shape counts.
    centered: bool,
}

impl Default for PartialDependence {
    fn default() -> Self {
        Self { response: Response::default(), features: None, grid_resolution: 50, percentile: 0.05, centered: false }
    }
}

impl Probe for PartialDependence {
    const NAME: &'static str = "partial_dependence";
    const PAPER: &'static str = "Friedman, Greedy Function Approximation: A Gradient Boosting Machine, 2001; Goldstein et al., Peeking Inside the Black Box, 2013 (arXiv:1309.6392)";
    const COST: &'static str = "points of the grids";
}

impl PartialDependence {
    /// Values of a feature, as scikit-learn chooses them.
    #[allow(clippy::cast_precision_loss)]
    fn axis(&self, table: &Table, feature: usize) -> Vec<f64> {
        let sorted = table.sorted(feature);
        let mut unique = sorted.clone();
        unique.dedup();
        if unique.len() < self.grid_resolution {
            return unique;
        }
        let ends = [self.percentile, 1.0 - self.percentile].map(|p| mquantile(&sorted, p));
        let steps = self.grid_resolution - 1;
        (0..=steps).map(|i| ends[0] + (ends[1] - ends[0]) * i as f64 / steps as f64).collect()
    }
}

impl Audit for PartialDependence {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn metric(&self) -> &'static str {
        "effect_range"
    }

    fn panels(&self, input: &Input) -> Result<Vec<Panel>> {
        panels(self.features.as_ref(), '*', 2, input)
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let points = |panel: &Panel| panel.features.iter().fold(1u64, |all, _| all * self.grid_resolution as u64);
        let all = self.panels(input).map_or(0, |panels| panels.iter().map(points).fold(0, u64::saturating_add));
        Spent { forward: all, gradient: 0 }
    }

    fn width(&self, frame: &Frame) -> Option<usize> {
        frame.panels.iter().try_fold(0usize, |all, panel| all.checked_add(panel.points()?))
    }

    fn fit(&self, table: &Table, signature: &Signature, _: &Draw<'_>) -> Result<Frame> {
        rows(table, 1)?;
        let mut panels = self.panels(signature.probed())?;
        for panel in &mut panels {
            panel.axes = panel.features.iter().map(|feature| self.axis(table, *feature)).collect();
        }
        Ok(Frame { panels, ..Frame::default() })
    }

    /// The answer at each point of each grid.
    #[allow(clippy::cast_possible_truncation)]
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let study = asked.study(&self.response);
        let points: Vec<(&Panel, usize)> =
            asked.frame.panels.iter().flat_map(|p| (0..p.points().unwrap_or(0)).map(move |i| (p, i))).collect();
        let ask = |(case, own): (usize, &Case)| {
            let mut values = study.values_at(case, points.len(), |i, rows| {
                let ((panel, point), start) = (points[i], rows.len());
                rows.extend(&own.x);
                let set = panel.features.iter().zip(panel.point(point));
                set.for_each(|(feature, value)| rows[start + feature] = value as f32);
            })?;
            if self.centered {
                let first: Vec<usize> = (0..points.len()).map(|i| i - points[i].1).collect();
                let begin: Vec<f64> = first.into_iter().map(|first| values[first]).collect();
                values.iter_mut().zip(begin).for_each(|(value, begin)| *value -= begin);
            }
            Ok(values)
        };
        asked.cases.iter().enumerate().map(ask).collect()
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let (mut reduced, mut first) = (Reduced::default(), 0);
        for panel in &frame.panels {
            let columns = first..first + panel.points().unwrap_or(0);
            first = columns.end;
            let of = |at: usize| rows.iter().map(|row| row[at]).collect::<Moments>().figure();
            let figures: Vec<Figure> = columns.clone().map(of).collect();
            let by_mean = |a: &usize, b: &usize| figures[*a].value.total_cmp(&figures[*b].value);
            let places = 0..figures.len();
            if let (Some(low), Some(high)) = (places.clone().min_by(by_mean), places.max_by(by_mean)) {
                let range = figures[high].value - figures[low].value;
                let moved = rows.iter().map(|row| row[columns.start + high] - row[columns.start + low]);
                reduced.metrics.push((self.metric(), panel.name.clone(), around(range, moved)));
            }
            reduced.curves.push(Curve {
                name: panel.name.clone(),
                axes: panel.axes.clone(),
                mean: figures.iter().map(|f| f.value).collect(),
                low: figures.iter().map(|f| f.low).collect(),
                high: figures.iter().map(|f| f.high).collect(),
            });
        }
        reduced
    }
}
