//! Floor 1: models. Nothing outside this folder names tract.

mod activation;
mod autodiff;
mod blocks;
mod declared;
mod half;
mod loss;
mod mask;
mod meaning;
mod ml;
mod model;
mod onnx;
mod ops;
mod opsets;
mod oracle;
mod prepare;
mod preprocess;
mod quantize;
mod resize;
mod rows;
mod shuffle;
mod signature;
mod softmax;
mod target;
mod trees;
mod walk;

pub use autodiff::{Differentiability, Differentiated, Layer, Linearized, Missing, Wish};
pub use loss::{Aim, Loss, Pull, difference, logits};
pub(crate) use ml::ensemble::Node;
pub use model::Model;
pub use onnx::{Axis, Graph, Port};
pub use oracle::{NO_GRADIENT, NO_TREES, Oracle, Question};
pub use prepare::{Answer, Prepared, prepare};
pub(crate) use prepare::{from_pixels, to_pixels};
pub use signature::{
    Crop, Figures, Filter, Geometry, Input, Layout, Output, OutputKind, Preprocess, Resize, Signature, Task,
};
pub use target::{Inner, Limits, Local, Row, Spent, Target};
pub use trees::Trees;
