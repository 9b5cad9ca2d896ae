//! One feature that has moved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, Row, Severity};
use crate::error::{Error, Result};
use crate::probe::Probe;
use crate::tensor::Rng;

/// Shifts one feature of every row by the same amount, as a recalibrated or ageing sensor does.
///
/// By 0.05, 0.1, 0.2, 0.4 or 0.8 of the scale upwards; results stay in the declared range.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FeatureDrift {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// What a severity's share is a share of; left out: the width of the declared range, or else the size of each value.
    #[schemars(range(min = 0))]
    scale: Option<f64>,
    /// The position of the feature that moves, from 0.
    feature: usize,
}

impl Probe for FeatureDrift {
    const NAME: &'static str = "feature_drift";
}

const SHIFT: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];

impl Corruption for FeatureDrift {
    type Input = Row;

    fn corrupt(&self, row: &mut Row, _: &mut Rng) -> Result<()> {
        let feature = self.feature;
        if feature >= row.values.len() {
            let message = format!("{feature} was found, the row has the features 0 to {}", row.values.len() - 1);
            return Err(Error::invalid("params.feature", message));
        }
        row.set(feature, row.values[feature] + self.severity.at(&SHIFT) * row.unit(feature, self.scale));
        Ok(())
    }
}
