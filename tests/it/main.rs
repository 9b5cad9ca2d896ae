//! The integration tests, one binary.

// A failed unwrap is a failed test; the lint knows test functions but not their helpers.
#![allow(clippy::unwrap_used)]

mod attacks;
mod cli;
mod corpus;
mod corruptions;
mod digits;
mod engines;
mod faults;
mod gradients;
mod metrics;
mod models;
mod readme;
mod refusals;
mod report;
mod reuse;
mod server;
mod service;
mod telemetry;
mod tidy;
mod zoo;
