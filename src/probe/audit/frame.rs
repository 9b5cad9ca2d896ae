//! What an audit carries from one stage to the next.

use serde::{Deserialize, Serialize};

use super::scoring::Metric;
use crate::metric::Figure;

/// The probed inputs of a suite's cases, one after the other; of those that could be read.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Values of a row.
    pub width: usize,
    pub values: Vec<f32>,
    /// The position of each row in the suite, rising.
    pub positions: Vec<u64>,
}

impl Table {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// A row by its place.
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..][..self.width]
    }

    /// The place of the case at a position in the suite.
    pub fn place(&self, position: u64) -> Option<usize> {
        self.positions.binary_search(&position).ok()
    }

    /// The values of a feature, in rising order.
    pub(super) fn sorted(&self, feature: usize) -> Vec<f64> {
        let mut column: Vec<f64> = (0..self.len()).map(|place| f64::from(self.row(place)[feature])).collect();
        column.sort_by(f64::total_cmp);
        column
    }
}

/// What every case is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// What the figures of a case are of, in their order.
    pub panels: Vec<Panel>,
    /// What is measured, where an audit measures answers.
    pub(super) metric: Option<Metric>,
    /// Orders of the table's rows, where an audit mixes them. They are drawn again wherever they are needed.
    #[serde(skip)]
    pub orders: Vec<Vec<u32>>,
}

impl Frame {
    /// Without the orders, which no one is told.
    #[must_use]
    pub fn told(&self) -> Self {
        Self { panels: self.panels.clone(), metric: self.metric, orders: Vec::new() }
    }
}

/// One feature, or some that are looked at together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// As in the slices of metrics.
    pub name: String,
    pub features: Vec<usize>,
    /// For each of the features the values that stand in for its own.
    pub axes: Vec<Vec<f64>>,
}

impl Panel {
    /// Points of the grid, the last axis fastest; `None` if there is no grid of all features, or one that no memory holds.
    pub(super) fn points(&self) -> Option<usize> {
        let all = self.axes.iter().try_fold(1usize, |all, axis| all.checked_mul(axis.len()))?;
        (all > 0 && !self.axes.is_empty() && self.axes.len() == self.features.len()).then_some(all)
    }

    /// The values of the features at a point of the grid.
    pub(super) fn point(&self, mut number: usize) -> Vec<f64> {
        let mut values = vec![0.0; self.axes.len()];
        for (value, axis) in values.iter_mut().zip(&self.axes).rev() {
            *value = axis[number % axis.len()];
            number /= axis.len();
        }
        values
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reduced {
    /// By name of the metric and of the panel.
    pub metrics: Vec<(&'static str, String, Figure)>,
    pub curves: Vec<Curve>,
}

/// The mean answer over the values of one feature, or of two.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curve {
    pub name: String,
    /// Values of each feature.
    pub axes: Vec<Vec<f64>>,
    /// At the points of the grid, the last axis fastest; with 95 % intervals.
    pub mean: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}
