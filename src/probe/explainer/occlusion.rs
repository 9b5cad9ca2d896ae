//! Windows that are covered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::study::{Explanation, Grid, Study, one_row};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// How much the score falls when a window is covered, window by window.
///
/// Takes no gradients. A value under several windows gets the mean of what they cost. Over a picture a window is a
/// square in all channels, elsewhere some values side by side. If windows do not act together, what they cost adds up to
/// the score less the baseline's, each cost shared among the window's values; the residual is how far it does not.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Occlusion {
    #[serde(flatten)]
    view: View,
    /// What covers a window, in units of the input as read: `zero`, `mean` (of each channel of a picture), `blurred` (a
    /// picture), `background` (the mean of its rows) or a number.
    baseline: Baseline,
    /// Side of a window in pixels, or values. If left out, a seventh of a picture's shorter side, and one value of
    /// another input.
    #[schemars(range(min = 1))]
    window: Option<usize>,
    /// From one window to the next, no more than its side. If left out, half of that.
    #[schemars(range(min = 1))]
    stride: Option<usize>,
}

/// Parts of a picture's shorter side that a window takes, if nothing else is said.
const PARTS: usize = 7;

/// A picture, or another input as one row of pixels.
#[derive(Clone, Copy)]
struct Plane {
    /// Channels, rows, columns; and their strides.
    size: [usize; 3],
    strides: [usize; 3],
    window: usize,
    stride: usize,
}

impl Plane {
    /// Windows along an axis of this length; the last may reach beyond.
    fn count(&self, length: usize) -> usize {
        length.saturating_sub(self.window).div_ceil(self.stride) + 1
    }

    /// Rows and columns of a window.
    fn windows(self) -> impl Iterator<Item = [std::ops::Range<usize>; 2]> {
        let [_, height, width] = self.size;
        let along = move |i: usize, length: usize| i * self.stride..(i * self.stride + self.window).min(length);
        (0..self.count(height))
            .flat_map(move |i| (0..self.count(width)).map(move |j| [along(i, height), along(j, width)]))
    }

    /// The places of a window's values.
    fn places(self, [rows, columns]: [std::ops::Range<usize>; 2]) -> impl Iterator<Item = usize> {
        let [channel, row, column] = self.strides;
        let all = (0..self.size[0]).flat_map(move |c| rows.clone().map(move |i| c * channel + i * row));
        all.flat_map(move |at| columns.clone().map(move |j| at + j * column))
    }
}

impl Occlusion {
    fn plane(&self, grid: Option<Grid>, values: usize) -> Plane {
        let (size, strides) = grid.unwrap_or_else(|| one_row(values));
        let usual = if grid.is_some() { size[1].min(size[2]).div_ceil(PARTS) } else { 1 };
        let window = self.window.unwrap_or(usual).max(1);
        Plane { size, strides, window, stride: self.stride.unwrap_or(window.div_ceil(2)).clamp(1, window) }
    }
}

impl Probe for Occlusion {
    const NAME: &'static str = "occlusion";
    const PAPER: &'static str =
        "Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2013 (arXiv:1311.2901)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "windows + 2";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for Occlusion {
    fn view(&self) -> View {
        self.view
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.baseline.fits(input)
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        let plane = self.plane(input.grid(), input.shape.iter().product());
        let count = plane.count(plane.size[1]) * plane.count(plane.size[2]);
        Spent { forward: count as u64 + 2, gradient: 0 }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let clean = study.clean()?;
        let (baselines, without) = self.baseline.asked(study)?;
        let mut explanations = Vec::new();
        for (case, (own, baseline)) in study.cases.iter().zip(&baselines).enumerate() {
            let plane = self.plane(study.grid(), own.x.len());
            let mut sums = vec![(0.0, 0.0, 0u32); own.x.len()];
            let windows: Vec<_> = plane.windows().collect();
            let values = study.values_at(case, windows.len(), |i, rows| {
                let start = rows.len();
                rows.extend(&own.x);
                plane.places(windows[i].clone()).for_each(|place| rows[start + place] = baseline.x[place]);
            })?;
            for (window, value) in windows.iter().zip(values) {
                let (cost, values) = (clean[case] - value, plane.places(window.clone()).count());
                for place in plane.places(window.clone()) {
                    let (sum, shares, count) = &mut sums[place];
                    (*sum, *shares, *count) = (*sum + cost, *shares + cost / values as f64, *count + 1);
                }
            }
            let mean = |sum: f64, count: u32| sum / f64::from(count.max(1));
            let all: f64 = sums.iter().map(|(_, shares, count)| mean(*shares, *count)).sum();
            let attribution = sums.iter().map(|(sum, _, count)| mean(*sum, *count) as f32).collect();
            let whole = clean[case] - without[case];
            explanations.push(Explanation::new(attribution, all - whole, whole));
        }
        Ok(explanations)
    }
}
