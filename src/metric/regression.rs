//! How far values are off.

use super::interval::Figure;
use super::moments::{Moments, student};
use super::sum::{ExactSum, product};

/// Sums over cases of an expected value y and an error e.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Regression {
    absolute: Moments,
    squared: Moments,
    /// Sums of y, y^2, y^3 and y^4.
    powers: [ExactSum; 4],
    /// Sums of e^2, e^2 y and e^2 y^2.
    mixed: [ExactSum; 3],
    /// Sum of e^4.
    fourth: ExactSum,
}

impl Regression {
    /// Takes in a case.
    pub fn add(&mut self, expected: f64, predicted: f64) {
        let (y, e) = (expected, predicted - expected);
        self.absolute.add(e.abs());
        self.squared.add(e * e);
        let (yy, ee) = (product(y, y), product(e, e));
        self.powers[0].add(y);
        self.mixed[0].add(ee.0);
        self.mixed[0].add(ee.1);
        for (square, [second, third, fourth]) in [(yy.0, [1.0, y, yy.0]), (yy.1, [1.0, y, yy.0 + yy.0])] {
            self.powers[1].add_product(square, second);
            self.powers[2].add_product(square, third);
            self.powers[3].add_product(square, fourth);
        }
        self.powers[3].add_product(yy.1, yy.1);
        for square in [ee.0, ee.1] {
            self.mixed[1].add_product(square, y);
            self.mixed[2].add_product(square, yy.0);
            self.mixed[2].add_product(square, yy.1);
            self.fourth.add_product(square, ee.0);
            self.fourth.add_product(square, ee.1);
        }
    }

    /// Absolute errors.
    pub fn absolute(&self) -> &Moments {
        &self.absolute
    }

    /// Mean absolute error with Student's interval; `None` without cases.
    pub fn mae(&self) -> Option<Figure> {
        (self.absolute.n() > 0).then(|| self.absolute.figure())
    }

    /// Root of the mean squared error; the interval is the root of the mean's, which is Student's.
    pub fn rmse(&self) -> Option<Figure> {
        let mse = self.squared.figure();
        let root = |v: f64| v.max(0.0).sqrt();
        let (value, low, high) = (root(mse.value), root(mse.low), root(mse.high));
        (mse.n > 0).then_some(Figure { value, low, high, ..mse })
    }

    /// Coefficient of determination 1 - sum e^2 / sum (y - mean y)^2; `None` if all expected values are equal. It is
    /// at most 1, and below 0 for a model that is worse than the mean.
    ///
    /// Interval: Student's with the standard error of the delta method, cut at 1.
    #[allow(clippy::cast_precision_loss)]
    pub fn r2(&self) -> Option<Figure> {
        let n = self.absolute.n();
        let mean = self.powers[0].value() / n as f64;
        // Sums about the mean by Horner's scheme, without rounding on the way.
        let about = |coefficients: &[(f64, &ExactSum)]| {
            let step = |inner: ExactSum, (factor, sum): &(f64, &ExactSum)| {
                let mut next = inner.scaled(mean);
                next.add_scaled(*factor, sum);
                next
            };
            coefficients.iter().fold(ExactSum::default(), step).value()
        };
        let mut ones = ExactSum::default();
        ones.add(n as f64);
        let ([s1, s2, s3, s4], [e0, e1, e2]) = (&self.powers, &self.mixed);
        let total = about(&[(1.0, &ones), (-2.0, s1), (1.0, s2)]);
        if n < 2 || total.is_nan() || total <= 0.0 {
            return None;
        }
        let fourth = about(&[(1.0, &ones), (-4.0, s1), (6.0, s2), (-4.0, s3), (1.0, s4)]);
        let mixed = about(&[(1.0, e0), (-2.0, e1), (1.0, e2)]);
        let unexplained = e0.value() / total;
        // Of the influences e^2 - (1 - R^2) (y - mean)^2, whose mean is 0.
        let squares = self.fourth.value() - 2.0 * unexplained * mixed + unexplained * unexplained * fourth;
        let figure = student(1.0 - unexplained, squares.max(0.0).sqrt() / total, n);
        Some(Figure { high: figure.high.min(1.0), ..figure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_of_all_values_changes_nothing() {
        let fold = |shift: f64| {
            let mut regression = Regression::default();
            [(1.0, 1.5), (2.0, 1.0), (4.0, 4.25), (8.0, 7.0)]
                .iter()
                .for_each(|(y, p)| regression.add(y + shift, p + shift));
            regression
        };
        let (near, far) = (fold(0.0).r2().unwrap(), fold(1e9).r2().unwrap());
        assert_eq!(near.value, 1.0 - 2.3125 / 28.75);
        assert!((near.value - far.value).abs() < 1e-15 && (near.low - far.low).abs() < 1e-12, "{near:?} {far:?}");
        assert_eq!(fold(0.0).rmse().unwrap().value, (2.3125f64 / 4.0).sqrt());
    }

    #[test]
    fn equal_labels_have_no_r2() {
        let mut regression = Regression::default();
        [1.0, 2.0].iter().for_each(|p| regression.add(0.1, *p));
        assert_eq!(regression.r2(), None);
        assert!(regression.mae().is_some() && Regression::default().mae().is_none());
    }
}
