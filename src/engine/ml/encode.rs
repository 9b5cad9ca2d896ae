//! Categories: LabelEncoder, CategoryMapper, OneHotEncoder.

use std::collections::HashMap;

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::node::{Kind, Operator, floats, ints, own, strings};

/// A category: all NaN are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Int(i64),
    /// Bits of a double; 0 and -0 are one.
    Float(u64),
    Text(String),
}

impl Key {
    fn float(v: f64) -> Self {
        Self::Float(if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() })
    }

    /// The values of a tensor as categories.
    fn of(tensor: &Tensor) -> TractResult<Vec<Self>> {
        let view = |t: &Tensor| -> TractResult<Vec<f64>> { Ok(t.try_as_plain_ram()?.as_slice::<f64>()?.to_vec()) };
        Ok(match tensor.datum_type() {
            DatumType::String => {
                tensor.try_as_plain_ram()?.as_slice::<String>()?.iter().cloned().map(Self::Text).collect()
            }
            DatumType::F32 | DatumType::F64 => {
                view(tensor.cast_to::<f64>()?.as_ref())?.into_iter().map(Self::float).collect()
            }
            DatumType::I64 | DatumType::I32 | DatumType::I16 | DatumType::Bool => {
                let integers = tensor.cast_to::<i64>()?;
                integers.try_as_plain_ram()?.as_slice::<i64>()?.iter().copied().map(Self::Int).collect()
            }
            other => bail!("categories of type {other:?} are not carried"),
        })
    }
}

/// Each value becomes what its category stands for, or the default.
#[derive(Debug)]
struct Lookup {
    name: &'static str,
    from: DatumType,
    index: HashMap<Key, usize>,
    /// What the categories stand for, and last the default.
    to: Tensor,
}

impl Lookup {
    fn new(name: &'static str, keys: &Tensor, values: &Tensor, default: &Tensor) -> TractResult<Self> {
        let (found, expected) = (values.len(), keys.len());
        ensure!(found == expected, "{name}: {expected} categories and {found} values were found");
        let mut index = HashMap::new();
        for (i, key) in Key::of(keys)?.into_iter().enumerate() {
            // The first of equals counts.
            index.entry(key).or_insert(i);
        }
        let flat = |t: &Tensor| t.clone().into_shape(&[t.len()]);
        let default = default.cast_to_dt(values.datum_type())?.into_owned();
        let to = Tensor::stack_tensors(0, &[flat(values)?, flat(&default)?])?;
        ensure!(to.len() == expected + 1, "{name}: one default was expected");
        Ok(Self { name, from: keys.datum_type(), index, to })
    }
}

