//! What a case is worth when only some of its groups of values are known.

use super::partition::Partition;
use super::study::Study;
use crate::error::Result;
use crate::tensor::Rng;

/// Which groups are known.
pub(super) type Coalition = Vec<bool>;

/// What each coalition of a case's groups is worth: the mean of what is explained over the background's rows, with the
/// known values of the case in each (the interventional value function; Janzing and others 2019, arXiv:1910.13413).
#[allow(clippy::cast_precision_loss)]
pub(super) fn worth(
    study: &Study<'_>,
    case: usize,
    partition: &Partition,
    coalitions: &[Coalition],
) -> Result<Vec<f64>> {
    let (own, background) = (&study.cases[case].x, study.background);
    let each = background.len().max(1);
    let values = study.values_at(case, coalitions.len() * background.len(), |i, rows| {
        let (coalition, other) = (&coalitions[i / each], &background[i % each]);
        let values = own.iter().zip(other).zip(&partition.of);
        rows.extend(values.map(|((x, other), group)| if coalition[*group] { *x } else { *other }));
    })?;
    Ok(values.chunks(each).map(|values| values.iter().sum::<f64>() / values.len() as f64).collect())
}

/// A subset of this size, all alike.
pub(super) fn some(values: usize, size: usize, rng: &mut Rng) -> Coalition {
    let mut known = vec![false; values];
    rng.sample(values, size).into_iter().for_each(|place| known[place] = true);
    known
}
