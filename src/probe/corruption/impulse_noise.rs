//! Salt and pepper.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Sets random samples to black or white, as faulty pixels and bit errors do.
///
/// A share of 3 % to 27 % of all samples (pictures above 64 pixels; weaker tables for smaller ones), each colour channel
/// on its own, half of them white.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImpulseNoise {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for ImpulseNoise {
    const NAME: &'static str = "impulse_noise";
    const PAPER: &'static str = IMAGENET_C;
}

/// Shares of the samples that are lost, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SHARE: [[f64; 5]; 3] =
    [[0.03, 0.06, 0.09, 0.17, 0.27], [0.01, 0.02, 0.05, 0.08, 0.14], [0.01, 0.02, 0.03, 0.05, 0.07]];

impl Corruption for ImpulseNoise {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let share = self.severity.of(&SHARE, image);
        for sample in &mut image.data {
            match rng.uniform() {
                u if u < share / 2.0 => *sample = 255,
                u if u < share => *sample = 0,
                _ => {}
            }
        }
        Ok(())
    }
}
