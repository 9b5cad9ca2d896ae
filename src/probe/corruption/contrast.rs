//! Little contrast.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, to_uint8};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Draws all samples towards the mean of their channel, as haze and bad exposure do.
///
/// A share of 0.4 down to 0.05 of the distance to the mean is left (pictures above 64 pixels; more for the smallest).
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Contrast {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Contrast {
    const NAME: &'static str = "contrast";
    const PAPER: &'static str = IMAGENET_C;
}

/// What is left of the distance to the mean, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const LEFT: [[f64; 5]; 3] = [[0.4, 0.3, 0.2, 0.1, 0.05], [0.4, 0.3, 0.2, 0.1, 0.05], [0.75, 0.5, 0.4, 0.3, 0.15]];

impl Corruption for Contrast {
    type Input = Pixels;

    #[allow(clippy::cast_precision_loss)]
    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let left = self.severity.of(&LEFT, image);
        let (channels, pixels) = (image.channels, image.height * image.width);
        for channel in 0..channels {
            let of_channel = || image.data.iter().skip(channel).step_by(channels);
            let sum: u64 = of_channel().map(|&v| u64::from(v)).sum();
            let mean = sum as f64 / pixels as f64 / 255.0;
            let table: [u8; 256] = std::array::from_fn(|v| to_uint8((v as f64 / 255.0 - mean) * left + mean));
            for sample in image.data.iter_mut().skip(channel).step_by(channels) {
                *sample = table[usize::from(*sample)];
            }
        }
        Ok(())
    }
}
