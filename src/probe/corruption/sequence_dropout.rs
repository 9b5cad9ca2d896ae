//! Parts of a sequence that were lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::{drawn, within};
use super::{Corruption, Sequence, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Silences parts of a sequence, as lost packets and loose contacts do.
///
/// 5 %, 10 %, 20 %, 30 % or 50 % of the time, in gaps of a given length, become 0 (or the nearest value in range).
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SequenceDropout {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// Length of a gap in steps.
    #[schemars(range(min = 1))]
    gap: usize,
}

impl Probe for SequenceDropout {
    const NAME: &'static str = "sequence_dropout";
}

const SHARE: [f64; 5] = [0.05, 0.1, 0.2, 0.3, 0.5];

impl Default for SequenceDropout {
    fn default() -> Self {
        Self { severity: Severity::default(), gap: 1 }
    }
}

impl Corruption for SequenceDropout {
    type Input = Sequence;

    fn corrupt(&self, sequence: &mut Sequence, rng: &mut Rng) -> Result<()> {
        let gap = self.gap.max(1).saturating_mul(sequence.features);
        let silence = within(0.0, sequence.range);
        for i in drawn(sequence.values.len().div_ceil(gap), self.severity.at(&SHARE), rng) {
            let end = (i + 1).saturating_mul(gap).min(sequence.values.len());
            sequence.values[i * gap..end].fill(silence);
        }
        Ok(())
    }
}
