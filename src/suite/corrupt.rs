//! From a case's tensor to what a corruption changes, and back.

use ndarray::{ArrayD, IxDyn};

use crate::engine::{Input, Layout, from_pixels, to_pixels};
use crate::error::{Error, Result};
use crate::probe::Kind;
use crate::probe::corruption::{Corrupter, Row, Sample, Sequence};
use crate::tensor::{DType, Rng, Tensor};

/// What a model's input is to a corruption; `None` if no corruption knows it.
pub(super) fn kind(input: &Input) -> Option<Kind> {
    let float = matches!(input.dtype, DType::F32 | DType::F64);
    match input.layout {
        _ if input.is_image() => Some(Kind::Picture),
        Layout::Nf if float && input.shape.len() == 1 => Some(Kind::Row),
        Layout::Nt if float && input.shape.len() == 1 => Some(Kind::Sequence),
        Layout::Ntf if float && input.shape.len() == 2 => Some(Kind::Sequence),
        _ => None,
    }
}

/// The row `x` `[1, ...]` corrupted; pictures on the uint8 grid of the input's range (or of [0, 1]).
pub(super) fn corrupt(x: &Tensor, input: &Input, corrupter: &Corrupter, rng: &mut Rng) -> Result<Tensor> {
    let range = input.range;
    let unit = if matches!(x, Tensor::U8(_)) { 255.0 } else { 1.0 };
    let values = || x.to_f64().into_iter().map(|v| v / unit).collect();
    let mut sample = match kind(input) {
        Some(Kind::Picture) => {
            let grid = to_grid(&x.row(0), range.unwrap_or([0.0, 1.0]))?;
            Sample::Picture(to_pixels(&grid, input.layout)?)
        }
        Some(Kind::Row) => Sample::Row(Row { values: values(), range }),
        Some(Kind::Sequence) => {
            let features = if input.layout == Layout::Ntf { input.shape[1] } else { 1 };
            Sample::Sequence(Sequence { values: values(), features, range })
        }
        Some(Kind::Text | Kind::Tokens | Kind::Floats) | None => {
            return Err(Error::invalid("", "the input is of no kind that can be corrupted"));
        }
    };
    corrupter(&mut sample, rng)?;
    match sample {
        Sample::Picture(picture) => Tensor::stack(&[&from_grid(from_pixels(&picture, input.layout)?, x, input)]),
        Sample::Row(Row { values, .. }) | Sample::Sequence(Sequence { values, .. }) => from_values(values, x),
        Sample::Text(_) => Err(Error::internal("corruption", "the kind has changed")),
    }
}

/// Values in the shape and of the float type of `like`; uint8 stands for value / 255 and becomes float32.
#[allow(clippy::cast_possible_truncation)]
fn from_values(values: Vec<f64>, like: &Tensor) -> Result<Tensor> {
    let array = ArrayD::from_shape_vec(IxDyn(like.shape()), values).map_err(|e| Error::internal("corruption", e))?;
    Ok(if matches!(like, Tensor::F64(_)) { Tensor::F64(array) } else { Tensor::F32(array.mapv(|v| v as f32)) })
}

/// A float picture on the uint8 grid; values outside of the range are refused.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_grid(x: &Tensor, [low, high]: [f64; 2]) -> Result<Tensor> {
    let Tensor::F32(a) = x else { return Ok(x.clone()) };
    if let Some(odd) = a.iter().map(|v| f64::from(*v)).find(|v| *v < low - 1e-6 || *v > high + 1e-6) {
        let message = format!("{odd} was found, a corruption wants pictures in [{low}, {high}]; declare the range");
        return Err(Error::invalid("", message));
    }
    let grid = |v: f32| ((f64::from(v) - low) / (high - low) * 255.0).round().clamp(0.0, 255.0) as u8;
    Ok(Tensor::U8(a.mapv(grid)))
}

/// Back from the grid to the type that `like` has.
#[allow(clippy::cast_possible_truncation)]
fn from_grid(picture: Tensor, like: &Tensor, input: &Input) -> Tensor {
    match (picture, like) {
        (Tensor::U8(a), Tensor::F32(_)) => {
            let [low, high] = input.range.unwrap_or([0.0, 1.0]);
            // In [0, 1] exactly value / 255 in float32, as uint8 pictures are read.
            let back = |v: u8| {
                if [low, high] == [0.0, 1.0] {
                    f32::from(v) / 255.0
                } else {
                    (low + f64::from(v) / 255.0 * (high - low)) as f32
                }
            };
            Tensor::F32(a.mapv(back))
        }
        (picture, _) => picture,
    }
}
