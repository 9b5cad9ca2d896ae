//! A picture of too few pixels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, Variant};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Kernel, Pixels, Rng, resample};

/// Makes the picture smaller and large again, so that its pixels are seen.
///
/// To 0.6 down to 0.25 of its size (pictures above 64 pixels; less for smaller ones) by averaging. The variant
/// `imagecorruptions` enlarges by repeating pixels, `imagenet_c` by averaging.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pixelate {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// Whose code is followed.
    variant: Variant,
}

impl Probe for Pixelate {
    const NAME: &'static str = "pixelate";
    const PAPER: &'static str = IMAGENET_C;
}

/// Size in parts of the picture's, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SIZE: [[f64; 5]; 3] = [[0.6, 0.5, 0.4, 0.3, 0.25], [0.9, 0.8, 0.7, 0.6, 0.5], [0.95, 0.9, 0.85, 0.75, 0.65]];

impl Corruption for Pixelate {
    type Input = Pixels;

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let part = self.severity.of(&SIZE, image);
        // A picture of one row or column keeps it.
        let small = [image.height, image.width].map(|n| ((n as f64 * part) as usize).max(1));
        let enlarge = match self.variant {
            Variant::Imagecorruptions => Kernel::Nearest,
            Variant::ImagenetC => Kernel::Box,
        };
        *image = resample(&resample(image, small[0], small[1], Kernel::Box), image.height, image.width, enlarge);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_one_colour() {
        let mut image = Pixels::new(100, 100, 1, (0..10_000).map(|i| (i % 100 * 2) as u8).collect()).unwrap();
        let strong = Pixelate { severity: Severity::try_from(5).unwrap(), ..Pixelate::default() };
        strong.corrupt(&mut image, &mut Rng::new(0, "", "", 0)).unwrap();
        assert_eq!(image.data[..8], [3, 3, 3, 3, 11, 11, 11, 11]);
    }
}
