//! Whether what counts lies where a person says that the object is. Costs no queries.

use super::places::Places;
use super::rank::order;
use super::{Given, Marks};

/// 1 if the most important pixel lies in the case's mask, 0 if not (Zhang and others 2016, arXiv:1608.00507), without
/// the paper's tolerance of some pixels around it.
pub(super) fn pointing_game(given: &Given<'_>) -> Marks {
    marks(given, |sums, mask| order(sums).first().map(|top| f64::from(u8::from(mask[*top]))))
}

/// The share of all positive attribution that lies in the case's mask.
pub(super) fn share(given: &Given<'_>) -> Marks {
    marks(given, |sums, mask| {
        let positive = || sums.iter().zip(mask).map(|(sum, inside)| (sum.max(0.0), *inside));
        let all: f64 = positive().map(|(sum, _)| sum).sum();
        let inside: f64 = positive().filter(|(_, inside)| *inside).map(|(sum, _)| sum).sum();
        (all > 0.0).then(|| inside / all)
    })
}

/// Of cases that have a mask.
fn marks(given: &Given<'_>, mark: fn(&[f64], &[bool]) -> Option<f64>) -> Marks {
    let cases = given.cases().map(|(_, case, explanation)| {
        let places = Places::of(given.study, case.x.len());
        let mask = case.mask.as_ref().filter(|mask| mask.len() == places.count())?;
        mark(&places.sums(&explanation.attribution), mask)
    });
    cases.collect()
}
