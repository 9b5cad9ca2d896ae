//! Fog.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Field;
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Lays a cloud over the picture, whose density is a random landscape.
///
/// The landscape is a fractal by the diamond-square method, of which the picture's size (up to the next power of two)
/// is drawn for each case; the whole is darkened so that the brightest sample stays in range.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fog {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Fog {
    const NAME: &'static str = "fog";
    const PAPER: &'static str = IMAGENET_C;
}

/// Density of the fog and the decay of the landscape's roughness from one level to the next finer one,
/// from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const FOG: [[(f32, f32); 5]; 3] = [
    [(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)],
    [(0.4, 3.0), (0.7, 3.0), (1.0, 2.5), (1.5, 2.0), (2.0, 1.75)],
    [(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)],
];

impl Corruption for Fog {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let (density, decay) = self.severity.of(&FOG, image);
        let side = image.height.max(image.width).next_power_of_two().max(4);
        let landscape = landscape(side, decay, rng);
        let brightest = f32::from(image.data.iter().copied().max().unwrap_or(0)) / 255.0;
        let darken = brightest / (brightest + density);
        let mut fogged = Field::from(&*image);
        for y in 0..image.height {
            let row = fogged.row(y);
            for (pixel, height) in fogged.data[row].chunks_mut(image.channels).zip(&landscape[y * side..]) {
                pixel.iter_mut().for_each(|sample| *sample = (*sample + 255.0 * density * height) * darken);
            }
        }
        fogged.truncate_into(image);
        Ok(())
    }
}

/// A fractal landscape of heights 0 to 1 that repeats at its edges, by the diamond-square method. `side` is a power of
/// two.
#[allow(clippy::cast_possible_truncation)]
fn landscape(side: usize, decay: f32, rng: &mut Rng) -> Vec<f32> {
    let mut map = vec![0f32; side * side];
    let (mut step, mut roughness) = (side, 100f32);
    while step >= 2 {
        let half = step / 2;
        // Centres of squares first, for the middles of their edges are means of corners and of centres.
        for (down, right) in [(half, half), (0, half), (half, 0)] {
            // Half a step to each of the four around: corners for a centre, else two corners and two centres.
            let around =
                if down == right { [(1, 1), (1, -1), (-1, 1), (-1, -1)] } else { [(1, 0), (-1, 0), (0, 1), (0, -1)] };
            let offsets =
                around.map(|(y, x): (isize, isize)| [y, x].map(|n| side.wrapping_add_signed(n * half as isize)));
            for y in (down..side).step_by(step) {
                for x in (right..side).step_by(step) {
                    let sum: f32 = offsets
                        .iter()
                        .map(|[dy, dx]| map[((y + dy) & (side - 1)) * side + ((x + dx) & (side - 1))])
                        .sum();
                    map[y * side + x] = sum / 4.0 + roughness * roughness * rng.range(-1.0, 1.0) as f32;
                }
            }
        }
        step = half;
        roughness /= decay;
    }
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
    map.iter_mut().for_each(|height| *height = (*height - low) * scale);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landscapes_span_the_whole_range() {
        for side in [4, 64, 256] {
            let map = landscape(side, 2.0, &mut Rng::new(1, "fog", "", 0));
            let (low, high) = map.iter().fold((1f32, 0f32), |(low, high), h| (low.min(*h), high.max(*h)));
            assert_eq!((low, high, map.len()), (0.0, 1.0, side * side));
        }
    }
}
