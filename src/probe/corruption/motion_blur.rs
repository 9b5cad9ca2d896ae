//! Blur along a line, as when the camera moves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, correlate, line};
use super::{Corruption, IMAGENET_C, Severity, Variant};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Smears the picture along a line of random angle, as a moving camera does.
///
/// A one-sided Gaussian along an angle between -45 and 45 degrees, drawn for each case. The variant `imagecorruptions`
/// ends the line where it leaves the picture and truncates to 8 bits; `imagenet_c` (ImageMagick) does neither and rounds.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MotionBlur {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// Whose code is followed.
    variant: Variant,
}

impl Probe for MotionBlur {
    const NAME: &'static str = "motion_blur";
    const PAPER: &'static str = IMAGENET_C;
}

/// Radius in pixels and standard deviation of the smear, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const BLUR: [[(usize, f64); 5]; 3] = [
    [(10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)],
    [(10, 1.0), (10, 1.5), (10, 2.0), (10, 2.5), (12, 3.0)],
    [(6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)],
];

impl Corruption for MotionBlur {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let (radius, sigma) = self.severity.of(&BLUR, image);
        let reference = self.variant == Variant::ImagenetC;
        let limit = (!reference).then_some([image.height, image.width]);
        let line = line(radius, sigma, rng.range(-45.0, 45.0), limit);
        let mut blurred = correlate(&Field::from(&*image), &line, Border::Nearest);
        if reference {
            blurred.data.iter_mut().for_each(|v| *v += 0.5);
        }
        blurred.truncate_into(image);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_across_the_line_is_smeared_and_a_flat_picture_stays() {
        let step = |x: usize| if x < 112 { 0 } else { 200 };
        let mut image = Pixels::new(224, 224, 1, (0..224 * 224).map(|i| step(i % 224)).collect()).unwrap();
        let row = 112 * 224;
        let strong = MotionBlur { severity: Severity::try_from(5).unwrap(), ..MotionBlur::default() };
        strong.corrupt(&mut image, &mut Rng::new(1, "motion_blur", "0", 0)).unwrap();
        assert!(image.data[row + 20] == 0 && image.data[row + 210] >= 198);
        assert!((96..128).any(|x| (40..160).contains(&image.data[row + x])), "no grey between black and white");
    }
}
