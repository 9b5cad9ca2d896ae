//! Floor 1: pure metrics with their intervals.

use statrs::distribution::{ContinuousCDF, Normal};

/// A share with its 95 % interval: a rate never stands alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub count: u64,
    pub n: u64,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// `count` of `n` with Wilson's score interval (1927) at 95 %. With `n` = 0 the interval is all of [0, 1].
#[allow(clippy::cast_precision_loss)]
pub fn rate(count: u64, n: u64) -> Rate {
    if n == 0 {
        return Rate { count, n, value: f64::NAN, low: 0.0, high: 1.0 };
    }
    let (total, value) = (n as f64, count as f64 / n as f64);
    let z = Normal::standard().inverse_cdf(0.975);
    let centre = value + z * z / (2.0 * total);
    let half = z * (value * (1.0 - value) / total + z * z / (4.0 * total * total)).sqrt();
    let scale = 1.0 + z * z / total;
    // At the ends the formula gives 0 and 1; rounding must not move them.
    let low = if count == 0 { 0.0 } else { (centre - half) / scale };
    let high = if count == n { 1.0 } else { (centre + half) / scale };
    Rate { count, n, value, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_at_nine_tenths_of_two_hundred() {
        // Newcombe's form of the interval, worked by hand: [.8506, .9343].
        let r = rate(180, 200);
        assert!((r.low - 0.8506).abs() < 5e-4 && (r.high - 0.9343).abs() < 5e-4, "{r:?}");
    }

    #[test]
    fn extremes_stay_inside_zero_and_one() {
        assert!(rate(0, 10).low == 0.0 && rate(0, 10).high > 0.2);
        assert!(rate(10, 10).high == 1.0 && rate(10, 10).low < 0.8);
        assert!(rate(0, 0).value.is_nan());
    }
}
