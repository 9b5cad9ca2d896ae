//! How good explanations are, measured by asking the model further questions.
//!
//! A measure is a file with a function of explained cases ([`Given`]) that gives each case a number, or none where it has
//! no meaning. Its random numbers are keyed by the case and the measure alone, so that all explainers are put the same
//! questions. To add one: its file, its line in [`Questions::answer`] and its row in the table of metrics.

mod agreement;
mod curves;
mod infidelity;
mod mask;
mod places;
mod protected;
mod randomisation;
mod rank;
mod sensitivity;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::study::{Case, Explanation, Study};
use super::{Attributor, Input, Spent, Target};
use crate::error::Result;
pub(super) use agreement::Other;
use protected::Protected;

/// Names of the measures, which are those of the metrics.
pub const MEASURES: [&str; 10] = [
    "infidelity",
    "sensitivity_max",
    "insertion_auc",
    "deletion_auc",
    "model_randomisation",
    "pointing_game",
    "mask_share",
    "protected_share",
    "agreement",
    "top_overlap",
];

/// Parameters that all explainers share: what is asked of their explanations. They change no explanation.
pub const ASKED: [&str; 3] = ["quality", "protected", "agrees_with"];

/// Their values.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Questions {
    /// Whether it is measured how good the explanations are: `infidelity`, `sensitivity_max`, `insertion_auc`,
    /// `deletion_auc` and `model_randomisation`. That takes 131 queries more and eleven further explanations a case.
    quality: bool,
    /// Features whose share of all attribution is measured (`protected_share`), by name or number, such as `age sex`: what
    /// an answer should not rest on.
    protected: Option<Protected>,
    /// Another explainer, with its defaults, that explains the same: how far the two have the values in one order
    /// (`agreement`), and the share of the most important ones that they have in common (`top_overlap`).
    pub(super) agrees_with: Option<String>,
}

/// Explained cases, and what it takes to explain others.
pub(super) struct Given<'a> {
    pub(super) study: &'a Study<'a>,
    pub(super) explanations: &'a [Explanation],
    pub(super) explainer: &'a Attributor,
    /// The model after its weights were shuffled, about the same cases.
    pub(super) randomised: Option<&'a Target<'a>>,
}

/// What a case is worth by a measure; nothing where it has no meaning.
type Marks = Vec<Option<f64>>;

impl Given<'_> {
    /// The explained cases.
    fn cases(&self) -> impl Iterator<Item = (usize, &Case, &Explanation)> {
        let both = self.study.cases.iter().zip(self.explanations);
        both.enumerate().map(|(i, (case, explanation))| (i, case, explanation))
    }

    /// What stands for values that are not there: the mean of the reference rows; zero where there are none, and for
    /// tokens.
    fn baseline(&self) -> Vec<f32> {
        let study = self.study;
        let mean = study.mean_row().filter(|_| study.input().dtype.is_float());
        mean.unwrap_or_else(|| vec![0.0; study.input().len()])
    }
}

impl Questions {
    /// Whether the model with shuffled weights is asked too.
    pub(super) fn randomises(&self) -> bool {
        self.quality
    }

    /// Refuses an input that has no such features.
    pub(super) fn fits(&self, input: &Input) -> Result<()> {
        self.protected.iter().try_for_each(|protected| protected.places(input).map(|_| ()))
    }

    /// What explaining and measuring cost, if explaining costs `own`.
    pub(super) fn cost(&self, own: Spent) -> Spent {
        let (times, more) =
            if self.quality { (sensitivity::SAMPLES + 2, infidelity::COST + curves::COST) } else { (1, 0) };
        let all = |queries: u64| queries.saturating_mul(times);
        Spent { forward: all(own.forward).saturating_add(more), gradient: all(own.gradient) }
    }

    /// The measures of each case.
    pub(super) fn answer(&self, given: &Given<'_>) -> Result<Vec<BTreeMap<&'static str, f64>>> {
        let mut all = vec![BTreeMap::new(); given.explanations.len()];
        let mut keep = |name: &'static str, marks: Marks| {
            for (measures, mark) in all.iter_mut().zip(marks) {
                measures.extend(mark.filter(|mark| mark.is_finite()).map(|mark| (name, mark)));
            }
        };
        if self.quality {
            keep("infidelity", infidelity::infidelity(given)?);
            keep("sensitivity_max", sensitivity::sensitivity_max(given)?);
            keep("insertion_auc", curves::insertion(given)?);
            keep("deletion_auc", curves::deletion(given)?);
            keep("model_randomisation", randomisation::similarity(given)?);
        }
        keep("pointing_game", mask::pointing_game(given));
        keep("mask_share", mask::share(given));
        if let Some(protected) = &self.protected {
            keep("protected_share", protected.share(given)?);
        }
        if let Some(other) = &given.explainer.other {
            let (agreement, overlap) = agreement::with(given, other)?;
            keep("agreement", agreement);
            keep("top_overlap", overlap);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Level, known};

    #[test]
    fn measures_are_metrics_and_parameters_are_listed() {
        assert!(MEASURES.iter().all(|name| known(name).is_some_and(|known| known.level == Level::Point)));
        let schema = crate::probe::schema::<Questions>();
        let mut names: Vec<&str> =
            schema.get("properties").unwrap().as_object().unwrap().keys().map(|k| &**k).collect();
        let mut asked = ASKED;
        names.sort_unstable();
        asked.sort_unstable();
        assert_eq!(names, asked);
    }
}
