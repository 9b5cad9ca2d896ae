//! Too loud or too quiet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::within;
use super::{Corruption, Sequence, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Makes a sequence louder or quieter, either at random for each case.
///
/// By 3, 6, 9, 12 or 18 decibels; results are clipped to the declared range, as a converter does.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gain {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Gain {
    const NAME: &'static str = "gain";
}

const DECIBELS: [f64; 5] = [3.0, 6.0, 9.0, 12.0, 18.0];

impl Corruption for Gain {
    type Input = Sequence;

    fn corrupt(&self, sequence: &mut Sequence, rng: &mut Rng) -> Result<()> {
        let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
        let factor = 10f64.powf(sign * self.severity.at(&DECIBELS) / 20.0);
        let range = sequence.range;
        sequence.values.iter_mut().for_each(|v| *v = within(*v * factor, range));
        Ok(())
    }
}
