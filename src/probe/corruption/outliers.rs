//! Single wild values in a row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Row, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Moves a few features of a row far up or down, as typing errors and broken sensors do.
///
/// 2 %, 5 %, 10 %, 20 % or 30 % of the features, at least one, are moved by `factor` times the scale; results stay in the
/// declared range.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Outliers {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// What a severity's share is a share of; left out: the width of the declared range, or else the size of each value.
    #[schemars(range(min = 0))]
    scale: Option<f64>,
    /// How many times the scale a feature is moved.
    #[schemars(range(min = 0))]
    factor: f64,
}

impl Probe for Outliers {
    const NAME: &'static str = "outliers";
}

const SHARE: [f64; 5] = [0.02, 0.05, 0.1, 0.2, 0.3];

impl Default for Outliers {
    fn default() -> Self {
        Self { severity: Severity::default(), scale: None, factor: 10.0 }
    }
}

impl Corruption for Outliers {
    type Input = Row;

    fn corrupt(&self, row: &mut Row, rng: &mut Rng) -> Result<()> {
        for feature in drawn(row.values.len(), self.severity.at(&SHARE), rng) {
            let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
            let distance = self.factor * row.unit(feature, self.scale);
            row.set(feature, row.values[feature] + sign * distance);
        }
        Ok(())
    }
}
