//! From a case's tensor to what a corruption changes, and back.

use crate::engine::{Input, from_pixels, to_pixels};
use crate::error::{Error, Result};
use crate::probe::Kind;
use crate::probe::corruption::{Corrupter, Sample};
use crate::tensor::{Rng, Tensor};

/// What a model's input is to a corruption; `None` if no corruption knows it.
pub(super) fn kind(input: &Input) -> Option<Kind> {
    input.is_image().then_some(Kind::Picture)
}

/// The row `x` `[1, ...]` corrupted; pictures on the uint8 grid of the input's range (or of [0, 1]).
pub(super) fn corrupt(x: &Tensor, input: &Input, corrupter: &Corrupter, rng: &mut Rng) -> Result<Tensor> {
    let grid = to_grid(&x.row(0), input.range.unwrap_or([0.0, 1.0]))?;
    let mut sample = Sample::Picture(to_pixels(&grid, input.layout)?);
    corrupter(&mut sample, rng)?;
    let Sample::Picture(picture) = sample else { return Err(Error::internal("corruption", "changed the kind")) };
    let corrupted = from_pixels(&picture, input.layout)?;
    Tensor::stack(&[&from_grid(corrupted, x, input)])
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
