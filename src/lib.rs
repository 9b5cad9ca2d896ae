//! `assay` says how far a machine-learning model can be trusted.
//!
//! # Layout
//!
//! Imports only go down the floors:
//!
//! - 0: [`tensor`], [`data`], `wire`: arrays, random numbers; cases and their readers; the reading of messages.
//! - 1: [`engine`], [`metric`]: an ONNX file as a function; figures with their intervals.
//! - 2: [`probe`]: attacks and corruptions, one file a member.
//! - 3: [`suite`]: checks as asked for; planning, probing, judging; the report.
//! - 4: `lab`: models, suites and jobs on an engine; the pool and its slots.
//! - 5: `api`, `console`, `telemetry`, `cli`: gRPC, the port for operators, logs and traces and metrics, the command
//!   line; they translate and never meet, save in `cli::serve`.

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod console;
pub mod data;
pub mod engine;
pub mod error;
#[cfg(feature = "server")]
pub mod lab;
pub mod metric;
pub mod probe;
pub mod suite;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod tensor;
#[cfg(feature = "server")]
mod wire;

pub use error::{Error, Result};
