//! The integration tests, one binary.

// A failed unwrap is a failed test; the lint knows test functions but not their helpers.
#![allow(clippy::unwrap_used)]

mod access;
mod attacks;
mod audits;
mod cli;
mod cluster;
mod completions;
mod corpus;
mod corruptions;
mod counterfactual;
mod deaths;
mod digits;
mod doctor;
mod engines;
mod escape;
mod explainers;
mod fake;
mod faults;
mod fuzz;
mod gradients;
mod inference;
mod inspection;
mod kills;
mod lime;
mod load;
mod losses;
mod metrics;
mod migrations;
mod models;
mod nats;
mod nats_credentials;
mod nats_faults;
mod pictures;
mod quality;
mod readers;
mod readme;
mod refusals;
mod remote;
mod report;
mod reuse;
mod server;
mod service;
mod soak;
mod streams;
mod suite_file;
mod tables;
mod tags;
mod telemetry;
mod tenants;
mod tidy;
mod tls;
mod tree_shap;
mod upload;
mod zoo;
