//! A case as a model of a certain signature sees it: probe space.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::mask::mask;
use super::resize;
use super::signature::{Input, Layout, OutputKind, Signature};
use crate::data::{Case, Class, Expected, Value, picture};
use crate::error::{Error, Result};
use crate::tensor::{Pixels, Tensor, Tensors};

/// What rounding may add to a bound.
const SLACK: f64 = 1e-6;

/// A case in probe space.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub id: String,
    /// By the graph's names, one row each: axis 0 has length 1. Pictures read as 8-bit stay uint8 (value / 255).
    pub inputs: Tensors,
    pub answer: Answer,
    /// By pixel of the probed picture, or by value: what shows the object, where the case says so.
    pub mask: Option<Vec<bool>>,
}

/// The expected answer in the model's terms.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Nothing,
    /// All classes that are right; the first is the label.
    Classes(Vec<usize>),
    Value(f64),
}

/// Brings a case into probe space. Errors name the field under `cases[ID]`: a missing or surplus input, a wrong shape
/// or type, values that are not finite or outside of the declared range, a label that the model does not have.
pub fn prepare(case: &Case, signature: &Signature) -> Result<Prepared> {
    let inside = || {
        let inputs = bind(case, signature)?;
        let answer = answer(&case.expected, signature).map_err(|e| e.under("expected"))?;
        Ok(Prepared { id: case.id.clone(), inputs, answer, mask: mask(case, signature)? })
    };
    inside().map_err(|e: Error| e.under(&format!("cases[{}]", case.id)))
}

fn bind(case: &Case, signature: &Signature) -> Result<Tensors> {
    let others = case.inputs.len().saturating_sub(1);
    let given = case.inputs.iter().filter(|(name, _)| !signature.is_mask(name, others));
    let given: BTreeMap<&str, &Value> = given.map(|(name, value)| (name.as_str(), value)).collect();
    let lone = signature.inputs.len() == 1 && given.len() == 1;
    if given.len() > signature.inputs.len() {
        let names: Vec<&str> = signature.inputs.iter().map(|i| i.name.as_str()).collect();
        let message = format!("{} inputs were found, the model has {}", given.len(), names.join(", "));
        return Err(Error::invalid("inputs", message));
    }
    let mut bound = BTreeMap::new();
    for input in &signature.inputs {
        let value = if lone { given.values().next() } else { given.get(input.name.as_str()) };
        let field = format!("inputs.{}", input.name);
        let value = value.ok_or_else(|| Error::invalid(&field, "is missing"))?;
        bound.insert(input.name.clone(), row(value, input).map_err(|e| e.under(&field))?);
    }
    Ok(bound)
}

fn row(value: &Value, input: &Input) -> Result<Tensor> {
    let tensor = match (value, input.image()) {
        (Value::Tensor(t), _) if t.shape() == input.shape => t.clone(),
        (Value::Image(file), Some([channels, ..])) => {
            from_pixels(&resize::shape(picture::decode(file, channels)?, &input.geometry)?, input.layout)?
        }
        (Value::Tensor(t @ Tensor::U8(_)), Some(_)) if !input.geometry.is_empty() => {
            from_pixels(&resize::shape(to_pixels(t, input.layout)?, &input.geometry)?, input.layout)?
        }
        (Value::Image(_), None) => return Err(Error::invalid("", "a picture was found, the model's input is none")),
        (Value::Tensor(t), _) => {
            let message = format!("shape {:?} was found, {:?} was expected", t.shape(), input.shape);
            return Err(Error::invalid("", message));
        }
    };
    if tensor.shape() != input.shape {
        let advice = "declare the geometry (resize, crop) in the signature";
        let message = format!("shape {:?} was found, {:?} was expected; {advice}", tensor.shape(), input.shape);
        return Err(Error::invalid("", message));
    }
    bounded(&tensor, input)?;
    Tensor::stack(&[&tensor])
}

