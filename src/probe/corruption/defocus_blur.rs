//! Blur of a lens out of focus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, Tap, correlate_mirrored, gaussian};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Blurs with a disk, as a lens out of focus does.
///
/// The disk's radius is 3 to 10 pixels (pictures above 64 pixels; smaller disks for smaller ones), its edge softened.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DefocusBlur {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for DefocusBlur {
    const NAME: &'static str = "defocus_blur";
    const PAPER: &'static str = IMAGENET_C;
}

/// Radius of the disk and standard deviation that softens its edge, in pixels, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const DISK: [[(f64, f64); 5]; 3] = [
    [(3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)],
    [(0.5, 0.6), (1.0, 0.1), (1.5, 0.1), (2.5, 0.01), (3.0, 0.1)],
    [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)],
];

impl Corruption for DefocusBlur {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let (radius, softness) = self.severity.of(&DISK, image);
        correlate_mirrored(&Field::from(&*image), &disk(radius, softness), Border::Reflect101).truncate_into(image);
        Ok(())
    }
}

/// The weights of a disk with a soft edge: a Gaussian of 3x3 (5x5 for radii above 8) over the disk of whole pixels.
/// Radii of 8 and 10 touch the edge of their grid, so that their weights sum to 1.01, as in the reference.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn disk(radius: f64, softness: f64) -> Vec<Tap> {
    let (reach, truncated) = if radius <= 8.0 { (8, 1.0) } else { (radius as isize, 2.0) };
    let side = 2 * reach as usize + 1;
    let mut at = (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| y * y + x * x));
    let hard =
        Field::fill(side, side, || if at.next().is_some_and(|r| (r as f64) <= radius * radius) { 1.0 } else { 0.0 });
    let total: f32 = hard.data.iter().sum();
    let soft = gaussian(&hard, [softness; 2], truncated / softness, Border::Reflect101);
    let at = |i: usize| ((i / side) as isize - reach, (i % side) as isize - reach);
    let tap = |(i, weight): (usize, &f32)| Tap { dy: at(i).0, dx: at(i).1, weight: weight / total };
    soft.data.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_whole_and_round() {
        for (radius, softness) in DISK.into_iter().flatten() {
            let disk = disk(radius, softness);
            let total: f32 = disk.iter().map(|t| t.weight).sum();
            assert!((total - 1.0).abs() < 0.02, "{radius}: {total}");
            assert!(disk.iter().all(|t| t.dy.abs().max(t.dx.abs()) <= radius as isize + 2), "{radius}");
        }
    }
}
