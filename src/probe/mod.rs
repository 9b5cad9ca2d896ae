//! Floor 2: probes. Nothing here names tract, tokio or protobuf.
//!
//! A probe is a struct that is its own parameters. Its doc comment is its manual: the first line is the summary, the
//! rest the text; a field's doc comment is the parameter's. What a field takes (bounds, choices, default, aliases) is
//! in its schema, from which come validation, the catalogue and the command line's help.

pub mod attack;
pub mod audit;
pub mod corruption;
pub mod explainer;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What all families have in common: parameters with defaults, a name, a source.
pub trait Probe: Default + DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// In snake case, as the field calls it; also the name of its file.
    const NAME: &'static str;
    /// Where it was first described; empty if nowhere.
    const PAPER: &'static str = "";
    /// What it needs of the model.
    const ACCESSES: &'static [Access] = &[Access::Label];
    /// What it can be done to; empty if to anything.
    const KINDS: &'static [Kind] = &[];
    /// Queries of one case, in words.
    const COST: &'static str = "1";
}

/// A probe from parameters that fit its schema.
pub(crate) fn read<P: Probe>(params: &Map<String, Value>) -> Result<P> {
    P::deserialize(Value::Object(params.clone())).map_err(|e| Error::invalid("params", e.to_string()))
}

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

/// What the probed input of a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grey or RGB.
    Picture,
    /// One number a feature.
    Row,
    /// Numbers over time, of one feature or several.
    Sequence,
    Text,
    /// Whole numbers that stand for words or parts of words, one after the other.
    Tokens,
    /// Floats of any shape.
    Floats,
}

impl Kind {
    /// In the words of a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "a picture with 1 or 3 channels",
            Self::Row => "a row of float features",
            Self::Sequence => "a sequence of floats",
            Self::Text => "text",
            Self::Tokens => "a sequence of tokens",
            Self::Floats => "floats",
        }
    }
}

/// The manual of a probe, whatever its family: what the catalogue shows.
pub struct Manual {
    pub name: &'static str,
    /// `clean`, `corruption`, `attack`, `explainer` or `audit`.
    pub family: &'static str,
    /// Where it was first described; empty if nowhere.
    pub paper: &'static str,
    pub accesses: &'static [Access],
    /// What it can be done to; empty if to anything.
    pub kinds: &'static [Kind],
    /// Forward passes of one case.
    pub cost: &'static str,
    /// Parameters with defaults, bounds, units and aliases, and the text of the manual.
    pub schema: fn() -> Schema,
}

impl Manual {
    /// Of a probe with its own parameters alone.
    pub(crate) const fn of<P: Probe>(family: &'static str) -> Self {
        let (name, paper, accesses, kinds, cost) = (P::NAME, P::PAPER, P::ACCESSES, P::KINDS, P::COST);
        Self { name, family, paper, accesses, kinds, cost, schema: schema::<P> }
    }

    /// One sentence: the first line of the probe's doc comment.
    pub fn summary(&self) -> String {
        self.description().0
    }

    /// What it does and when to use it: the rest of the doc comment.
    pub fn text(&self) -> String {
        self.description().1
    }

    fn description(&self) -> (String, String) {
        let schema = (self.schema)();
        let whole = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        // Lines of a source file are not lines of a text; paragraphs stay.
        let join =
            |text: &str| text.trim().split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
        let (summary, text) = whole.split_once("\n\n").unwrap_or((whole, ""));
        (join(summary), join(text))
    }
}

/// The JSON schema of a probe's parameters, without references.
pub(crate) fn schema<P: JsonSchema>() -> Schema {
    SchemaSettings::default().with(|s| s.inline_subschemas = true).into_generator().into_root_schema_for::<P>()
}

/// Only predicts: the model on the cases as they are.
///
/// Every other check is read against this one. Its scores are kept as the artifact `scores`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Clean {}

impl Probe for Clean {
    const NAME: &'static str = "clean";
}

/// The check that only predicts.
pub static CLEAN: Manual = Manual::of::<Clean>("clean");

/// All manuals in the order of the catalogue.
pub fn manuals() -> impl Iterator<Item = &'static Manual> {
    let attacks = attack::ATTACKS.iter().map(|entry| &entry.manual);
    let corruptions = corruption::CORRUPTIONS.iter().map(|entry| &entry.manual);
    let explainers = explainer::EXPLAINERS.iter().map(|entry| &entry.manual);
    let audits = audit::AUDITS.iter().map(|entry| &entry.manual);
    std::iter::once(&CLEAN).chain(attacks).chain(corruptions).chain(explainers).chain(audits)
}

/// The manual of this name.
pub fn manual(name: &str) -> Option<&'static Manual> {
    manuals().find(|manual| manual.name == name)
}
