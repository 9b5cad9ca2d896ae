//! Too much colour, or too little.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hsv::in_hsv;
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Changes the saturation: paler at severities 1 and 2, gaudier at 3 to 5.
///
/// The saturation of each pixel's hue, saturation and value is multiplied and raised. Grey pictures stay as they are.
/// One of the four extra corruptions, outside of the mean over 15.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Saturate {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Saturate {
    const NAME: &'static str = "saturate";
    const PAPER: &'static str = IMAGENET_C;
}

/// Factor and summand of the saturation, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const CHANGE: [[(f64, f64); 5]; 3] = [
    [(0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)],
    [(0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (30.0, 0.2)],
    [(0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)],
];

impl Corruption for Saturate {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let (factor, summand) = self.severity.of(&CHANGE, image);
        if image.channels == 3 {
            in_hsv(image, |[h, s, v]| [h, (s * factor + summand).min(1.0), v]);
        }
        Ok(())
    }
}
