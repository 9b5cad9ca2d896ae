//! Two models on the same cases.

use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

use super::interval::{Figure, wilson};

/// McNemar's test (1947) on the cases that only one of two models has right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// Two-sided exact p.
    pub exact: f64,
    /// Two-sided mid-p, which is less timid (Fagerland, Lydersen and Laake, 2013).
    pub mid: f64,
}

/// The test for `only_a` and `only_b` such cases.
#[allow(clippy::cast_precision_loss)]
pub fn mcnemar(only_a: u64, only_b: u64) -> McNemar {
    let (least, all) = (only_a.min(only_b), only_a + only_b);
    let Ok(coin) = Binomial::new(0.5, all) else { return McNemar { exact: 1.0, mid: 1.0 } };
    let (below, at) = (coin.cdf(least), coin.pmf(least));
    McNemar { exact: (2.0 * below).min(1.0), mid: (2.0 * below - at).min(1.0) }
}

/// Share right of B less that of A, over cases that both have: `both` right, `only_a`, `only_b`, `neither`. `None`
/// without cases.
///
/// Interval: Newcombe's square-and-add of Wilson's intervals with corrected correlation (Statistics in Medicine 17,
/// 1998, p. 2635: method 10).
#[allow(clippy::cast_precision_loss, clippy::many_single_char_names)]
pub fn difference(both: u64, only_a: u64, only_b: u64, neither: u64) -> Option<Figure> {
    let n = both + only_a + only_b + neither;
    let [e, f, g, h, total] = [both, only_b, only_a, neither, n].map(|count| count as f64);
    let (a, b) = ((e + g) / total, (e + f) / total);
    let ((low_a, high_a), (low_b, high_b)) = (wilson(a, total), wilson(b, total));
    let margins = (e + f) * (g + h) * (e + g) * (f + h);
    let crossed = e * h - f * g;
    let corrected = if crossed > 0.0 { (crossed - total / 2.0).max(0.0) } else { crossed };
    let phi = if margins > 0.0 { corrected / margins.sqrt() } else { 0.0 };
    let add = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
    let value = (f - g) / total;
    let (low, high) = (value - add(b - low_b, high_a - a), value + add(high_b - b, a - low_a));
    (n > 0).then_some(Figure { value, low: low.max(-1.0), high: high.min(1.0), n, count: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn airways_before_and_after() {
        // Fagerland, Lydersen and Laake (2014) on the data of Bentur et al.: [0.026, 0.507].
        let d = difference(1, 1, 7, 12).unwrap();
        assert!((d.value - 6.0 / 21.0).abs() < 1e-12, "{d:?}");
        assert!((d.low - 0.026).abs() < 5e-4 && (d.high - 0.507).abs() < 5e-4, "{d:?}");
    }

    #[test]
    fn models_that_agree_everywhere_do_not_differ() {
        let d = difference(10, 0, 0, 0).unwrap();
        assert!(d.value == 0.0 && d.low < 0.0 && d.high > 0.0);
        assert_eq!((mcnemar(0, 0).exact, mcnemar(0, 0).mid), (1.0, 1.0));
        assert_eq!(difference(0, 0, 0, 0), None);
    }
}
