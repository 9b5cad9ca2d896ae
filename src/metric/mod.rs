//! Floor 1: pure metrics with their intervals.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A share with its 95 % interval: a rate never stands alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub count: u64,
    pub n: u64,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// `count` of `n` with Wilson's score interval at 95 %. With `n` = 0 the value is NaN and the interval all of [0, 1].
#[allow(clippy::cast_precision_loss)]
pub fn rate(count: u64, n: u64) -> Rate {
    let value = count as f64 / n as f64;
    let (low, high) = wilson(value, n);
    Rate { count, n, value, low, high }
}

/// Wilson's score interval (1927) at 95 % for the share `value` of `n`; all of [0, 1] if `n` = 0.
#[allow(clippy::cast_precision_loss)]
pub fn wilson(value: f64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let total = n as f64;
    let z = Normal::standard().inverse_cdf(0.975);
    let centre = value + z * z / (2.0 * total);
    let half = z * (value * (1.0 - value) / total + z * z / (4.0 * total * total)).sqrt();
    let scale = 1.0 + z * z / total;
    // At the ends the formula gives 0 and 1; rounding must not move them.
    let low = if value <= 0.0 { 0.0 } else { (centre - half) / scale };
    let high = if value >= 1.0 { 1.0 } else { (centre + half) / scale };
    (low, high)
}

/// Mean with Student's interval at 95 %; unbounded for fewer than two values.
#[allow(clippy::cast_precision_loss)]
pub fn mean(values: impl Iterator<Item = f64> + Clone) -> (f64, f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    match StudentsT::new(0.0, 1.0, n - 1.0) {
        Ok(t) if n >= 2.0 => {
            let half = t.inverse_cdf(0.975) * (variance / n).sqrt();
            (mean, mean - half, mean + half)
        }
        _ => (mean, f64::NEG_INFINITY, f64::INFINITY),
    }
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

    #[test]
    fn students_interval_of_four_numbers() {
        // 3.182 * 1.2910 / 2 by the table of t with 3 degrees of freedom.
        let (mean, low, high) = mean([1.0, 2.0, 3.0, 4.0].into_iter());
        assert!((mean - 2.5).abs() < 1e-12 && (low - 0.4458).abs() < 1e-3 && (high - 4.5542).abs() < 1e-3);
    }
}
