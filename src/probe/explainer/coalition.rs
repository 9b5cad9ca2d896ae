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
    let (own, background) = (&study.cases[case], study.background);
    let mut worth = Vec::with_capacity(coalitions.len());
    for some in coalitions.chunks(study.batch().div_ceil(background.len().max(1))) {
        let mut rows = Vec::with_capacity(some.len() * background.len() * own.x.len());
        for coalition in some {
            let known: Vec<bool> = partition.of.iter().map(|group| coalition[*group]).collect();
            for other in background {
                let values = own.x.iter().zip(other).zip(&known);
                rows.extend(values.map(|((x, other), known)| if *known { *x } else { *other }));
            }
        }
        let values = study.values_of(case, rows)?;
        let means = values.chunks(background.len().max(1)).map(|v| v.iter().sum::<f64>() / v.len() as f64);
        worth.extend(means);
    }
    Ok(worth)
}

/// A subset of this size, all alike.
pub(super) fn some(values: usize, size: usize, rng: &mut Rng) -> Coalition {
    let mut known = vec![false; values];
    rng.sample(values, size).into_iter().for_each(|place| known[place] = true);
    known
}
