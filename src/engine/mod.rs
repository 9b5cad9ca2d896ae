//! Floor 1: models. Nothing outside this folder names tract.

mod declared;
mod model;
mod onnx;
mod prepare;
mod preprocess;
mod resize;
mod signature;

pub use model::Model;
pub use onnx::{Axis, Graph, Port};
pub use prepare::{Answer, Prepared, prepare};
pub(crate) use prepare::{from_pixels, to_pixels};
pub(crate) use resize::shape as reshape;
pub use signature::{
    Crop, Figures, Filter, Geometry, Input, Layout, Output, OutputKind, Preprocess, Resize, Signature, Task,
};
