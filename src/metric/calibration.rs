//! Whether confidences are what they say.

use super::interval::{Figure, Z};
use super::sum::ExactSum;

/// Bins of equal width, as in Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv:1706.04599).
const BINS: usize = 15;

/// Confidences of predicted classes against how often they are right, in bins (low, high].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    n: u64,
    right: [u64; BINS],
    confidence: [ExactSum; BINS],
    /// Squared differences between confidence and 1 or 0.
    squares: ExactSum,
}

impl Calibration {
    /// Takes in a prediction; `confidence` is in [0, 1].
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn add(&mut self, confidence: f64, right: bool) {
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let gap = confidence - f64::from(u8::from(right));
        self.n += 1;
        self.right[bin] += u64::from(right);
        self.confidence[bin].add(confidence);
        self.squares.add_product(gap, gap);
    }

    /// Expected calibration error: mean over cases of |mean confidence - share right| of the case's bin. `None`
    /// without cases.
    ///
    /// Interval: normal, with the standard error of the delta method (the side on which each bin errs is taken as
    /// given), cut to [0, 1]. For few cases the ECE itself is too high on average.
    #[allow(clippy::cast_precision_loss)]
    pub fn ece(&self) -> Option<Figure> {
        let n = self.n as f64;
        let bins = self.confidence.iter().zip(&self.right);
        let value = bins.map(|(sum, right)| (sum.value() - *right as f64).abs()).sum::<f64>() / n;
        let variance = (self.squares.value() / n - value * value).max(0.0);
        let half = Z * (variance / n).sqrt();
        let (low, high) = ((value - half).max(0.0), (value + half).min(1.0));
        (self.n > 0).then_some(Figure { value, low, high, n: self.n, count: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_right_at_nine_tenths_errs_by_four_tenths() {
        let mut calibration = Calibration::default();
        (0..100).for_each(|i| calibration.add(0.9, i % 2 == 0));
        let ece = calibration.ece().unwrap();
        // The standard error is that of 50 in 100: 0.05.
        assert!((ece.value - 0.4).abs() < 1e-12 && (ece.high - 0.4 - Z * 0.05).abs() < 1e-12, "{ece:?}");
        assert_eq!(Calibration::default().ece(), None);
    }
}
