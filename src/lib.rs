//! `assay` says how far a machine-learning model can be trusted.
//!
//! # Layout
//!
//! Imports only go down the floors:
//!
//! - 0: [`tensor`], [`data`]: arrays, random numbers; cases.

pub mod data;
pub mod error;
pub mod tensor;

pub use error::{Error, Result};
