//! Linear equations of the size of an explanation.

/// The smallest pivot, as a share of the largest entry: below it a direction is not determined, and left at zero.
const LEAST: f64 = 1e-13;

/// Solves `matrix x = right`, `matrix` symmetric and positive semidefinite in row-major order, by Gauss's elimination with
/// the largest diagonal entry first.
pub(super) fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    let most = matrix.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let mut pivots: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = (0..n).collect();
    while let Some(at) = (0..left.len()).max_by(|a, b| {
        let diagonal = |i: &usize| matrix[left[*i] * n + left[*i]];
        diagonal(a).total_cmp(&diagonal(b)).then(b.cmp(a))
    }) {
        let pivot = left.swap_remove(at);
        if matrix[pivot * n + pivot] <= LEAST * most {
            break;
        }
        for &row in &left {
            let factor = matrix[row * n + pivot] / matrix[pivot * n + pivot];
            if factor != 0.0 {
                for column in 0..n {
                    matrix[row * n + column] -= factor * matrix[pivot * n + column];
                }
                right[row] -= factor * right[pivot];
            }
        }
        pivots.push(pivot);
    }
    let mut x = vec![0.0; n];
    for &pivot in pivots.iter().rev() {
        let known: f64 = (0..n).filter(|i| *i != pivot).map(|i| matrix[pivot * n + i] * x[i]).sum();
        x[pivot] = (right[pivot] - known) / matrix[pivot * n + pivot];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved_and_what_is_not_determined_is_zero() {
        // A^T A of a matrix without structure.
        let n = 12;
        let a = |i: usize, j: usize| ((i * 31 + j * 17 + 5) % 13) as f64 - 6.0 + f64::from(u8::from(i == j)) * 9.0;
        let matrix = (0..n * n).map(|at| (0..n).map(|k| a(k, at / n) * a(k, at % n)).sum()).collect::<Vec<f64>>();
        let expected: Vec<f64> = (0..n).map(|i| i as f64 - 4.0).collect();
        let right = (0..n).map(|i| (0..n).map(|j| matrix[i * n + j] * expected[j]).sum()).collect();
        let x = solve(matrix, right);
        assert!(x.iter().zip(&expected).all(|(x, e)| (x - e).abs() < 1e-6), "{x:?}");
        assert_eq!(solve(vec![4.0, 0.0, 0.0, 0.0], vec![2.0, 0.0]), [0.5, 0.0]);
        assert!(solve(Vec::new(), Vec::new()).is_empty());
    }
}
