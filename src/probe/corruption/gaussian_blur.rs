//! Blur without direction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, gaussian};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Blurs with a Gaussian, the plainest loss of sharpness.
///
/// Standard deviation 1 to 6 pixels (pictures above 64 pixels; weaker tables for smaller ones). One of the four extra
/// corruptions, outside of the mean over 15.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GaussianBlur {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for GaussianBlur {
    const NAME: &'static str = "gaussian_blur";
    const PAPER: &'static str = IMAGENET_C;
}

/// Standard deviations in pixels, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SIGMA: [[f64; 5]; 3] = [[1.0, 2.0, 3.0, 4.0, 6.0], [0.5, 0.75, 1.0, 1.25, 1.5], [0.4, 0.6, 0.7, 0.8, 1.0]];

impl Corruption for GaussianBlur {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let sigma = self.severity.of(&SIGMA, image);
        gaussian(&Field::from(&*image), [sigma; 2], 4.0, Border::Nearest).truncate_into(image);
        Ok(())
    }
}
