//! Orders of values.

/// Places from the highest value to the lowest; equal ones in their own order.
pub(super) fn order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order
}

/// Spearman's rank correlation, equal values sharing the mean of their ranks; `None` where all values are equal.
pub(super) fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let size = (product(&a, &a) * product(&b, &b)).sqrt();
    (size > 0.0).then(|| product(&a, &b) / size)
}

/// Ranks less their mean.
#[allow(clippy::cast_precision_loss)]
fn ranks(values: &[f64]) -> Vec<f64> {
    let (order, mean) = (order(values), (values.len() as f64 - 1.0) / 2.0);
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = before as f64 + (equal.len() as f64 - 1.0) / 2.0 - mean;
        equal.iter().for_each(|place| ranks[*place] = shared);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_in_scipy() {
        let near = |a: &[f64], b: &[f64], r: f64| (spearman(a, b).unwrap() - r).abs() < 1e-12;
        assert!(near(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0], 1.0));
        assert!(near(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0));
        // scipy.stats.spearmanr([1, 2, 2, 3, 5], [2, 1, 4, 4, 5])
        assert!(near(&[1.0, 2.0, 2.0, 3.0, 5.0], &[2.0, 1.0, 4.0, 4.0, 5.0], 0.763_157_894_736_842_1));
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(order(&[1.0, 3.0, 3.0, 2.0]), [1, 2, 3, 0]);
    }
}
