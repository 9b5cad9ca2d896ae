//! Whether a part is worse than the rest, and what many such questions cost.

use statrs::distribution::{ContinuousCDF, DiscreteCDF, Hypergeometric, Normal, StudentsT};

use super::moments::Moments;

/// Cases beyond which the normal approximation stands in for Fisher's sum.
const EXACT_MAX: u64 = 20_000;

/// One-sided p that `count` of `n` is no lower rate than `others` of `rest`: Fisher's exact test, or the z test with a
/// pooled rate for more than 20 000 cases.
#[allow(clippy::cast_precision_loss)]
pub fn less_often((count, n): (u64, u64), (others, rest): (u64, u64)) -> f64 {
    let (all, held) = (n + rest, count + others);
    if all <= EXACT_MAX {
        return Hypergeometric::new(all, held, n).map_or(1.0, |draws| draws.cdf(count).min(1.0));
    }
    let pooled = held as f64 / all as f64;
    let error = (pooled * (1.0 - pooled) * (1.0 / n as f64 + 1.0 / rest as f64)).sqrt();
    let z = (count as f64 / n as f64 - others as f64 / rest as f64) / error;
    if z.is_nan() { 1.0 } else { Normal::standard().cdf(z) }
}

/// One-sided p that the mean of `part` is not above that of `rest`: Welch's t test (1947). 1 where either has fewer
/// than two values or both have no spread.
#[allow(clippy::cast_precision_loss)]
pub fn mean_above(part: &Moments, rest: &Moments) -> f64 {
    let (a, b) = (part.error(), rest.error());
    let freedom = (a + b).powi(2) / (a * a / (part.n() as f64 - 1.0) + b * b / (rest.n() as f64 - 1.0));
    let t = (part.mean() - rest.mean()) / (a + b).sqrt();
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(student) if part.n() > 1 && rest.n() > 1 && t.is_finite() => student.sf(t),
        _ => 1.0,
    }
}

/// Adjusts p values for their number (Holm, 1979): those below 0.05 are, all together, wrong with probability 0.05 at
/// most.
#[allow(clippy::cast_precision_loss)]
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut adjusted = vec![0.0; values.len()];
    let mut most: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        most = most.max(values[at] * (values.len() - rank) as f64).min(1.0);
        adjusted[at] = most;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lady_tasting_tea() {
        // Fisher (1935): 4 of 4 cups against 0 of 4 has p = 1/70.
        assert!((less_often((0, 4), (4, 4)) - 1.0 / 70.0).abs() < 1e-12);
        assert_eq!(less_often((5, 5), (5, 5)), 1.0);
    }

    #[test]
    fn holm_multiplies_the_least_most() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
