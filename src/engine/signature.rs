//! The signature: what goes into a model and what comes out, in the words of the caller.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tensor::DType;

/// Typed inputs and output of a model. What the ONNX file says is the default; the caller's YAML completes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    pub task: Task,
    pub inputs: Vec<Input>,
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Classification,
    Regression,
    Detection,
    Segmentation,
    Tagging,
    Embedding,
}

/// One input of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// As in the ONNX graph.
    pub name: String,
    pub dtype: DType,
    /// Axes after the sample axis; `None` where the graph leaves the length open.
    pub shape: Vec<Option<usize>>,
    pub layout: Layout,
    /// Bounds in probe space; `None` is unbounded.
    pub range: Option<[f64; 2]>,
    /// Resize and crop, done once, before probe space.
    pub geometry: Vec<Geometry>,
    /// From probe space to the model, inside the target.
    pub preprocess: Vec<Preprocess>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    NCHW,
    NHWC,
    NF,
    NT,
    NTF,
    #[serde(rename = "bytes")]
    Bytes,
}

/// A step from the picture as read to the picture as probed; results are 8-bit, as Pillow's are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Geometry {
    Resize(Resize),
    Crop(Crop),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Length of the shorter side, the other in proportion, rounded down as torchvision does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter: Option<usize>,
    /// Height and width, whatever the proportion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    #[serde(default)]
    pub filter: Filter,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    Nearest,
    Box,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Side of the centred square.
    pub center: usize,
}

/// A step from probe space to the graph's input; differentiated when gradients are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Preprocess {
    /// (x - mean) / std, a figure per channel or one for all.
    Normalize { mean: Vec<f64>, std: Vec<f64> },
    /// x * by, such as 255 for a graph that wants 0 to 255.
    Scale { by: f64 },
}

/// The output that is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub name: String,
    /// `None`: not declared; probabilities are then recognised by their values.
    pub kind: Option<OutputKind>,
    /// Number of classes, where the graph or the names tell.
    pub size: Option<usize>,
    pub classes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    Logits,
    Probabilities,
    Value,
}
