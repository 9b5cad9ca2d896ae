//! An input that says nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::study::{Study, one_row};

/// What stands for a value that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Baseline {
    Word(Word),
    Number(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Zero,
    Mean,
}

impl Default for Baseline {
    fn default() -> Self {
        Self::Word(Word::Zero)
    }
}

impl Baseline {
    /// For an `x`: a number for all values, or the mean of each channel of a picture, and of all values of another input.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn of(self, x: &[f32], study: &Study<'_>) -> Vec<f32> {
        match self {
            Self::Word(Word::Zero) => vec![0.0; x.len()],
            Self::Number(number) => vec![number as f32; x.len()],
            Self::Word(Word::Mean) => {
                let ([channels, ..], [stride, ..]) = study.grid().unwrap_or_else(|| one_row(x.len()));
                let channel = |i: usize| i / stride.max(1) % channels;
                let mut sums = vec![(0.0, 0.0); channels];
                for (i, x) in x.iter().enumerate() {
                    let (sum, count) = &mut sums[channel(i)];
                    (*sum, *count) = (*sum + f64::from(*x), *count + 1.0);
                }
                (0..x.len()).map(|i| (sums[channel(i)].0 / sums[channel(i)].1) as f32).collect()
            }
        }
    }
}
