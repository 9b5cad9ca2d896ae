//! Means of measures over cases.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::Figure;
use super::sum::ExactSum;

/// Number, sum and sum of squares: all that a mean, its interval and its comparison need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    n: u64,
    sum: ExactSum,
    squares: ExactSum,
}

impl Moments {
    /// Takes in a value.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum.add(value);
        self.squares.add_product(value, value);
    }

    /// Those that are in `self` and not in `part`, which was a part of it.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let mut rest = self.clone();
        rest.n -= part.n;
        rest.sum.add_scaled(-1.0, &part.sum);
        rest.squares.add_scaled(-1.0, &part.squares);
        rest
    }

    /// Number of values.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// NaN without values.
    #[allow(clippy::cast_precision_loss)]
    pub fn mean(&self) -> f64 {
        self.sum.value() / self.n as f64
    }

    /// Sum of squared differences from the mean, over n - 1.
    #[allow(clippy::cast_precision_loss)]
    pub fn variance(&self) -> f64 {
        let (n, mean) = (self.n as f64, self.mean());
        // sum (x - m)^2 = sum x^2 + m (n m - 2 sum x), without rounding on the way.
        let mut inner = ExactSum::default();
        inner.add_product(n, mean);
        inner.add_scaled(-2.0, &self.sum);
        let mut spread = self.squares.clone();
        spread.add_scaled(mean, &inner);
        spread.value().max(0.0) / (n - 1.0)
    }

    /// Squared standard error of the mean.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn error(&self) -> f64 {
        self.variance() / self.n as f64
    }

    /// Two-sided p that the mean is 0: Student's t test. Values that are all alike decide it; fewer than two do not.
    #[allow(clippy::cast_precision_loss)]
    pub fn p_zero(&self) -> f64 {
        let t = self.mean().abs() / self.error().sqrt();
        match StudentsT::new(0.0, 1.0, self.n as f64 - 1.0) {
            Ok(student) if self.n >= 2 && t.is_finite() => 2.0 * student.sf(t),
            Ok(_) if self.n >= 2 && t == f64::INFINITY => 0.0,
            _ => 1.0,
        }
    }

    /// The mean with Student's interval at 95 %; unbounded for fewer than two values.
    pub fn figure(&self) -> Figure {
        student(self.mean(), self.error().sqrt(), self.n)
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

/// The mean, and the standard deviation over n as of a whole population; zeros without values.
#[allow(clippy::cast_precision_loss)]
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// `value` with Student's interval for a standard error on n - 1 degrees of freedom.
#[allow(clippy::cast_precision_loss)]
pub fn student(value: f64, error: f64, n: u64) -> Figure {
    let t = StudentsT::new(0.0, 1.0, n as f64 - 1.0).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975));
    // One value, or a measure that is infinite somewhere, bounds nothing.
    let half = if n >= 2 && error.is_finite() { t * error } else { f64::INFINITY };
    Figure { value, low: value - half, high: value + half, n, count: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Moments {
        values.iter().copied().collect()
    }

    #[test]
    fn students_interval_of_four_numbers() {
        // 3.182 * 1.2910 / 2 by the table of t with 3 degrees of freedom.
        let f = of(&[1.0, 2.0, 3.0, 4.0]).figure();
        assert!((f.value - 2.5).abs() < 1e-12 && (f.low - 0.4458).abs() < 1e-3 && (f.high - 4.5542).abs() < 1e-3);
        assert_eq!(of(&[1.0]).figure().high, f64::INFINITY);
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        let far: Vec<f64> = [1.0, 2.0, 3.0, 4.0].iter().map(|v| v + 1e12).collect();
        assert_eq!(of(&far).variance(), of(&[1.0, 2.0, 3.0, 4.0]).variance());
        assert_eq!(of(&[1.0, 2.0, 7.0]).without(&of(&[7.0])), of(&[1.0, 2.0]));
    }
}
