//! What corruptions change.

use crate::probe::Kind;
use crate::tensor::{Pixels, Rng};

/// The probed input of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    Picture(Pixels),
    Row(Row),
    Sequence(Sequence),
    Text(String),
}

/// The features of a table's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub values: Vec<f64>,
    /// The declared bounds of all features, if any.
    pub range: Option<[f64; 2]>,
}

impl Row {
    /// What a change of this feature is measured in: the given scale, or the width of the range, or the value's size.
    pub(super) fn unit(&self, feature: usize, scale: Option<f64>) -> f64 {
        scale.or(self.range.map(|[low, high]| high - low)).unwrap_or(self.values[feature].abs())
    }

    /// Sets a feature, within the range.
    pub(super) fn set(&mut self, feature: usize, value: f64) {
        self.values[feature] = within(value, self.range);
    }
}

/// The value, or the nearest end of the range.
pub(super) fn within(value: f64, range: Option<[f64; 2]>) -> f64 {
    range.map_or(value, |[low, high]| value.clamp(low, high))
}

/// Numbers over time, such as sound: steps, then the features of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub values: Vec<f64>,
    /// Features of one step; divides the number of values.
    pub features: usize,
    /// The declared bounds, if any.
    pub range: Option<[f64; 2]>,
}

/// Positions below `n` drawn without repetition, in ascending order: a share of all, but at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn drawn(n: usize, share: f64, rng: &mut Rng) -> Vec<usize> {
    let count = ((n as f64 * share).round() as usize).clamp(1, n.max(1)).min(n);
    let mut all: Vec<usize> = (0..n).collect();
    for i in 0..count {
        all.swap(i, i + rng.below(n - i));
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// One kind of sample, so that a corruption names the kind it takes by its type.
pub(super) trait Input: Sized {
    const KIND: Kind;
    /// This kind's part; `None` for a sample of another kind.
    fn of(sample: &mut Sample) -> Option<&mut Self>;
}

macro_rules! input {
    ($type:ty, $kind:ident) => {
        impl Input for $type {
            const KIND: Kind = Kind::$kind;
            fn of(sample: &mut Sample) -> Option<&mut Self> {
                if let Sample::$kind(input) = sample { Some(input) } else { None }
            }
        }
    };
}

input!(Pixels, Picture);
input!(Row, Row);
input!(Sequence, Sequence);
input!(String, Text);
