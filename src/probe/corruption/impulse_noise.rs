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

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let share = self.severity.of(&SHARE, image);
        // When each sample is lost with the same probability, the gaps between lost ones are geometric.
        let scale = -(1.0 - share).ln().recip();
        let gap = |rng: &mut Rng| (rng.exponential() * scale) as usize;
        let mut at = gap(rng);
        while let Some(sample) = image.data.get_mut(at) {
            *sample = if rng.bits() >> 63 == 0 { 0 } else { 255 };
            at += 1 + gap(rng);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_the_tables_and_half_of_it_is_white() {
        let mut image = Pixels::new(200, 200, 1, vec![128; 40_000]).unwrap();
        let strong = ImpulseNoise { severity: Severity::try_from(5).unwrap() };
        strong.corrupt(&mut image, &mut Rng::new(1, "impulse_noise", "0", 0)).unwrap();
        let count = |value| image.data.iter().filter(|v| **v == value).count() as f64 / 40_000.0;
        assert!((count(0) - 0.135).abs() < 0.01 && (count(255) - 0.135).abs() < 0.01);
    }
}
