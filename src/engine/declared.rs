//! The caller's part of a signature, and how it completes what the ONNX file says.

use serde::Deserialize;

use super::onnx::{Graph, Port};
use super::signature::{Geometry, Input, Layout, OutputKind, Preprocess, Task};
use crate::error::{Error, Result, Violations};
use crate::tensor::DType;

/// Most numbers of one case in one input: a gigabyte of float32, of which a model wants several.
const NUMBERS_MAX: usize = 1 << 28;

/// Brackets in brackets of a signature, at most. One that means something has a few; the YAML reader takes some hundred,
/// but reads all of the text before it says so, in a time that grows with the square of their number.
const BRACKETS_MAX: usize = 1000;

/// What a caller declares; everything may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Declared {
    pub(super) task: Option<Task>,
    input: Vec<DeclaredInput>,
    pub(super) output: DeclaredOutput,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DeclaredInput {
    name: Option<String>,
    dtype: Option<DType>,
    shape: Option<Vec<usize>>,
    layout: Option<Layout>,
    range: Option<[f64; 2]>,
    geometry: Vec<Geometry>,
    preprocess: Vec<Preprocess>,
    features: Vec<String>,
    vocabulary: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeclaredOutput {
    pub(super) name: Option<String>,
    pub(super) kind: Option<OutputKind>,
    pub(super) size: Option<usize>,
    pub(super) classes: Vec<String>,
    pub(super) labels: Vec<i64>,
}

impl Declared {
    /// Reads a caller's YAML; empty text declares nothing.
    pub(super) fn parse(yaml: &str) -> Result<Self> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let refuse = |e: &dyn std::fmt::Display| Error::invalid("signature", format!("cannot be read: {e}"));
        if brackets(yaml) > BRACKETS_MAX {
            return Err(refuse(&format!("more than {BRACKETS_MAX} brackets are open at once")));
        }
        // Through JSON, where a step such as `resize: {...}` is a plain map; YAML's own enums want tags.
        let mut value: serde_json::Value = serde_norway::from_str(yaml).map_err(|e| refuse(&e))?;
        // A lone input may stand without its list.
        if let Some(input) = value.get_mut("input").filter(|input| input.is_object()) {
            *input = serde_json::Value::Array(vec![input.take()]);
        }
        serde_json::from_value(value).map_err(|e| refuse(&e))
    }

    /// The graph's inputs, each completed by what was declared for it.
    pub(super) fn inputs(&self, graph: &Graph) -> Result<Vec<Input>> {
        let declared = &self.input;
        let mut violations = Violations::default();
        let names = || graph.inputs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        for (i, d) in declared.iter().enumerate() {
            if d.name.as_ref().map_or(graph.inputs.len() > 1, |n| graph.inputs.iter().all(|p| p.name != *n)) {
                let found = d.name.as_ref().map_or("no name".to_owned(), |n| format!("`{n}`"));
                let message = format!("{found} was found, the graph has the inputs {}", names());
                violations.catch(Err::<(), _>(Error::invalid(format!("signature.input[{i}].name"), message)))?;
            }
        }
        let nothing = DeclaredInput::default();
        let mut inputs = Vec::new();
        for port in &graph.inputs {
            let own = declared.iter().find(|d| d.name.as_ref().is_none_or(|n| *n == port.name)).unwrap_or(&nothing);
            inputs.extend(
                violations.catch(
                    input(port, own, graph.has_sample_axis())
                        .map_err(|e| e.under(&format!("signature.input({})", port.name))),
                )?,
            );
        }
        violations.finish()?;
        Ok(inputs)
    }
}

