//! How good answers are, as a figure of each case and of all together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Answer, OutputKind};
use crate::metric::{Average, Confusion, Figure, Likelihood, Moments};
use crate::tensor::argmax;

/// A metric that an audit can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Metric {
    Accuracy,
    Top5Accuracy,
    PrecisionMacro,
    RecallMacro,
    F1Macro,
    Nll,
    Brier,
    R2,
    Mae,
    Rmse,
}

/// Classes that the code of a label and a prediction tells apart.
pub(super) const CLASSES: u32 = 1 << 24;

impl Metric {
    /// The usual one of such a model.
    pub(super) fn usual(kind: OutputKind) -> Self {
        if kind == OutputKind::Value { Self::R2 } else { Self::Accuracy }
    }

    /// Whether it is of values, not of classes.
    pub(super) fn is_of_values(self) -> bool {
        matches!(self, Self::R2 | Self::Mae | Self::Rmse)
    }

    /// What a case adds: the share that is right, a loss, a squared error; of metrics over classes the code of its label and
    /// prediction. NaN where no answer is expected.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn of(self, answer: &Answer, scores: &[f32], kind: OutputKind) -> f64 {
        if let (Answer::Value(expected), true, Some(value)) = (answer, self.is_of_values(), scores.first()) {
            let error = f64::from(*value) - expected;
            return if self == Self::Mae { error.abs() } else { error * error };
        }
        let Answer::Classes(right) = answer else { return f64::NAN };
        let predicted = argmax(scores);
        let held = right.contains(&predicted);
        // Of several acceptable classes the label is the prediction if it is one of them.
        let Some(label) = (if held { Some(predicted) } else { right.first().copied() }) else { return f64::NAN };
        let likelihood = Likelihood::new(scores, kind == OutputKind::Probabilities);
        match self {
            Self::Accuracy => f64::from(u8::from(held)),
            Self::Top5Accuracy => f64::from(u8::from(right.iter().any(|class| likelihood.rank(*class) < 5))),
            Self::Nll => likelihood.nll(label),
            Self::Brier => likelihood.brier(label),
            Self::PrecisionMacro | Self::RecallMacro | Self::F1Macro => {
                label as f64 * f64::from(CLASSES) + predicted as f64
            }
            Self::R2 | Self::Mae | Self::Rmse => f64::NAN,
        }
    }

    /// Whether it is over classes, of which [`CLASSES`] are told apart.
    pub(super) fn is_over_classes(self) -> bool {
        matches!(self, Self::PrecisionMacro | Self::RecallMacro | Self::F1Macro)
    }

    /// The metric over cases, of what each adds; `truth` is the expected value of each. Higher is better: losses and errors
    /// count negative, as scikit-learn's scorers do. `None` of R2 where all expected values are equal.
    pub(super) fn value(self, adds: &[f64], truth: &[f64]) -> Option<f64> {
        match self {
            Self::Accuracy | Self::Top5Accuracy => Some(mean(adds)),
            Self::Nll | Self::Brier | Self::Mae => Some(-mean(adds)),
            Self::Rmse => Some(-mean(adds).sqrt()),
            Self::R2 => Some(spread(truth)).filter(|spread| *spread > 0.0).map(|spread| 1.0 - mean(adds) / spread),
            Self::PrecisionMacro => over_classes(adds, |c| c.precision(Average::Macro)),
            Self::RecallMacro => over_classes(adds, |c| c.recall(Average::Macro)),
            Self::F1Macro => over_classes(adds, |c| c.f1(Average::Macro)),
        }
    }

    /// How much each case moves the metric (its influence, whose spread is the metric's standard error by the delta
    /// method); `None` for metrics over classes.
    pub(super) fn influence(self, adds: &[f64], truth: &[f64]) -> Option<Vec<f64>> {
        let each = |f: &dyn Fn(f64) -> f64| Some(adds.iter().map(|add| f(*add)).collect());
        match self {
            Self::Accuracy | Self::Top5Accuracy => each(&|add| add),
            Self::Nll | Self::Brier | Self::Mae => each(&|add| -add),
            Self::Rmse => {
                let root = mean(adds).sqrt();
                each(&|add| if root > 0.0 { -add / (2.0 * root) } else { 0.0 })
            }
            Self::R2 => {
                let (spread, centre) = (spread(truth), mean(truth));
                let share = mean(adds) / spread;
                let of = |(add, y): (&f64, &f64)| -(add - share * (y - centre).powi(2)) / spread;
                Some(adds.iter().zip(truth).map(of).collect())
            }
            Self::PrecisionMacro | Self::RecallMacro | Self::F1Macro => None,
        }
    }
}