/// Refuses values that are not finite or outside of the declared range.
fn bounded(tensor: &Tensor, input: &Input) -> Result<()> {
    // uint8 stands for value / 255 wherever the graph wants floats.
    let unit = if matches!(tensor, Tensor::U8(_)) && input.dtype != tensor.dtype() { 255.0 } else { 1.0 };
    let values = tensor.to_f64();
    if let Some(odd) = values.iter().find(|v| !v.is_finite()) {
        return Err(Error::invalid("", format!("{odd} was found, finite numbers were expected")));
    }
    let Some([low, high]) = input.range else { return Ok(()) };
    match values.iter().map(|v| v / unit).find(|v| *v < low - SLACK || *v > high + SLACK) {
        Some(odd) => Err(Error::invalid("", format!("{odd} was found, the signature's range is [{low}, {high}]"))),
        None => Ok(()),
    }
}

fn answer(expected: &Expected, signature: &Signature) -> Result<Answer> {
    let output = &signature.output;
    let index = |class: &Class| match class {
        Class::Index(i) if !output.labels.is_empty() => {
            output.labels.iter().position(|l| u64::try_from(*l) == Ok(*i)).ok_or_else(|| {
                Error::invalid("class", format!("label {i} was found, the model's labels are {:?}", output.labels))
            })
        }
        Class::Index(i) => usize::try_from(*i).ok().filter(|i| *i < output.size).ok_or_else(|| {
            Error::invalid(
                "class",
                format!(
                    "label {i} was found, the model has {} classes (0 to {})",
                    output.size,
                    output.size.saturating_sub(1)
                ),
            )
        }),
        Class::Name(name) => output.classes.iter().position(|c| c == name).ok_or_else(|| {
            let known = crate::error::nearest(name, output.classes.iter().map(String::as_str));
            let hint = match known {
                Some(near) => format!("did you mean {near}?"),
                None if output.classes.is_empty() => "the signature declares no class names".to_owned(),
                None => format!("the signature has {} class names, not this one", output.classes.len()),
            };
            Error::invalid("class", format!("`{name}` was found; {hint}"))
        }),
    };
    match expected {
        Expected::Nothing => Ok(Answer::Nothing),
        Expected::Value(v) if output.kind != OutputKind::Value => {
            Err(Error::invalid("value", format!("{v} was found, a class was expected by this classifier")))
        }
        Expected::Value(v) => Ok(Answer::Value(*v)),
        // Whole-number values look like class indices in a file.
        #[allow(clippy::cast_precision_loss)]
        Expected::Class { label: Class::Index(i), .. } if output.kind == OutputKind::Value => {
            Ok(Answer::Value(*i as f64))
        }
        Expected::Class { .. } if output.kind == OutputKind::Value => {
            Err(Error::invalid("class", "a class name was found, a value was expected by this regression"))
        }
        Expected::Class { label, acceptable } => {
            std::iter::once(label).chain(acceptable).map(index).collect::<Result<_>>().map(Answer::Classes)
        }
    }
}

/// A picture as rows, columns and channels; `tensor` has no sample axis.
pub(crate) fn to_pixels(tensor: &Tensor, layout: Layout) -> Result<Pixels> {
    let wrong = || Error::invalid("", format!("a uint8 picture was expected, {:?} was found", tensor.shape()));
    let (Tensor::U8(a), 3) = (tensor, tensor.shape().len()) else { return Err(wrong()) };
    let order = if layout == Layout::Nchw { [1, 2, 0] } else { [0, 1, 2] };
    let view = a.view().permuted_axes(order.to_vec());
    let (height, width, channels) = (view.shape()[0], view.shape()[1], view.shape()[2]);
    Pixels::new(height, width, channels, view.iter().copied().collect()).ok_or_else(wrong)
}

/// A picture in a signature's layout, without the sample axis.
pub(crate) fn from_pixels(pixels: &Pixels, layout: Layout) -> Result<Tensor> {
    let shape = vec![pixels.height, pixels.width, pixels.channels];
    let array = ArrayD::from_shape_vec(shape, pixels.data.clone()).map_err(|e| Error::internal("picture", e))?;
    let order = if layout == Layout::Nchw { [2, 0, 1] } else { [0, 1, 2] };
    Ok(Tensor::U8(array.permuted_axes(order.to_vec()).as_standard_layout().to_owned()))
}
