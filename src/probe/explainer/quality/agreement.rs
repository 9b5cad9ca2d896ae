//! Whether two explainers say the same of a case.

use super::super::Other;
use super::super::study::Study;
use super::randomisation::sizes;
use super::rank::{order, spearman};
use super::{Given, Marks};
use crate::error::Result;

/// The most important values that are compared, at most; never more than half of all.
const TOP: usize = 5;

/// Spearman's rank correlation of the sizes of both explainers' attributions, and the share of the five most important
/// values that they have in common (Krishna and others 2022, The Disagreement Problem, arXiv:2202.01602).
#[allow(clippy::cast_precision_loss)]
pub(super) fn with(given: &Given<'_>, other: &Other) -> Result<(Marks, Marks)> {
    let theirs = (other.attributor.explain)(&Study { check: other.name, view: other.attributor.view, ..*given.study })?;
    let (mut agreement, mut overlap) = (Vec::new(), Vec::new());
    for (own, their) in given.explanations.iter().zip(&theirs) {
        let (own, their) = (sizes(own), sizes(their));
        agreement.push(spearman(&own, &their));
        let top = TOP.min(own.len() / 2).max(1);
        let (first, second) = (order(&own), order(&their));
        let common = first.iter().take(top).filter(|place| second[..top].contains(place)).count();
        overlap.push(Some(common as f64 / top as f64));
    }
    Ok((agreement, overlap))
}