/// The expected value of an answer; 0 of classes.
pub(super) fn truth(answer: &Answer) -> f64 {
    if let Answer::Value(value) = answer { *value } else { 0.0 }
}

/// `value` with Student's interval of the mean of `influences`.
pub(super) fn around(value: f64, influences: impl IntoIterator<Item = f64>) -> Figure {
    let figure = influences.into_iter().collect::<Moments>().figure();
    let half = figure.high - figure.value;
    Figure { value, low: value - half, high: value + half, ..figure }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean squared difference from the mean.
fn spread(values: &[f64]) -> f64 {
    let centre = mean(values);
    mean(&values.iter().map(|v| (v - centre).powi(2)).collect::<Vec<_>>())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn over_classes(codes: &[f64], figure: impl Fn(&Confusion) -> Option<Figure>) -> Option<f64> {
    let mut confusion = Confusion::default();
    for code in codes {
        let classes = f64::from(CLASSES);
        confusion.add((code / classes) as u32, (code % classes) as u32);
    }
    figure(&confusion).map(|figure| figure.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_folded_from_what_cases_add() {
        let answers = [0usize, 1, 1, 0].map(|class| Answer::Classes(vec![class]));
        let scores = [[0.9f32, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]];
        let of = |metric: Metric| {
            let adds: Vec<f64> = answers
                .iter()
                .zip(&scores)
                .map(|(answer, scores)| metric.of(answer, scores, OutputKind::Probabilities))
                .collect();
            metric.value(&adds, &[0.0; 4]).unwrap()
        };
        assert_eq!(of(Metric::Accuracy), 0.75);
        // Class 0 has precision 2/3 and recall 1, class 1 precision 1 and recall 1/2.
        assert!((of(Metric::PrecisionMacro) - 5.0 / 6.0).abs() < 1e-12);
        assert!((of(Metric::RecallMacro) - 0.75).abs() < 1e-12);
        assert!((of(Metric::F1Macro) - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let nll = -(0.9f64.ln() + 0.8f64.ln() + 0.3f64.ln() + 0.6f64.ln()) / 4.0;
        assert!((of(Metric::Nll) + nll).abs() < 1e-6);
    }

    #[test]
    fn values_have_r2_and_errors() {
        let truth = [1.0, 2.0, 3.0];
        let adds = |metric: Metric| -> Vec<f64> {
            let value = |y: &f64| metric.of(&Answer::Value(*y), &[*y as f32 + 0.5], OutputKind::Value);
            truth.iter().map(value).collect()
        };
        assert!((Metric::R2.value(&adds(Metric::R2), &truth).unwrap() - (1.0 - 0.75 / 2.0)).abs() < 1e-9);
        assert_eq!(Metric::R2.value(&[0.25; 3], &[2.0; 3]), None);
        assert!((Metric::Rmse.value(&adds(Metric::Rmse), &truth).unwrap() + 0.5).abs() < 1e-9);
        // Influences of a ratio add up to nothing about its value.
        let influence = Metric::R2.influence(&adds(Metric::R2), &truth).unwrap();
        assert!(influence.iter().sum::<f64>().abs() < 1e-9);
        assert!(Metric::Mae.of(&Answer::Classes(vec![0]), &[0.1, 0.9], OutputKind::Probabilities).is_nan());
    }
}
