//! The view through frosted glass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, gaussian};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Blurs, moves pixels to places nearby, and blurs again, as structured glass does.
///
/// As in both references a pixel of an RGB picture is overwritten by its neighbour, and only grey ones are exchanged.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GlassBlur {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for GlassBlur {
    const NAME: &'static str = "glass_blur";
    const PAPER: &'static str = IMAGENET_C;
}

/// Standard deviation of the blurs, largest distance in pixels and number of rounds, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const GLASS: [[(f64, usize, usize); 5]; 3] = [
    [(0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    [(0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)],
    [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
];

impl Corruption for GlassBlur {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let (sigma, distance, rounds) = self.severity.of(&GLASS, image);
        blur(image, sigma);
        for _ in 0..rounds {
            shuffle(image, distance, rng);
        }
        blur(image, sigma);
        Ok(())
    }
}

fn blur(image: &mut Pixels, sigma: f64) {
    gaussian(&Field::from(&*image), [sigma; 2], 4.0, Border::Nearest).truncate_into(image);
}

/// Lets every pixel inside take the place of one up to `distance` away, from the last to the first.
fn shuffle(image: &mut Pixels, distance: usize, rng: &mut Rng) {
    let inside = |n: usize| (distance + 1..(n + 1).saturating_sub(distance)).rev();
    for y in inside(image.height) {
        for x in inside(image.width) {
            // Offsets from -distance to distance - 1 in both directions, by one number.
            let draw = rng.below(4 * distance * distance);
            let (down, right) = (draw / (2 * distance), draw % (2 * distance));
            let here = (y * image.width + x) * image.channels;
            let there = ((y + down - distance) * image.width + x + right - distance) * image.channels;
            if image.channels == 1 {
                image.data.swap(here, there);
            } else {
                image.data.copy_within(there..there + 3, here);
            }
        }
    }
}
