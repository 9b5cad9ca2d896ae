//! A linear model that stands for another one near a case.

use super::linear::solve;

/// A sample near a case.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) x: Vec<f32>,
    /// As the surrogate sees it.
    pub(super) features: Vec<f64>,
    /// From the case, among the features.
    pub(super) distance: f64,
}

/// A weighted ridge regression as its sums over samples, so that no sample has to be kept.
pub(super) struct Regression {
    /// Of products of each two of: one, the value less the first one, and the features; above the diagonal alone.
    sums: Vec<f64>,
    row: Vec<f64>,
    first: Option<f64>,
}

/// What a regression finds.
pub(super) struct Surrogate {
    /// Of the features.
    pub(super) weights: Vec<f64>,
    /// Root mean squared error over the weighted samples.
    pub(super) error: f64,
    /// Standard deviation of the weighted values: the error of a surrogate that says the same everywhere.
    pub(super) spread: f64,
}

impl Regression {
    pub(super) fn new(features: usize) -> Self {
        let width = features + 2;
        Self { sums: vec![0.0; width * width], row: vec![0.0; width], first: None }
    }

    /// Takes a sample with its weight.
    pub(super) fn add(&mut self, features: &[f64], value: f64, weight: f64) {
        let width = self.row.len();
        self.row[0] = 1.0;
        self.row[1] = value - *self.first.get_or_insert(value);
        self.row[2..].iter_mut().zip(features).for_each(|(own, feature)| *own = *feature);
        for (i, a) in self.row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            let factor = weight * a;
            let sums = &mut self.sums[i * width + i..(i + 1) * width];
            sums.iter_mut().zip(&self.row[i..]).for_each(|(sum, b)| *sum += factor * b);
        }
    }

    /// The weights that have the least squared error, `alpha` times their own squares added to it; the intercept is
    /// free, as in sklearn's `Ridge`.
    pub(super) fn solve(&self, alpha: f64) -> Surrogate {
        let width = self.row.len();
        let all = self.sums[0].max(f64::MIN_POSITIVE);
        let product = |i: usize, j: usize| {
            let (i, j) = (i.min(j), i.max(j));
            self.sums[i * width + j] - self.sums[i] * self.sums[j] / all
        };
        let features = width - 2;
        let penalty = |i: usize, j: usize| if i == j { alpha } else { 0.0 };
        let places = (0..features * features).map(|at| (at / features, at % features));
        let matrix = places.map(|(i, j)| product(i + 2, j + 2) + penalty(i, j)).collect();
        let right: Vec<f64> = (0..features).map(|i| product(1, i + 2)).collect();
        let weights = solve(matrix, right.clone());
        // The matrix times the weights is the right side, so that the squared error needs no samples.
        let explained: f64 = weights.iter().zip(&right).map(|(w, r)| w * (r + alpha * w)).sum();
        let share = |squares: f64| (squares / all).max(0.0).sqrt();
        Surrogate { weights, error: share(product(1, 1) - explained), spread: share(product(1, 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features without structure, from -1 to 1.
    fn features(sample: usize) -> [f64; 3] {
        [7, 31, 57].map(|k| ((sample * k * (sample + 3) + k) % 101) as f64 / 50.0 - 1.0)
    }

    #[test]
    fn a_linear_model_is_found_without_error() {
        let mut regression = Regression::new(3);
        for i in 0..400 {
            let [a, b, c] = features(i);
            regression.add(&[a, b, c], 1e4 + 3.0 * a - 2.0 * b + 0.5 * c, 1.0 / (i + 1) as f64);
        }
        let found = regression.solve(0.0);
        assert!(found.weights.iter().zip([3.0, -2.0, 0.5]).all(|(w, e)| (w - e).abs() < 1e-9), "{:?}", found.weights);
        assert!(found.error < 1e-6 && found.spread > 1.0, "{} of {}", found.error, found.spread);
    }

    #[test]
    fn the_ridge_is_that_of_the_closed_form() {
        // One feature: the covariance over the variance and the penalty, all weighted.
        let (mut regression, mut rows) = (Regression::new(1), Vec::new());
        for i in 0..50 {
            let [x, noise, weight] = features(i);
            rows.push((x, 2.0 * x + noise, weight + 1.5));
            regression.add(&[x], 2.0 * x + noise, weight + 1.5);
        }
        let all: f64 = rows.iter().map(|(.., w)| w).sum();
        let mean = |of: &dyn Fn(f64, f64) -> f64| rows.iter().map(|(x, y, w)| w * of(*x, *y)).sum::<f64>() / all;
        let (mx, my) = (mean(&|x, _| x), mean(&|_, y| y));
        let slope = mean(&|x, y| (x - mx) * (y - my)) / (mean(&|x, _| (x - mx).powi(2)) + 1.0 / all);
        let found = regression.solve(1.0);
        assert!((found.weights[0] - slope).abs() < 1e-12, "{} for {slope}", found.weights[0]);
        let error = mean(&|x, y| (y - my - slope * (x - mx)).powi(2)).sqrt();
        assert!((found.error - error).abs() < 1e-12, "{} for {error}", found.error);
    }

    #[test]
    fn a_sample_alone_says_nothing() {
        let mut regression = Regression::new(2);
        regression.add(&[1.0, 1.0], 5.0, 1.0);
        regression.add(&[0.0, 1.0], 6.0, 0.0);
        let found = regression.solve(1.0);
        assert_eq!((found.weights, found.error, found.spread), (vec![0.0; 2], 0.0, 0.0));
    }
}
