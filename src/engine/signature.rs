//! The signature: what goes into a model and what comes out, in the words of the caller.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tensor::DType;

/// Typed inputs and output of a model. What the ONNX file says is the default; the caller's YAML completes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    pub task: Task,
    /// In the order of the graph.
    #[serde(rename = "input")]
    pub inputs: Vec<Input>,
    pub output: Output,
}

impl Signature {
    /// The input that probes change: the first image, else the first float input, else the first.
    pub fn probed(&self) -> &Input {
        let image = self.inputs.iter().find(|i| i.is_image());
        let float = || self.inputs.iter().find(|i| matches!(i.dtype, DType::F32 | DType::F64));
        // A graph without inputs was refused when it was read, so there is a first one.
        image.or_else(float).unwrap_or(&self.inputs[0])
    }

    /// As YAML, in the form in which a caller writes it.
    pub fn to_yaml(&self) -> Result<String> {
        let failed = |e: &dyn std::fmt::Display| Error::internal("signature as YAML", e);
        let value = serde_json::to_value(self).map_err(|e| failed(&e))?;
        serde_norway::to_string(&value).map_err(|e| failed(&e))
    }
}

/// What the model is for.
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
    /// Lengths of the axes after the sample axis; of all axes where the graph's inputs share none (one case, one run).
    pub shape: Vec<usize>,
    pub layout: Layout,
    /// Bounds in probe space; `None` is unbounded.
    pub range: Option<[f64; 2]>,
    /// Resize and crop, done once, before probe space.
    pub geometry: Vec<Geometry>,
    /// From probe space to the model, inside the target.
    pub preprocess: Vec<Preprocess>,
    /// Names of the features, of a row or of each step of a sequence; empty where nobody said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The words that tokens stand for, in the order of their numbers; empty where nobody said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
}

impl Input {
    /// Channels, height and width, if this is a picture.
    pub fn image(&self) -> Option<[usize; 3]> {
        match (self.layout, self.shape.as_slice()) {
            (Layout::Nchw, &[c @ (1 | 3), h, w]) | (Layout::Nhwc, &[h, w, c @ (1 | 3)]) => Some([c, h, w]),
            _ => None,
        }
    }

    /// Channels, height and width with their strides, if this is a picture.
    pub fn grid(&self) -> Option<([usize; 3], [usize; 3])> {
        let [channels, height, width] = self.image()?;
        let strides = match self.layout {
            Layout::Nchw => [height * width, width, 1],
            _ => [1, width * channels, channels],
        };
        Some(([channels, height, width], strides))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of a feature: as declared, or `x` and its number.
    pub fn feature(&self, index: usize) -> String {
        self.features.get(index).cloned().unwrap_or_else(|| format!("x{index}"))
    }

    /// Whether this is a sequence of tokens, each a whole number.
    pub fn is_tokens(&self) -> bool {
        self.layout == Layout::Nt && matches!(self.dtype, DType::I32 | DType::I64)
    }

    /// Whether this is a picture, grey or RGB.
    pub fn is_image(&self) -> bool {
        self.image().is_some()
    }
}

/// The order of an input's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    Nchw,
    Nhwc,
    Nf,
    Nt,
    Ntf,
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

/// Another size by resampling.
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

/// Pillow's resampling filters.
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

/// A part of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Side of the centred square.
    pub center: usize,
}

/// A step from probe space to the graph's input; part of the graph that runs, so that gradients pass through it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Preprocess {
    /// (x - mean) / std, a figure per channel (or feature) or one for all.
    Normalize { mean: Figures, std: Figures },
    /// x * factor, such as 255 for a graph that wants 0 to 255.
    Scale(f64),
}

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figures {
    One(f64),
    Each(Vec<f64>),
}

impl Figures {
    /// The numbers; one if it stands for all.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::One(v) => std::slice::from_ref(v),
            Self::Each(v) => v,
        }
    }
}

/// The output that is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub name: String,
    pub kind: OutputKind,
    /// Scores of one sample: the number of classes of a classifier.
    pub size: usize,
    /// Class names in the order of the scores; empty where nobody said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The integers that stand for the classes in the file, where they are not 0, 1, 2...: an integer label of a case is
    /// then one of these, and no index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<i64>,
}

/// What the scores are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    Logits,
    Probabilities,
    Value,
}
