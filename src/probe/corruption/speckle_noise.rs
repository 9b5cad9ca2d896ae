//! Multiplicative normal noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, to_uint8};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Adds normal noise in proportion to each sample, as radar and ultrasound have it.
///
/// Noise of standard deviation 0.15 to 0.6 (pictures above 64 pixels; weaker tables for smaller ones) times the sample,
/// clipped and cut to 8 bits. One of the four extra corruptions, outside of the mean over 15.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SpeckleNoise {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for SpeckleNoise {
    const NAME: &'static str = "speckle_noise";
    const PAPER: &'static str = IMAGENET_C;
}

/// Standard deviations in units of the sample itself, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SIGMA: [[f64; 5]; 3] = [[0.15, 0.2, 0.35, 0.45, 0.6], [0.15, 0.2, 0.25, 0.3, 0.35], [0.06, 0.1, 0.12, 0.16, 0.2]];

impl Corruption for SpeckleNoise {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let sigma = self.severity.of(&SIGMA, image);
        for sample in &mut image.data {
            let clean = f64::from(*sample) / 255.0;
            *sample = to_uint8(clean + clean * sigma * rng.normal());
        }
        Ok(())
    }
}
