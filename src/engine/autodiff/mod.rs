//! Gradients of ONNX models: reverse mode over tract's graphs, which know inference only.
//!
//! [`differentiate`] turns a graph into two: a *forward* one, which also gives the values that the way back needs (the
//! *residuals*), and a *backward* one from the cotangents of the outputs and the residuals to the cotangents of what is
//! differentiated with respect to. tract optimises and runs both, so a loss stays a function over scores outside of
//! them, and one forward pass serves several pulls.
//!
//! - [`driver`] walks from the outputs to the inputs, one rule a node.
//! - [`tape`] is what a rule writes the backward graph with.
//! - [`rules`] has a rule for each operator, in families. To add one: a function, and its line in `rules::rules`; then a
//!   case in `tests/it/gradients.rs`, which holds it against finite differences.
//! - [`crate::engine::ops`] has the operators that tract lacks, [`crate::engine::blocks`] lays out what both graphs compute.
//! - [`unroll`] makes chains of recurrences, which then need no rule.
//!
//! # Gradients of weights
//!
//! Only inputs (and tensors inside) are differentiated with respect to now. A weight is a constant, which no rule is
//! asked about; made a source of the graph, it becomes active like any other input, `Tape::wants` says so, and the rules
//! of arithmetic and products give its cotangent as they are. A convolution's says what it would take.

mod driver;
mod gradient;
mod prepare;
mod report;
mod rules;
mod tape;
mod unroll;

pub use driver::Missing;
pub use gradient::{Differentiated, Linearized};
pub use prepare::{Layer, Wish};
pub use report::Differentiability;
