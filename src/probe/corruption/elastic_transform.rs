//! Stretched and squeezed here and there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, gaussian, warped};
use super::{Corruption, IMAGENET_C, Severity, Variant};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Moves pixels by a smooth random field, as in a print on rubber.
///
/// The variant `imagecorruptions` moves by random steps smoothed over 1 % of the side, 12.5 to 30 times enlarged.
/// `imagenet_c` turns and shears the whole at random first and moves by its own, mostly smaller steps.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ElasticTransform {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// Whose code is followed.
    variant: Variant,
}

impl Probe for ElasticTransform {
    const NAME: &'static str = "elastic_transform";
    const PAPER: &'static str = IMAGENET_C;
}

/// How many times the smoothed steps are enlarged, from the Python package imagecorruptions.
const ENLARGED: [f64; 5] = [12.5, 16.25, 21.25, 25.0, 30.0];

/// Enlargement and smoothness of the steps and the corners' shift, in parts of the side that the reference means,
/// from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const STEPS: [[(f64, f64, f64); 5]; 3] = [
    [(2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)],
    [(0.0, 0.0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)],
    [(0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
];
/// That side in pixels; 244 is the reference's own.
const SIDE: [[f64; 5]; 3] = [[244.0; 5], [64.0; 5], [32.0; 5]];

impl Corruption for ElasticTransform {
    type Input = Pixels;

    #[allow(clippy::cast_precision_loss)]
    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let (height, width) = (image.height, image.width);
        let mut picture = Field::from(&*image);
        let (step, sigma, enlarge) = match self.variant {
            Variant::Imagecorruptions => {
                let sigma = [height, width].map(|n| n as f64 * 0.01);
                (height as f64 * 0.005, sigma, self.severity.at(&ENLARGED))
            }
            Variant::ImagenetC => {
                let (side, (enlarge, sigma, shift)) = (self.severity.of(&SIDE, image), self.severity.of(&STEPS, image));
                let affine = affine(height, width, shift * side, rng);
                picture = warped(&picture, Border::Reflect101, |y, x| {
                    affine.map(|[a, b, c]| a * y as f32 + b * x as f32 + c)
                });
                (1.0, [sigma * side; 2], enlarge * side)
            }
        };
        let mut steps = || {
            let steps = Field::fill(height, width, || (rng.range(-step, step) * enlarge) as f32);
            gaussian(&steps, sigma, 3.0, Border::Reflect).data
        };
        let (across, down) = (steps(), steps());
        let from = |y, x| [y as f32 + down[y * width + x], x as f32 + across[y * width + x]];
        warped(&picture, Border::Reflect, from).truncate_into(image);
        Ok(())
    }
}

/// Where each pixel comes from when the corners of a triangle in the middle are shifted at random by up to `shift`:
/// row and column, each as factors of row and column and a summand.
#[allow(clippy::cast_precision_loss)]
fn affine(height: usize, width: usize, shift: f64, rng: &mut Rng) -> [[f32; 3]; 2] {
    let (y, x, third) = ((height / 2) as f64, (width / 2) as f64, (height.min(width) / 3) as f64);
    let before = [[y + third, x + third], [y - third, x + third], [y - third, x - third]];
    let after = before.map(|corner| corner.map(|v| v + rng.range(-shift, shift)));
    // The map that takes `after` to `before`, by its edges from the first corner.
    let edge = |of: &[[f64; 2]; 3], i: usize| [of[i][0] - of[0][0], of[i][1] - of[0][1]];
    let ([a, b], [c, d]) = (edge(&after, 1), edge(&after, 2));
    let determinant = a * d - b * c;
    // Corners on one line leave the picture as it is.
    if determinant.abs() < 1e-6 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    }
    let (first, second) = (edge(&before, 1), edge(&before, 2));
    [0, 1].map(|i| {
        let down = (first[i] * d - second[i] * b) / determinant;
        let right = (second[i] * a - first[i] * c) / determinant;
        [down, right, before[0][i] - down * after[0][0] - right * after[0][1]].map(|v| v as f32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_affine_map_without_shift_is_the_identity() {
        let [[a, b, c], [d, e, f]] = affine(224, 200, 0.0, &mut Rng::new(1, "", "", 0));
        for (found, expected) in [(a, 1.0), (b, 0.0), (c, 0.0), (d, 0.0), (e, 1.0), (f, 0.0)] {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
