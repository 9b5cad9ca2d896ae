//! The mean answer as a feature takes other values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Response, choices, mquantile, name, panels, rows};
use super::scoring::around;
use super::{Asked, Audit, Curve, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Row, Spent};
use crate::error::Result;
use crate::metric::Moments;
use crate::probe::Probe;
use crate::probe::explainer::Names;

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

    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        let chosen = choices(self.features.as_ref(), '*', 2, input)?;
        Ok(chosen.iter().map(|features| name(features, '*', input)).collect())
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let chosen = choices(self.features.as_ref(), '*', 2, input).unwrap_or_default();
        let points = chosen.iter().map(|features| (self.grid_resolution as u64).pow(features.len() as u32)).sum();
        Spent { forward: points, gradient: 0 }
    }

    fn fit(&self, table: &Table, input: &Input, _: &Draw<'_>) -> Result<Frame> {
        rows(table, 1)?;
        let mut panels = panels(choices(self.features.as_ref(), '*', 2, input)?, '*', input);
        for panel in &mut panels {
            panel.axes = panel.features.iter().map(|feature| self.axis(table, *feature)).collect();
        }
        Ok(Frame { panels, orders: Vec::new() })
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let study = asked.study(&self.response);
        let ask = |(case, own): (usize, &crate::probe::explainer::Case)| {
            let rows: Vec<Row> = asked.frame.panels.iter().flat_map(|panel| on_grid(panel, &own.x, case)).collect();
            let mut values = study.values(&rows)?;
            if self.centered {
                let mut rest = values.as_mut_slice();
                for panel in &asked.frame.panels {
                    let (own, others) = rest.split_at_mut(panel.points());
                    let first = own.first().copied().unwrap_or(0.0);
                    own.iter_mut().for_each(|value| *value -= first);
                    rest = others;
                }
            }
            Ok(values)
        };
        asked.cases.iter().enumerate().map(ask).collect()
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let mut reduced = Reduced::default();
        let mut first = 0;
        for panel in &frame.panels {
            let columns = first..first + panel.points();
            first = columns.end;
            let figures: Vec<_> = columns.clone().map(|at| mean_of(rows.iter().map(|row| row[at]))).collect();
            let by_mean = |a: &usize, b: &usize| figures[*a].value.total_cmp(&figures[*b].value);
            let places = 0..figures.len();
            if let (Some(low), Some(high)) = (places.clone().min_by(by_mean), places.max_by(by_mean)) {
                let range = figures[high].value - figures[low].value;
                let moved = rows.iter().map(|row| row[columns.start + high] - row[columns.start + low]);
                reduced.metrics.push(("effect_range", panel.name.clone(), around(range, moved)));
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

pub(super) fn mean_of(values: impl IntoIterator<Item = f64>) -> crate::metric::Figure {
    let mut moments = Moments::default();
    values.into_iter().for_each(|value| moments.add(value));
    moments.figure()
}

/// The case with the values of every point of a panel's grid.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn on_grid<'a>(panel: &'a Panel, x: &'a [f32], case: usize) -> impl Iterator<Item = Row> + 'a {
    (0..panel.points()).map(move |point| {
        let mut x = x.to_vec();
        panel.features.iter().zip(panel.point(point)).for_each(|(feature, value)| x[*feature] = value as f32);
        Row { case, x }
    })
}
