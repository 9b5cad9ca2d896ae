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
        let message =
            format!("{}x{} pixels were found, {}x{} were expected", mask.height, mask.width, size[0], size[1]);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::ArrayD;

    use super::*;
    use crate::data::Expected;
    use crate::engine::{Crop, Output, OutputKind, Task};
    use crate::tensor::DType;

    fn signature(layout: Layout, shape: &[usize], geometry: Vec<Geometry>, name: &str) -> Signature {
        let (dtype, shape) = (DType::F32, shape.to_vec());
        let (name, range, preprocess, features) = (name.to_owned(), None, Vec::new(), Vec::new());
        let vocabulary = Vec::new();
        let input = Input { name, dtype, shape, layout, range, geometry, preprocess, features, vocabulary };
        let (name, kind) = (String::new(), OutputKind::Logits);
        let output = Output { name, kind, size: 2, classes: Vec::new(), labels: Vec::new() };
        Signature { task: Task::Classification, inputs: vec![input], output }
    }

    /// The mask of a case whose mask has this shape and these marked places.
    fn found(signature: &Signature, shape: &[usize], marked: &[usize]) -> Result<Option<Vec<bool>>> {
        let mut array = ArrayD::zeros(shape.to_vec());
        marked.iter().for_each(|at| array.as_slice_mut().unwrap()[*at] = 1.0);
        let value = |tensor| Value::Tensor(Tensor::F32(tensor));
        let x = value(ArrayD::zeros(vec![1]));
        let inputs = BTreeMap::from([("x".to_owned(), x), (MASK.to_owned(), value(array))]);
        mask(&Case { id: String::new(), inputs, expected: Expected::Nothing, tags: BTreeMap::new() }, signature)
    }

    #[test]
    fn a_mask_goes_the_way_of_its_picture() {
        let resize = Resize { shorter: Some(4), size: None, filter: Filter::Bilinear };
        let steps = vec![Geometry::Resize(resize), Geometry::Crop(Crop { center: 2 })];
        let picture = signature(Layout::Nchw, &[3, 2, 2], steps, "x");
        // Rows 2 and 3, columns 2 and 3 of 8x8 are the pixel (1, 1) of 4x4, which is (0, 0) of the middle.
        assert_eq!(found(&picture, &[8, 8], &[18, 19, 26, 27]).unwrap().unwrap(), [true, false, false, false]);
        assert_eq!(found(&picture, &[2, 2], &[3]).unwrap().unwrap(), [false, false, false, true]);
        assert_eq!(found(&picture, &[3, 2, 2], &[4, 11]).unwrap().unwrap(), [true, false, false, true]);
        assert!(found(&picture, &[5], &[]).unwrap_err().to_string().contains("inputs.mask: shape [5]"));
    }

    #[test]
    fn rows_have_a_mark_a_value_and_an_input_of_that_name_is_no_mask() {
        let row = |name| signature(Layout::Nf, &[3], Vec::new(), name);
        assert_eq!(found(&row("x"), &[3], &[1]).unwrap().unwrap(), [false, true, false]);
        assert!(found(&row("x"), &[2], &[]).unwrap_err().to_string().contains("2 marks were found, 3 were expected"));
        assert_eq!(found(&row(MASK), &[2], &[]).unwrap(), None);
    }
}
