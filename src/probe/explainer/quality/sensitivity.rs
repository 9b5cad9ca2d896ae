//! Whether a small change of a case changes its explanation.

use super::super::study::{Case, Explanation, Study};
use super::{Given, Marks};
use crate::error::Result;
use crate::tensor::Rng;

/// Changed cases that are explained, as many as captum's.
pub(super) const SAMPLES: u64 = 10;

/// The largest change of a value, as a share of its range: captum's for values from 0 to 1.
const RADIUS: f64 = 0.02;

/// The largest change of an explanation among cases nearby, as a share of its own size (Yeh and others 2019,
/// arXiv:1901.09392): Euclidean norms, 10 cases drawn evenly with each value at most 2 % of its range away. An explainer
/// that draws random numbers draws the same for all of them.
///
/// The range is the declared one, else a picture's own, else from the value to zero.
pub(super) fn sensitivity_max(given: &Given<'_>) -> Result<Marks> {
    let study = given.study;
    if !study.input().dtype.is_float() {
        return Ok(vec![None; study.cases.len()]);
    }
    let mut marks = vec![None; study.cases.len()];
    for sample in 0..SAMPLES {
        let cases: Vec<Case> = study.cases.iter().map(|case| moved(study, case, sample)).collect();
        let again = given.explainer.study(&Study { cases: &cases, ..*study })?;
        for ((mark, own), other) in marks.iter_mut().zip(given.explanations).zip(&again) {
            let change = change(own, other);
            *mark = Some(mark.map_or(change, |most: f64| most.max(change)));
        }
    }
    Ok(marks)
}

#[allow(clippy::cast_possible_truncation)]
fn moved(study: &Study<'_>, case: &Case, sample: u64) -> Case {
    let mut rng = Rng::new(study.seed, "sensitivity_max", &case.id, sample);
    let (low, high) = case.x.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
    let range = match study.input().range {
        Some([low, high]) => Some(high - low),
        None => study.grid().map(|_| f64::from(high) - f64::from(low)),
    };
    let step = |x: &f32| {
        let reach = RADIUS * range.unwrap_or_else(|| f64::from(x.abs()));
        (f64::from(*x) + rng.range(-reach, reach)) as f32
    };
    Case { id: case.id.clone(), x: case.x.iter().map(step).collect(), class: case.class, mask: None }
}

/// As a share of the explanation's own size; of 1, where it has none.
fn change(own: &Explanation, other: &Explanation) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let (own, other) = (&own.attribution, &other.attribution);
    let size = norm(&mut own.iter().map(|a| f64::from(*a)));
    let apart = norm(&mut own.iter().zip(other).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    if size > 0.0 { apart / size } else { apart }
}
