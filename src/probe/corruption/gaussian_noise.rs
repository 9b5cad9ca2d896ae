//! Additive normal noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, to_uint8};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Adds independent normal noise to every sample, as a sensor does in low light.
///
/// Noise of standard deviation 0.08 to 0.38 (pictures above 64 pixels; weaker tables for smaller ones) in units of the
/// sample range, clipped and cut to 8 bits.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GaussianNoise {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for GaussianNoise {
    const NAME: &'static str = "gaussian_noise";
    const PAPER: &'static str = IMAGENET_C;
}

/// Standard deviations for samples in [0, 1], from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SIGMA: [[f64; 5]; 3] =
    [[0.08, 0.12, 0.18, 0.26, 0.38], [0.04, 0.08, 0.12, 0.15, 0.18], [0.04, 0.06, 0.08, 0.09, 0.10]];

impl Corruption for GaussianNoise {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let sigma = self.severity.of(&SIGMA, image);
        for sample in &mut image.data {
            *sample = to_uint8(f64::from(*sample) / 255.0 + sigma * rng.normal());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_tables() {
        let mut image = Pixels::new(100, 100, 3, vec![128; 30_000]).unwrap();
        let weak = GaussianNoise { severity: Severity::try_from(1).unwrap() };
        weak.corrupt(&mut image, &mut Rng::new(1, "gaussian_noise", "0", 0)).unwrap();
        let mean = image.data.iter().map(|&v| f64::from(v)).sum::<f64>() / 30_000.0;
        let variance = image.data.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 30_000.0;
        assert!((variance.sqrt() / 255.0 - 0.08).abs() < 0.002, "{variance}");
    }
}
