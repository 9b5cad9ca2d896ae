//! Too much light.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hsv::in_hsv;
use super::{Corruption, IMAGENET_C, Severity, to_uint8};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Makes the picture brighter: adds to the value of each pixel's hue, saturation and value.
///
/// 0.1 to 0.5 of the range are added (pictures above 64 pixels; less for the smallest); grey samples are raised directly.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Brightness {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Brightness {
    const NAME: &'static str = "brightness";
    const PAPER: &'static str = IMAGENET_C;
}

/// What is added to a value in [0, 1], from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const ADDED: [[f64; 5]; 3] = [[0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5], [0.05, 0.1, 0.15, 0.2, 0.3]];

impl Corruption for Brightness {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let added = self.severity.of(&ADDED, image);
        if image.channels == 1 {
            image.data.iter_mut().for_each(|v| *v = to_uint8(f64::from(*v) / 255.0 + added));
        } else {
            in_hsv(image, |[h, s, v]| [h, s, (v + added).min(1.0)]);
        }
        Ok(())
    }
}
