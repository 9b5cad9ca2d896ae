//! Values that are not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Row, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Takes features of a row away: they become NaN, or what fills the gap.
///
/// 5 %, 10 %, 20 %, 30 % or 50 % of the features, at least one.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MissingValues {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// What stands in the gap, such as a column's mean; NaN if left out.
    fill: Option<f64>,
}

impl Probe for MissingValues {
    const NAME: &'static str = "missing_values";
}

const SHARE: [f64; 5] = [0.05, 0.1, 0.2, 0.3, 0.5];

impl Corruption for MissingValues {
    type Input = Row;

    fn corrupt(&self, row: &mut Row, rng: &mut Rng) -> Result<()> {
        for feature in drawn(row.values.len(), self.severity.at(&SHARE), rng) {
            // NaN stays NaN in any range.
            row.set(feature, self.fill.unwrap_or(f64::NAN));
        }
        Ok(())
    }
}
