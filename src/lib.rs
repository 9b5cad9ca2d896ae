//! `assay` says how far a machine-learning model can be trusted.
//!
//! # Layout
//!
//! Imports only go down the floors:
//!
//! - 0: [`tensor`], [`data`]: arrays, random numbers; cases and their readers.
//! - 1: [`engine`], [`metric`]: an ONNX file as a function; figures with their intervals.
//! - 2: [`probe`]: corruptions, one file a member.
//! - 3: [`suite`]: checks as asked for; probing, predicting, judging.
//! - 5: `cli`: the command line.

#[cfg(feature = "server")]
pub mod cli;
pub mod data;
pub mod engine;
pub mod error;
pub mod metric;
pub mod probe;
pub mod suite;
pub mod tensor;

pub use error::{Error, Result};
