//! What the most important values do alone, and what is left without them.

use super::super::study::Study;
use super::super::view::{Output, View};
use super::places::Places;
use super::rank::order;
use super::{Given, Marks};
use crate::engine::OutputKind;
use crate::error::Result;

/// Steps of a curve, at most.
const STEPS: usize = 32;

/// Queries of a case, of both curves.
pub(super) const COST: u64 = 2 * (STEPS as u64 + 1);

/// The area under the curve of the class's probability while pixels are put into a picture that has none, the most
/// important first (Petsiuk and others 2018, arXiv:1806.07421), in up to 32 steps; values of other inputs likewise.
///
/// A pixel is as important as its channels together. What is not there is the mean of the reference rows, or zero. A
/// model that gives a value has no probability: its curve goes from 0 with nothing to 1 with everything.
pub(super) fn insertion(given: &Given<'_>) -> Result<Marks> {
    areas(given, true)
}

/// The same while they are taken out of the whole picture.
pub(super) fn deletion(given: &Given<'_>) -> Result<Marks> {
    areas(given, false)
}

fn areas(given: &Given<'_>, inserted: bool) -> Result<Marks> {
    let study = Study { view: View { output: Some(Output::Probability), ..given.study.view }, ..*given.study };
    let (mut marks, baseline) = (Vec::new(), given.baseline());
    for (i, case, explanation) in given.cases() {
        let places = Places::of(&study, case.x.len());
        let (from, to) = if inserted { (&baseline, &case.x) } else { (&case.x, &baseline) };
        let order = order(&places.sums(&explanation.attribution));
        let steps = STEPS.min(order.len()).max(1);
        let mut curve = study.values_at(i, steps + 1, |step, rows| {
            let start = rows.len();
            rows.extend(from);
            let done = &order[..order.len() * step / steps];
            done.iter().flat_map(|place| places.values(*place)).for_each(|at| rows[start + at] = to[at]);
        })?;
        if study.target.kind() == OutputKind::Value {
            let (first, last) = (curve[0], curve[steps]);
            let (nothing, all) = if inserted { (first, last) } else { (last, first) };
            curve.iter_mut().for_each(|value| *value = (*value - nothing) / (all - nothing));
        }
        marks.push(Some(area(&curve)));
    }
    Ok(marks)
}

/// By trapezoids, over a way of length 1.
#[allow(clippy::cast_precision_loss)]
fn area(curve: &[f64]) -> f64 {
    let parts = curve.windows(2).map(|ends| f64::midpoint(ends[0], ends[1]));
    parts.sum::<f64>() / (curve.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_trapezoids() {
        assert_eq!(area(&[0.0, 1.0]), 0.5);
        assert_eq!(area(&[0.0, 1.0, 1.0]), 0.75);
        assert_eq!(area(&[1.0, 0.5, 0.0, 0.0, 0.0]), 0.25);
    }
}