impl Operator for Lookup {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        ensure!(inputs[0].0 == self.from, "{}: {:?} was found, {:?} was expected", self.name, inputs[0].0, self.from);
        Ok(tvec![(self.to.datum_type(), inputs[0].1.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        fn of<T: Datum>(to: &Tensor, rows: &[usize], shape: &[usize]) -> TractResult<Tensor> {
            let to = to.try_as_plain_ram()?.as_slice::<T>()?;
            let values = rows.iter().map(|&i| to[i].clone()).collect();
            Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor())
        }
        let default = self.to.len() - 1;
        let place = |key: Key| self.index.get(&key).copied().unwrap_or(default);
        let rows: Vec<usize> = Key::of(&inputs[0])?.into_iter().map(place).collect();
        let (to, shape) = (&self.to, inputs[0].shape());
        Ok(tvec![match to.datum_type() {
            DatumType::I64 => of::<i64>(to, &rows, shape)?,
            DatumType::F32 => of::<f32>(to, &rows, shape)?,
            DatumType::F64 => of::<f64>(to, &rows, shape)?,
            DatumType::I16 => of::<i16>(to, &rows, shape)?,
            DatumType::String => of::<String>(to, &rows, shape)?,
            other => bail!("{}: values of type {other:?} are not carried", self.name),
        }])
    }
}

/// The first of the attributes `keys_...` (or `values_...`) that is there.
fn side(context: &ParsingContext, node: &NodeProto, prefix: &str) -> TractResult<Option<Tensor>> {
    let name = |kind: &str| format!("{prefix}_{kind}");
    if let Some(proto) = node.get_attr_opt::<&TensorProto>(&name("tensor"))? {
        return Ok(Some(context.load_tensor(proto)?));
    }
    let (texts, integers) = (strings(node, &name("strings"))?, ints(node, &name("int64s"))?);
    let reals = floats(node, &name("floats"))?;
    Ok(if !texts.is_empty() {
        Some(tensor1(&texts))
    } else if !integers.is_empty() {
        Some(tensor1(&integers))
    } else {
        (!reals.is_empty()).then(|| tensor1(&reals))
    })
}

pub(super) fn label_encoder(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let name = "LabelEncoder";
    let classes = strings(node, "classes_strings")?;
    let text = tensor1(&[node.get_attr_opt::<String>("default_string")?.unwrap_or_else(|| "_Unused".to_owned())]);
    let integer = tensor1(&[node.get_attr_opt::<i64>("default_int64")?.unwrap_or(-1)]);
    if !classes.is_empty() {
        // v1: names to their indices, or back; the input's type says which.
        let names = tensor1(&classes);
        let indices = tensor1(&(0i64..).take(classes.len()).collect::<Vec<_>>());
        let (there, back) =
            (Lookup::new(name, &names, &indices, &integer)?, Lookup::new(name, &indices, &names, &text)?);
        return Ok(own(Either { there, back }, node));
    }
    let keys = side(context, node, "keys")?.context("LabelEncoder: keys are missing")?;
    let values = side(context, node, "values")?.context("LabelEncoder: values are missing")?;
    let default = match node.get_attr_opt::<&TensorProto>("default_tensor")? {
        Some(proto) if proto.data_type != 0 => context.load_tensor(proto)?,
        _ => match values.datum_type() {
            DatumType::String => text,
            DatumType::F32 | DatumType::F64 => tensor1(&[node.get_attr_opt::<f32>("default_float")?.unwrap_or(-0.0)]),
            _ => integer,
        },
    };
    Ok(own(Lookup::new(name, &keys, &values, &default)?, node))
}

pub(super) fn category_mapper(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let name = "CategoryMapper";
    let (names, indices) = (tensor1(&strings(node, "cats_strings")?), tensor1(&ints(node, "cats_int64s")?));
    let text = tensor1(&[node.get_attr_opt::<String>("default_string")?.unwrap_or_else(|| "_Unused".to_owned())]);
    let integer = tensor1(&[node.get_attr_opt::<i64>("default_int64")?.unwrap_or(-1)]);
    let (there, back) = (Lookup::new(name, &names, &indices, &integer)?, Lookup::new(name, &indices, &names, &text)?);
    Ok(own(Either { there, back }, node))
}

/// Text to integers, or integers to text.
#[derive(Debug)]
struct Either {
    there: Lookup,
    back: Lookup,
}

impl Either {
    fn of(&self, dtype: DatumType) -> &Lookup {
        if dtype == DatumType::String { &self.there } else { &self.back }
    }
}

impl Operator for Either {
    fn name(&self) -> &'static str {
        self.there.name
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        self.of(inputs[0].0).outputs(inputs)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        self.of(inputs[0].datum_type()).eval(inputs)
    }
}

pub(super) fn one_hot(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let (names, integers) = (strings(node, "cats_strings")?, ints(node, "cats_int64s")?);
    ensure!(names.is_empty() != integers.is_empty(), "OneHotEncoder: either strings or integers were expected");
    let text = integers.is_empty();
    let keys: Vec<Key> =
        if text { names.into_iter().map(Key::Text).collect() } else { integers.into_iter().map(Key::Int).collect() };
    let width = keys.len();
    // The last of equals counts, as in onnxruntime.
    let index = keys.into_iter().enumerate().map(|(i, key)| (key, i)).collect();
    Ok(own(OneHot { text, index, width, zeros: node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0 }, node))
}

/// A new last axis with a 1 at the value's category.
#[derive(Debug)]
struct OneHot {
    text: bool,
    index: HashMap<Key, usize>,
    width: usize,
    /// An unknown category is all zeros; else it is an error.
    zeros: bool,
}

impl Operator for OneHot {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        let (dtype, mut shape) = inputs[0].clone();
        ensure!(self.text == (dtype == DatumType::String), "OneHotEncoder: categories of another type than {dtype:?}");
        shape.push(self.width.to_dim());
        Ok(tvec![(DatumType::F32, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        // Floats are cut to integers.
        let x = if self.text { std::borrow::Cow::Borrowed(&*inputs[0]) } else { inputs[0].cast_to::<i64>()? };
        let keys = Key::of(&x)?;
        let mut y = vec![0f32; keys.len() * self.width];
        for (key, row) in keys.iter().zip(y.chunks_exact_mut(self.width)) {
            match self.index.get(key) {
                Some(&i) => row[i] = 1.0,
                None if self.zeros => {}
                None => bail!("OneHotEncoder: {key:?} is no known category"),
            }
        }
        let mut shape = TVec::from(x.shape());
        shape.push(self.width);
        Ok(tvec![Tensor::from_shape(&shape, &y)?])
    }
}
