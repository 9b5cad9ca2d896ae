//! What is explained: one number, as a function of the model's scores.

use ndarray::ArrayView1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::OutputKind;

/// Parameters that all explainers share.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(in crate::probe) struct View {
    /// The class whose score is explained: `predicted`, `label` (of several acceptable ones the first), or an index. A
    /// model that gives a value has one score alone.
    pub(super) target: Of,
    /// The score: `logit`, or `probability`. If left out, what the model itself gives.
    pub(super) output: Option<Output>,
}

/// Which class's score is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Of {
    Answer(Answer),
    Class(usize),
}

/// A class that follows from the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Predicted,
    Label,
}

impl Default for Of {
    fn default() -> Self {
        Self::Answer(Answer::Predicted)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::probe) enum Output {
    Logit,
    Probability,
}

impl View {
    /// Of a score.
    pub(in crate::probe) fn new(output: Option<Output>) -> Self {
        Self { target: Of::default(), output }
    }

    /// The number that is explained.
    pub(super) fn value(self, scores: ArrayView1<'_, f64>, class: usize, kind: OutputKind) -> f64 {
        match (self.output, kind) {
            (Some(Output::Probability), OutputKind::Logits) | (Some(Output::Logit), OutputKind::Probabilities) => {
                self.of(&scores.to_vec(), class, kind).0
            }
            _ => scores[class],
        }
    }

    /// The number that is explained, and its derivatives by the scores. Probabilities are a softmax of logits, and logits
    /// their logarithms, of 2.2e-16 at the least; the model's own differ from these by the same number for all classes.
    pub(super) fn of(self, scores: &[f64], class: usize, kind: OutputKind) -> (f64, Vec<f64>) {
        let one = |value: f64| {
            let mut derivative = vec![0.0; scores.len()];
            derivative[class] = value;
            derivative
        };
        match (self.output, kind) {
            (Some(Output::Probability), OutputKind::Logits) => {
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                let p = |class: usize| (scores[class] - top).exp() / sum;
                let value = p(class);
                (value, (0..scores.len()).map(|j| value * (f64::from(u8::from(j == class)) - p(j))).collect())
            }
            (Some(Output::Logit), OutputKind::Probabilities) => {
                let p = scores[class].max(f64::EPSILON);
                (p.ln(), one(if scores[class] > f64::EPSILON { p.recip() } else { 0.0 }))
            }
            _ => (scores[class], one(1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_values() {
        let scores = [0.3, 0.5, 0.2];
        for kind in [OutputKind::Logits, OutputKind::Probabilities] {
            for output in [None, Some(Output::Logit), Some(Output::Probability)] {
                let view = View { output, ..View::default() };
                let (_, derivative) = view.of(&scores, 1, kind);
                for (j, d) in derivative.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut scores = scores;
                        scores[j] += by;
                        view.of(&scores, 1, kind).0
                    };
                    assert!(((moved(1e-6) - moved(-1e-6)) / 2e-6 - d).abs() < 1e-8, "{output:?} of {kind:?}");
                }
            }
        }
    }
}
