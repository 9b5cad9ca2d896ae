//! `assay` says how far a machine-learning model can be trusted.
//!
//! # Layout
//!
//! Imports only go down the floors:
//!
//! - 0: [`tensor`], [`data`]: arrays, random numbers; cases and their readers.
//! - 1: [`engine`], [`metric`]: an ONNX file as a function; figures with their intervals.

pub mod data;
pub mod engine;
pub mod error;
pub mod metric;
pub mod tensor;

pub use error::{Error, Result};