/// Most brackets that are open at once, as far as the characters tell: one behind a letter or a quote opens nothing.
fn brackets(yaml: &str) -> usize {
    let (mut open, mut most, mut before) = (0usize, 0, ' ');
    for c in yaml.chars() {
        match c {
            '[' | '{' if before.is_whitespace() || "[{,:".contains(before) => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
        before = c;
    }
    most
}

/// One input: the file's types, the caller's meaning.
fn input(port: &Port, own: &DeclaredInput, sample_axis: bool) -> Result<Input> {
    let Some(dtype) = port.dtype else {
        return Err(Error::invalid(
            "dtype",
            "the graph wants a type that is not supported; floats, int32, int64, uint8, bool and strings are",
        ));
    };
    if let Some(declared) = own.dtype.filter(|d| *d != dtype) {
        let message = format!("{} was declared, the graph says {}", declared.name(), dtype.name());
        return Err(Error::invalid("dtype", message));
    }
    let shape = shape(port, own, sample_axis)?;
    let numbers = shape.iter().try_fold(1usize, |n, length| n.checked_mul(*length));
    if numbers.is_none_or(|n| n > NUMBERS_MAX) {
        let message = format!("{shape:?} was found; {NUMBERS_MAX} numbers are the most that an input takes of a case");
        return Err(Error::invalid("shape", message));
    }
    let layout = own.layout.unwrap_or_else(|| guess(dtype, &shape, sample_axis));
    let input = Input {
        name: port.name.clone(),
        dtype,
        layout,
        range: own.range,
        geometry: own.geometry.clone(),
        preprocess: own.preprocess.clone(),
        features: own.features.clone(),
        vocabulary: own.vocabulary.clone(),
        shape,
    };
    check(&input, own.layout.is_some())?;
    Ok(input)
}

/// Lengths after the sample axis (of all axes, where there is none): the file's where it fixes them, else the caller's.
fn shape(port: &Port, own: &DeclaredInput, sample_axis: bool) -> Result<Vec<usize>> {
    let first = usize::from(sample_axis);
    let axes = port.axes.get(first..).unwrap_or_default();
    // A centred crop fixes open sides of a picture.
    let side = own.geometry.iter().rev().find_map(|g| if let Geometry::Crop(c) = g { Some(c.center) } else { None });
    if let Some(declared) = &own.shape
        && declared.len() != axes.len()
    {
        let message = format!("{declared:?} was declared, the graph has {} axes after the sample axis", axes.len());
        return Err(Error::invalid("shape", message));
    }
    axes.iter()
        .enumerate()
        .map(|(i, axis)| {
            let declared = own.shape.as_ref().map(|s| s[i]);
            match (axis.fixed(), declared.or(side)) {
                (Some(0), _) | (None, Some(0)) => {
                    Err(Error::invalid("shape", format!("axis {} has length 0", i + first)))
                }
                (Some(n), _) if declared.is_some_and(|d| d != n) => Err(Error::invalid(
                    "shape",
                    format!("axis {} was declared {declared:?}, the graph says {n}", i + first),
                )),
                (Some(n), _) | (None, Some(n)) => Ok(n),
                (None, None) => {
                    let advice = if sample_axis {
                        "declare the shape without the sample axis, such as shape: [3, 224, 224]"
                    } else {
                        "the inputs share no sample axis, so a case is one run of the graph: declare all axes"
                    };
                    let message = format!("axis {} is open in the graph ({axis:?}); {advice}", i + first);
                    Err(Error::invalid("shape", message))
                }
            }
        })
        .collect()
}

fn guess(dtype: DType, shape: &[usize], sample_axis: bool) -> Layout {
    match (shape, dtype) {
        // Axes of a whole run are no picture's.
        ([_, _, ..], _) if !sample_axis => Layout::Ntf,
        ([_, _, 1 | 3], _) if !matches!(shape[0], 1 | 3) => Layout::Nhwc,
        ([_, _, _], _) => Layout::Nchw,
        ([_, _], _) => Layout::Ntf,
        ([_], DType::I32 | DType::I64) => Layout::Nt,
        _ => Layout::Nf,
    }
}

/// Contradictions inside one input; `declared` says that the layout is the caller's.
fn check(input: &Input, declared: bool) -> Result<()> {
    let rank = match input.layout {
        Layout::Nchw | Layout::Nhwc => 3,
        Layout::Ntf => 2,
        Layout::Nf | Layout::Nt | Layout::Bytes => 1,
    };
    // A guessed layout is only a word for what no layout fits.
    if declared && input.shape.len() != rank {
        let message = format!("{:?} has {rank} axes after the sample axis, the graph {:?}", input.layout, input.shape);
        return Err(Error::invalid("layout", message));
    }
    if let Some([low, high]) = input.range
        && (!low.is_finite() || !high.is_finite() || low >= high)
    {
        return Err(Error::invalid(
            "range",
            format!("[{low}, {high}] was found, a lower and a higher number were expected"),
        ));
    }
    if !input.geometry.is_empty() && !input.is_image() {
        return Err(Error::invalid("geometry", "stands for pictures alone; the layout is not that of a picture"));
    }
    if !input.preprocess.is_empty() && !matches!(input.dtype, DType::F32 | DType::F64) {
        return Err(Error::invalid(
            "preprocess",
            format!("the graph wants {}, which is not normalised", input.dtype.name()),
        ));
    }
    features(input)?;
    input
        .preprocess
        .iter()
        .enumerate()
        .try_for_each(|(i, step)| figures(input, step).map_err(|e| e.under(&format!("preprocess[{i}]"))))
}

/// Refuses names of features that are not one for each, or not to be told apart.
fn features(input: &Input) -> Result<()> {
    if !input.vocabulary.is_empty() && !input.is_tokens() {
        return Err(Error::invalid("vocabulary", "is of tokens alone: a layout NT of whole numbers"));
    }
    let names = &input.features;
    let rows = matches!(input.layout, Layout::Nf | Layout::Ntf);
    if names.is_empty() || (rows && names.len() == channels(input)) {
        let twin = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
        return twin.map_or(Ok(()), |(_, name)| Err(Error::invalid("features", format!("`{name}` stands twice"))));
    }
    let wanted = if rows { format!("{} were expected", channels(input)) } else { "only rows have features".to_owned() };
    Err(Error::invalid("features", format!("{} names were found; {wanted}", names.len())))
}

fn figures(input: &Input, step: &Preprocess) -> Result<()> {
    let channels = channels(input);
    match step {
        Preprocess::Scale(factor) if *factor == 0.0 || !factor.is_finite() => {
            Err(Error::invalid("scale", format!("{factor} was found, a number other than 0 was expected")))
        }
        Preprocess::Scale(_) => Ok(()),
        Preprocess::Normalize { mean, std } => {
            for (field, figures) in [("mean", mean.values()), ("std", std.values())] {
                if figures.len() != 1 && figures.len() != channels {
                    let message = format!("{} numbers were found, 1 or {channels} were expected", figures.len());
                    return Err(Error::invalid(field, message));
                }
                if figures.iter().any(|f| !f.is_finite() || (field == "std" && *f <= 0.0)) {
                    return Err(Error::invalid(field, format!("{figures:?} was found; std must be above 0")));
                }
            }
            Ok(())
        }
    }
}

/// Length of the channel (or feature) axis.
pub(super) fn channels(input: &Input) -> usize {
    let axis = if input.layout == Layout::Nchw { input.shape.first() } else { input.shape.last() };
    axis.copied().unwrap_or(1)
}
