//! The integration tests, one binary.

// A failed unwrap is a failed test; the lint knows test functions but not their helpers.
#![allow(clippy::unwrap_used)]

mod cli;
mod corpus;
mod digits;
mod engines;
mod metrics;
mod report;
mod service;
