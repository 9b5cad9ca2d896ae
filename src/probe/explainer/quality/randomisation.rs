//! Whether explanations depend on what the model has learnt.

use super::super::study::{Explanation, Study};
use super::rank::spearman;
use super::{Given, Marks};
use crate::error::{Error, Result};

/// How alike the sizes of the attributions are, value by value, to those for the same graph with shuffled weights: the
/// size of Spearman's rank correlation (Adebayo and others 2018, arXiv:1810.03292; all layers at once).
///
/// Near 1 the explanation is of the case alone, not of the model. Values of which both say nothing, such as a picture's
/// black where attributions are multiplied by it, are left out: they would make all alike. Not measured where the
/// shuffled model fails or its explanation is not finite.
pub(super) fn similarity(given: &Given<'_>) -> Result<Marks> {
    let nothing = vec![None; given.explanations.len()];
    let Some(target) = given.randomised else { return Ok(nothing) };
    let others = match given.explainer.study(&Study { target, ..*given.study }) {
        Ok(others) => others,
        Err(Error::Invalid(_)) => return Ok(nothing),
        Err(e) => return Err(e),
    };
    let alike = |(own, other): (&Explanation, &Explanation)| {
        let finite = other.attribution.iter().all(|a| a.is_finite());
        let (own, other) = (sizes(own), sizes(other));
        let said = own.into_iter().zip(other).filter(|(own, other)| *own != 0.0 || *other != 0.0);
        let (own, other): (Vec<f64>, Vec<f64>) = said.unzip();
        finite.then(|| spearman(&own, &other)).flatten().map(f64::abs)
    };
    Ok(given.explanations.iter().zip(&others).map(alike).collect())
}

/// How much each value counts, whichever way.
pub(super) fn sizes(explanation: &Explanation) -> Vec<f64> {
    explanation.attribution.iter().map(|a| f64::from(a.abs())).collect()
}
