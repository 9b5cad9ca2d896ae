//! Where a counterfactual may lie, and how far away it is.

use crate::metric::{mean_and_deviation, quantile};

/// What the background's rows say of each feature.
pub(super) struct Space {
    /// What a change is measured in.
    scale: Vec<f64>,
    /// Within which a changed feature stays.
    bounds: Vec<[f32; 2]>,
    /// Whether all values are whole numbers.
    whole: Vec<bool>,
    /// Whether a feature may change at all.
    free: Vec<bool>,
}

impl Space {
    /// Features stay within what the background has of them, and within `range`. Those that are `immutable`, that the
    /// background has one value of, or an infinite one, do not change.
    pub(super) fn new(background: &[Vec<f32>], range: Option<[f64; 2]>, width: usize, immutable: &[usize]) -> Self {
        let mut space = Self { scale: Vec::new(), bounds: Vec::new(), whole: Vec::new(), free: Vec::new() };
        for feature in 0..width {
            let column: Vec<f32> = background.iter().filter_map(|row| row.get(feature).copied()).collect();
            let whole = column.iter().all(|v| v.fract() == 0.0);
            let [low, high] = bounds(&column, range, whole);
            let known = column.iter().all(|v| v.is_finite()) && low < high;
            space.scale.push(scale(&column));
            space.bounds.push([low, high]);
            space.whole.push(whole);
            space.free.push(known && !immutable.contains(&feature));
        }
        space
    }

    /// Features that may change.
    pub(super) fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.free.len()).filter(|feature| self.free[*feature])
    }

    /// The least and the largest value of a feature.
    pub(super) fn ends(&self, feature: usize) -> [f32; 2] {
        self.bounds[feature]
    }

    /// What a change of a feature is measured in.
    pub(super) fn scale(&self, feature: usize) -> f64 {
        self.scale[feature]
    }

    /// The value nearest to `wanted` that a feature may have whose own value is `own`; what `own` and a float32 difference
    /// add up to, where that is one.
    pub(super) fn settle(&self, feature: usize, wanted: f32, own: f32) -> f32 {
        if !self.free[feature] || wanted == own {
            return own;
        }
        let [low, high] = self.bounds[feature];
        let allowed = |v: f32| if self.whole[feature] { v.round() } else { v }.clamp(low, high);
        let value = allowed(wanted);
        let sum = own + (value - own);
        if allowed(sum) == sum { sum } else { value }
    }

    /// All features of `wanted` settled.
    pub(super) fn row(&self, wanted: &[f32], own: &[f32]) -> Vec<f32> {
        wanted.iter().zip(own).enumerate().map(|(feature, (wanted, own))| self.settle(feature, *wanted, *own)).collect()
    }

    /// The sum of all changes, each in units of its feature's scale.
    pub(super) fn distance(&self, a: &[f32], b: &[f32]) -> f64 {
        let changes = a.iter().zip(b).zip(&self.scale);
        changes.map(|((a, b), scale)| (f64::from(*a) - f64::from(*b)).abs() / scale).sum()
    }
}

/// The column's least and largest value within the range; whole ones of a column of whole numbers.
#[allow(clippy::cast_possible_truncation)]
fn bounds(column: &[f32], range: Option<[f64; 2]>, whole: bool) -> [f32; 2] {
    let [least, most] = range.map_or([f32::MIN, f32::MAX], |[least, most]| [least as f32, most as f32]);
    let low = column.iter().copied().fold(f32::INFINITY, f32::min).max(least);
    let high = column.iter().copied().fold(f32::NEG_INFINITY, f32::max).min(most);
    if whole { [low.ceil(), high.floor()] } else { [low, high] }
}

/// The median absolute deviation from the median (Wachter and others 2017); if that is nothing, the standard deviation,
/// and if that is nothing too, 1.
fn scale(column: &[f32]) -> f64 {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5)
    };
    let values: Vec<f64> = column.iter().map(|v| f64::from(*v)).collect();
    let centre = median(values.clone());
    let deviation = median(values.iter().map(|v| (v - centre).abs()).collect());
    let scales = [deviation, mean_and_deviation(&values).1];
    scales.into_iter().find(|scale| *scale > 0.0 && scale.is_finite()).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_stay_on_their_grid_and_within_their_bounds() {
        let rows = [[0.0, 1.0, 5.0, 0.25], [2.0, 1.0, 6.5, 0.5], [4.0, 1.0, 9.0, 3.0]].map(|row| row.to_vec());
        let space = Space::new(&rows, Some([0.0, 8.0]), 4, &[3]);
        assert_eq!(space.free().collect::<Vec<_>>(), [0, 2], "a constant and an immutable one stay");
        assert_eq!(space.row(&[1.4, 7.0, 99.0, 1.0], &[3.0, 1.0, 5.5, 0.5]), [1.0, 1.0, 8.0, 0.5]);
        assert_eq!(space.row(&[-3.0, 1.0, 99.5, 0.5], &[3.0, 1.0, 99.5, 0.5]), [0.0, 1.0, 99.5, 0.5], "its own stays");
    }

    #[test]
    fn distances_are_in_medians_of_deviations() {
        // Deviations of 1, 2, 4, 8 and 100 from 4 are 3, 2, 0, 4 and 96. Mostly zeros have none but a standard deviation.
        let rows: Vec<Vec<f32>> =
            [[1.0, 0.0], [2.0, 0.0], [4.0, 0.0], [8.0, 0.0], [100.0, 5.0]].map(|row| row.to_vec()).into();
        let space = Space::new(&rows, None, 2, &[]);
        assert_eq!(space.distance(&[1.0, 1.0], &[7.0, 2.0]), 2.0 + 0.5);
    }
}
