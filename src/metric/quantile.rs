//! Quantiles, and the median of values of which some are only known to be large.

use super::interval::{Figure, Z};

/// The median of `found` and of `censored` values that lie above all of them, with the order statistics that enclose
/// it with 95 % (normal approximation of the binomial rank). `None` where the median or an end is not known: too few
/// values, or too many censored ones.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn median(found: &[f64], censored: u64) -> Option<Figure> {
    let mut sorted = found.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as u64 + censored;
    let at = |rank: f64| sorted.get(usize::try_from(rank.max(1.0) as u64 - 1).ok()?).copied();
    let centre = n as f64 / 2.0;
    let half = Z * (n as f64).sqrt() / 2.0;
    let value =
        if n.is_multiple_of(2) { f64::midpoint(at(centre)?, at(centre + 1.0)?) } else { at((centre + 0.5).floor())? };
    let (low, high) = (at((centre - half).floor())?, at((centre + half).ceil().min(n as f64))?);
    Some(Figure { value, low: low.min(value), high: high.max(value), n, count: None })
}

/// The quantile of sorted values, between the two nearest as NumPy takes it by default; 0 without values.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(0.0);
    at(place.floor()) + place.fract() * (at(place.ceil()) - at(place.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        // numpy.quantile(range(1, 11), [0, 0.05, 0.25, 0.5, 1]).
        for (share, expected) in [(0.0, 1.0), (0.05, 1.45), (0.25, 3.25), (0.5, 5.5), (1.0, 10.0)] {
            assert!((quantile(&sorted, share) - expected).abs() < 1e-12, "{share}");
        }
        assert_eq!((quantile(&[3.0], 0.9), quantile(&[], 0.5)), (3.0, 0.0));
    }

    #[test]
    fn the_median_stands_among_found_and_censored_values() {
        let found: Vec<f64> = (1..=99).map(f64::from).collect();
        let figure = median(&found, 0).unwrap();
        // Ranks 50 -+ 9.75, outwards.
        assert_eq!((figure.value, figure.low, figure.high, figure.n), (50.0, 39.0, 60.0, 99));
        let censored = median(&found, 50).unwrap();
        assert_eq!((censored.value, censored.n), (75.0, 149));
        assert_eq!(median(&found, 98), None);
        assert_eq!(median(&[], 3), None);
        assert_eq!(median(&[2.0, 1.0], 0).map(|f| f.value), Some(1.5));
    }
}
