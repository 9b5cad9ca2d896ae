//! Normal noise on the features of a row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, Row, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Adds independent normal noise to every feature of a row.
///
/// Standard deviation 0.02, 0.05, 0.1, 0.2 or 0.4 of the scale; results stay in the declared range.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdditiveNoise {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// What a severity's share is a share of; left out: the width of the declared range, or else the size of each value.
    #[schemars(range(min = 0))]
    scale: Option<f64>,
}

impl Probe for AdditiveNoise {
    const NAME: &'static str = "additive_noise";
}

const SIGMA: [f64; 5] = [0.02, 0.05, 0.1, 0.2, 0.4];

impl Corruption for AdditiveNoise {
    type Input = Row;

    fn corrupt(&self, row: &mut Row, rng: &mut Rng) -> Result<()> {
        let sigma = self.severity.at(&SIGMA);
        for feature in 0..row.values.len() {
            let noise = sigma * row.unit(feature, self.scale) * rng.normal();
            row.set(feature, row.values[feature] + noise);
        }
        Ok(())
    }
}
