//! Floor 2: probes. Nothing here names tract, tokio or protobuf.

pub mod corruption;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

/// What a probe may see of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Label,
    Score,
    Gradient,
    Internals,
    Weights,
}

/// The manual of a probe, whatever its family: what the catalogue shows.
pub struct Manual {
    pub name: &'static str,
    /// `clean`, `corruption`, `attack`, `explainer` or `audit`.
    pub family: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What it does, its parameters in words, when to use it.
    pub text: &'static str,
    /// Where it was first described; empty if nowhere.
    pub paper: &'static str,
    pub accesses: &'static [Access],
    /// Forward passes of one case.
    pub cost: &'static str,
    /// Parameters with defaults, bounds and units.
    pub schema: fn() -> Schema,
}

/// `clean` has no parameters.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The check that only predicts.
pub static CLEAN: Manual = Manual {
    name: "clean",
    family: "clean",
    summary: "Only predicts: the model on the cases as they are.",
    text: "Every other check is read against this one. Its scores are kept as the artifact `scores`.",
    paper: "",
    accesses: &[Access::Label],
    cost: "1",
    schema: || schema_for!(Nothing),
};

/// All manuals in the order of the catalogue.
pub fn manuals() -> impl Iterator<Item = &'static Manual> {
    std::iter::once(&CLEAN).chain(corruption::CORRUPTIONS.iter().map(|entry| &entry.manual))
}

/// The manual of this name.
pub fn manual(name: &str) -> Option<&'static Manual> {
    manuals().find(|manual| manual.name == name)
}
