//! Whether two explainers say the same of a case.

use serde_json::{Map, Value};

use super::super::study::Study;
use super::super::{Attributor, EXPLAINERS, find};
use super::randomisation::sizes;
use super::rank::{order, spearman};
use super::{Given, Marks};
use crate::engine::{Input, Layer, Output};
use crate::error::{Error, Result, nearest};
use crate::probe::Manual;

/// The most important values that are compared, at most; never more than half of all.
const TOP: usize = 5;

/// An explainer that another one is compared with.
pub(in super::super) struct Other {
    pub(in super::super) manual: &'static Manual,
    pub(in super::super) attributor: Box<Attributor>,
}

impl Other {
    /// The explainer of this name as it is by default, of the same class and output as one with these parameters.
    /// `layer` is the inner tensor that the one differentiates with respect to.
    pub(in super::super) fn read(name: &str, layer: Option<Layer>, params: &Map<String, Value>) -> Result<Self> {
        let entry = find(name).ok_or_else(|| {
            let hint = nearest(name, EXPLAINERS.iter().map(|entry| entry.manual.name));
            let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
            refuse(&format!("there is no explainer `{name}`{hint}"))
        })?;
        let same = params.iter().filter(|(key, _)| ["target", "output"].contains(&key.as_str()));
        let attributor = (entry.read)(&same.map(|(key, value)| (key.clone(), value.clone())).collect())?;
        if layer.is_some() && attributor.layer().is_some() && layer != attributor.layer() {
            return Err(refuse("the two look at different layers"));
        }
        Ok(Self { manual: &entry.manual, attributor: Box::new(attributor) })
    }

    /// Refuses an input that it cannot explain.
    pub(in super::super) fn fits(&self, input: &Input) -> Result<()> {
        self.attributor.fits(input).map_err(|e| self.refuse(&e))
    }

    /// Refuses a judged output for which it has no meaning.
    pub(in super::super) fn answers(&self, output: &Output) -> Result<()> {
        self.attributor.answers(output).map_err(|e| self.refuse(&e))
    }

    fn refuse(&self, why: &Error) -> Error {
        refuse(&format!("{}: {why}", self.manual.name))
    }
}

fn refuse(what: &str) -> Error {
    Error::invalid("params.agrees_with", what)
}

/// Spearman's rank correlation of the sizes of both explainers' attributions, and the share of the five most important
/// values that they have in common (Krishna and others 2022, The Disagreement Problem, arXiv:2202.01602).
#[allow(clippy::cast_precision_loss)]
pub(super) fn with(given: &Given<'_>, other: &Other) -> Result<(Marks, Marks)> {
    let (attributor, check) = (&other.attributor, other.manual.name);
    let theirs = attributor.study(&Study { check, view: attributor.view(), ..*given.study })?;
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
