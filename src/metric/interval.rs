//! A figure never stands alone: its 95 % interval and its denominator go with it.

/// The 0.975 quantile of the standard normal distribution: two-sided 95 %.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// A value with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Denominator: the cases behind it.
    pub n: u64,
    /// Numerator, for rates.
    pub count: Option<u64>,
}

/// `count` of `n` with Wilson's interval. With `n` = 0 the value is NaN and the interval all of [0, 1].
#[allow(clippy::cast_precision_loss)]
pub fn rate(count: u64, n: u64) -> Figure {
    let value = count as f64 / n as f64;
    let (low, high) = wilson(value, n as f64);
    Figure { value, low, high, n, count: Some(count) }
}

/// Wilson's score interval (1927) at 95 % for the share `value` of `n`; all of [0, 1] if `n` is not above 0. An
/// average of rates goes in with its effective `n`, which need not be whole (Korn and Graubard, 1998).
pub fn wilson(value: f64, n: f64) -> (f64, f64) {
    if n.is_nan() || n <= 0.0 {
        return (0.0, 1.0);
    }
    let centre = value + Z * Z / (2.0 * n);
    let half = Z * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // At the ends the formula gives 0 and 1; rounding must not move them.
    let low = if value <= 0.0 { 0.0 } else { (centre - half) / scale };
    let high = if value >= 1.0 { 1.0 } else { (centre + half) / scale };
    (low, high)
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
