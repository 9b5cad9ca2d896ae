//! Whether attributions foretell what removing values does.

use super::places::Places;
use super::{Given, Marks};
use crate::error::Result;
use crate::tensor::Rng;

/// Removals of a case.
const REMOVALS: u64 = 64;

/// Queries of a case.
pub(super) const COST: u64 = REMOVALS + 1;

/// The mean squared difference between how far the score falls when some values are removed and what their attributions
/// say of it (Yeh and others 2019, arXiv:1901.09392), as a share of the mean squared fall: 0 foretells every fall, 1 is no
/// better than nothing.
///
/// From a picture squares are taken, the longest side half of the shorter one of the picture, from other inputs up to
/// half of all values. Attributions of any unit compare: they are multiplied by the best common factor (the paper's
/// optimal scaling), which is never negative, so that what points the wrong way does not count as right. Slopes, such as
/// a gradient, are multiplied by how far the values move.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn infidelity(given: &Given<'_>) -> Result<Marks> {
    let study = given.study;
    let clean = study.clean()?;
    let (mut marks, baseline) = (Vec::new(), given.baseline());
    for (i, case, explanation) in given.cases() {
        let places = Places::of(study, case.x.len());
        let mut rng = Rng::new(study.seed, "infidelity", &case.id, 0);
        let removals: Vec<Vec<usize>> =
            (0..REMOVALS).map(|_| removal(study.grid().is_some(), places, &mut rng)).collect();
        let after = study.values_at(i, removals.len(), |removal, rows| {
            let start = rows.len();
            rows.extend(&case.x);
            removals[removal].iter().for_each(|at| rows[start + at] = baseline[*at]);
        })?;
        let says = |at: &usize| {
            let way = if given.explainer.slopes() { f64::from(case.x[*at]) - f64::from(baseline[*at]) } else { 1.0 };
            f64::from(explanation.attribution[*at]) * way
        };
        let foretold = removals.iter().map(|removal| removal.iter().map(says).sum());
        marks.push(relative(&foretold.zip(after.iter().map(|after| clean[i] - after)).collect::<Vec<_>>()));
    }
    Ok(marks)
}

/// The values of a square, or of some places.
fn removal(square: bool, places: Places, rng: &mut Rng) -> Vec<usize> {
    let ([height, width], count) = (places.sides(), places.count());
    let picked: Vec<usize> = if square {
        let side = 1 + rng.below((height.min(width) / 2).max(1));
        let (top, left) = (rng.below(height - side + 1), rng.below(width - side + 1));
        (0..side * side).map(|i| (top + i / side) * width + left + i % side).collect()
    } else {
        let some = 1 + rng.below((count / 2).max(1));
        rng.sample(count, some)
    };
    picked.into_iter().flat_map(|place| places.values(place)).collect()
}

/// Of pairs of what was foretold and what came.
fn relative(pairs: &[(f64, f64)]) -> Option<f64> {
    let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let (foretold, both, came) = (sum(|(a, _)| a * a), sum(|(a, b)| a * b), sum(|(_, b)| b * b));
    let factor = if foretold > 0.0 { (both / foretold).max(0.0) } else { 0.0 };
    let missed: f64 = pairs.iter().map(|(a, b)| (factor * a - b).powi(2)).sum();
    (came > 0.0).then(|| missed / came)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_foretells_every_fall_has_none_and_what_is_turned_round_is_worth_nothing() {
        let near = |pairs: &[(f64, f64)], expected: f64| (relative(pairs).unwrap() - expected).abs() < 1e-12;
        assert!(near(&[(1.0, 1.0), (-2.0, -2.0)], 0.0));
        assert!(near(&[(10.0, 1.0), (-20.0, -2.0)], 0.0), "any unit");
        assert!(near(&[(-1.0, 1.0), (2.0, -2.0)], 1.0), "turned round");
        assert!(near(&[(0.0, 1.0)], 1.0));
        // By hand: the factor is 3 / 5, what is missed 0.16 + 0.04, what came 2.
        assert!(near(&[(1.0, 1.0), (2.0, 1.0)], 0.1));
        assert_eq!(relative(&[(1.0, 0.0)]), None);
    }
}
