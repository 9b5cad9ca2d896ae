//! Floor 1: models. Nothing outside this folder names tract.

mod model;

pub use model::Model;
