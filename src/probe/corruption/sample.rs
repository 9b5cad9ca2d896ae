//! What corruptions change.

use crate::probe::Kind;
use crate::tensor::Pixels;

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

/// Numbers over time, such as sound: steps, then the features of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub values: Vec<f64>,
    /// Features of one step; divides the number of values.
    pub features: usize,
    /// The declared bounds, if any.
    pub range: Option<[f64; 2]>,
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
