//! Frost on the lens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Field;
use super::texture::TEXTURES;
use super::{Corruption, IMAGENET_C, Severity, Variant};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Lays frost over the picture, as on a lens or a window in winter.
///
/// The textures are procedural, not the photographs of the references: six kinds of frost whose colours, contrast and
/// grain are those of the photographs, drawn anew for each case. They are as coarse as in the references for pictures
/// above 64 pixels, finer for smaller ones. The variant `imagecorruptions` magnifies them by 1.1, `imagenet_c` does not.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Frost {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// Whose code is followed.
    variant: Variant,
}

impl Probe for Frost {
    const NAME: &'static str = "frost";
    const PAPER: &'static str = IMAGENET_C;
}

/// Weights of picture and frost, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const MIX: [[(f32, f32); 5]; 3] = [
    [(1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    [(1.0, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)],
    [(1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
];

/// Side of a picture above which frost grows with it, since the photographs do not cover more.
const COVERED: f64 = 500.0;

impl Corruption for Frost {
    type Input = Pixels;

    #[allow(clippy::cast_precision_loss)]
    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let (kept, laid) = self.severity.of(&MIX, image);
        let shorter = image.height.min(image.width);
        let scale = match (shorter, self.variant) {
            (0..=32, _) => 0.2,
            (33..=64, _) => 0.3,
            (_, Variant::Imagecorruptions) => 1.1 * (shorter as f64 / COVERED).max(1.0),
            (_, Variant::ImagenetC) => 1.0,
        };
        let texture = &TEXTURES[rng.below(TEXTURES.len())];
        let frost = texture.grow(image.height, image.width, scale, rng);
        let mut frosted = Field::from(&*image);
        if image.channels == 1 {
            for (grey, grain) in frosted.data.iter_mut().zip(&frost.data) {
                let [r, g, b] = texture.colour(*grain);
                *grey = kept * *grey + laid * (0.2989 * r + 0.587 * g + 0.114 * b);
            }
        } else {
            for (pixel, grain) in frosted.data.as_chunks_mut::<3>().0.iter_mut().zip(&frost.data) {
                let colour = texture.colour(*grain);
                *pixel = std::array::from_fn(|c| kept * pixel[c] + laid * colour[c]);
            }
        }
        frosted.truncate_into(image);
        Ok(())
    }
}
