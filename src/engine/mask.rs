//! Masks: what of a case shows the object, as someone has marked it.

use super::resize;
use super::signature::{Filter, Geometry, Input, Layout, Resize, Signature};
use crate::data::{Case, Value, picture};
use crate::error::{Error, Result};
use crate::tensor::{Pixels, Tensor};

/// The name of a mask among a case's inputs.
const MASK: &str = "mask";

impl Signature {
    /// Whether what is called so, beside `others` inputs, is a case's mask and no input: the model has none of that name.
    pub fn is_mask(&self, name: &str, others: usize) -> bool {
        name == MASK && others > 0 && self.inputs.iter().all(|input| input.name != MASK)
    }
}

/// The mask of a case for the probed input: by pixel of a picture, row by row, or by value of another input. What is not
/// 0 is marked. It goes the way of the picture, resized to the nearest.
pub(super) fn mask(case: &Case, signature: &Signature) -> Result<Option<Vec<bool>>> {
    let Some(value) = case.inputs.get(MASK).filter(|_| signature.is_mask(MASK, case.inputs.len() - 1)) else {
        return Ok(None);
    };
    let input = signature.probed();
    let marks = match (value, input.image()) {
        (_, Some([_, height, width])) => pixels(value, [height, width], input),
        (Value::Tensor(tensor), None) => Ok(tensor.to_f64().iter().map(|v| *v != 0.0).collect()),
        (Value::Image(_), None) => Err(Error::invalid("", "a picture was found, the model's input is none")),
    };
    let marks = marks.and_then(|marks: Vec<bool>| {
        let wanted = input.image().map_or_else(|| input.len(), |[_, height, width]| height * width);
        let message = || format!("{} marks were found, {wanted} were expected", marks.len());
        if marks.len() == wanted { Ok(marks) } else { Err(Error::invalid("", message())) }
    });
    marks.map(Some).map_err(|e| e.under(&format!("inputs.{MASK}")))
}

/// One that has the size of the model's picture stays as it is, like such a picture.
fn pixels(value: &Value, size: [usize; 2], input: &Input) -> Result<Vec<bool>> {
    let mut mask = match value {
        Value::Image(file) => picture::decode(file, 1)?,
        Value::Tensor(tensor) => drawn(tensor, input.layout)?,
    };
    if [mask.height, mask.width] != size {
        let steps: Vec<Geometry> = input.geometry.iter().map(nearest).collect();
        mask = resize::shape(mask, &steps)?;
    }
    if [mask.height, mask.width] != size {
        let message = format!("{}x{} pixels were found, {}x{} were expected", mask.height, mask.width, size[0], size[1]);
        return Err(Error::invalid("", message));
    }
    Ok(mask.data.iter().map(|v| *v != 0).collect())
}

/// A mask without channels, or with those of the picture, of which any may mark.
fn drawn(tensor: &Tensor, layout: Layout) -> Result<Pixels> {
    let shape = tensor.shape();
    let (height, width, order) = match (shape, layout) {
        (&[height, width], _) => (height, width, [width, 1, 0]),
        (&[_, height, width], Layout::Nchw) => (height, width, [width, 1, height * width]),
        (&[height, width, channels], _) => (height, width, [width * channels, channels, 1]),
        _ => return Err(Error::invalid("", format!("shape {shape:?} was found, rows and columns were expected"))),
    };
    let (values, [row, column, channel]) = (tensor.to_f64(), order);
    let channels = values.len() / (height * width).max(1);
    let marked = |at: usize| (0..channels).any(|c| values.get(at + c * channel).is_some_and(|v| *v != 0.0));
    let data = (0..height * width).map(|i| u8::from(marked(i / width * row + i % width * column))).collect();
    Pixels::new(height, width, 1, data).ok_or_else(|| Error::internal("mask", "the sizes differ"))
}

/// The same step without values in between.
fn nearest(step: &Geometry) -> Geometry {
    match step {
        Geometry::Resize(resize) => Geometry::Resize(Resize { filter: Filter::Nearest, ..resize.clone() }),
        crop @ Geometry::Crop(_) => crop.clone(),
    }
}
