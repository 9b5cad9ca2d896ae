//! Snowfall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::{Border, Field, correlate, line};
use super::zoom::{enlarged, extent};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Lets snow fall through the picture and makes it paler.
///
/// Random flakes are enlarged, smeared along the fall and laid over the picture twice, the second time upside down; the
/// picture is mixed with a bright grey version of itself.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Snow {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Snow {
    const NAME: &'static str = "snow";
    const PAPER: &'static str = IMAGENET_C;
}

/// Mean, standard deviation, enlargement and threshold of the flakes, radius and standard deviation of their smear, and
/// what stays of the picture's own colours, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SNOW: [[[f64; 7]; 5]; 3] = [
    [
        [0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8],
        [0.2, 0.3, 2.0, 0.5, 12.0, 4.0, 0.7],
        [0.55, 0.3, 4.0, 0.9, 12.0, 8.0, 0.7],
        [0.55, 0.3, 4.5, 0.85, 12.0, 8.0, 0.65],
        [0.55, 0.3, 2.5, 0.85, 12.0, 12.0, 0.55],
    ],
    [
        [0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.8],
        [0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.8],
        [0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.7],
        [0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.65],
        [0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.6],
    ],
    [
        [0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.95],
        [0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9],
        [0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.9],
        [0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.85],
        [0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.8],
    ],
];

impl Corruption for Snow {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let parameters = self.severity.of(&SNOW, image);
        let flakes = flakes(image, parameters, rng);
        let kept = parameters[6] as f32;
        let mut snowy = Field::from(&*image);
        let falling = flakes.iter().zip(flakes.iter().rev());
        for (pixel, (flake, turned)) in snowy.data.chunks_mut(image.channels).zip(falling) {
            let grey = if let [r, g, b] = *pixel { 0.299 * r + 0.587 * g + 0.114 * b } else { pixel[0] };
            let fallen = flake + turned;
            let pale = grey * 1.5 + 127.5;
            pixel.iter_mut().for_each(|v| *v = kept * *v + (1.0 - kept) * v.max(pale) + fallen);
        }
        snowy.truncate_into(image);
        Ok(())
    }
}

/// The fallen flakes in the size of the picture: whole numbers 0 to 255.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn flakes(image: &Pixels, [mean, sigma, zoom, threshold, radius, smear, _]: [f64; 7], rng: &mut Rng) -> Vec<f32> {
    // Only the middle is drawn, since only it is enlarged.
    let (height, width) = (extent(image.height, zoom).1, extent(image.width, zoom).1);
    let mut flakes = enlarged(&Field::fill(height, width, || (mean + sigma * rng.normal()) as f32), zoom);
    let floor = threshold as f32;
    flakes.data.iter_mut().for_each(|v| *v = if *v < floor { 0.0 } else { v.min(1.0) });
    let line = line(radius as usize, smear, rng.range(-135.0, -45.0), Some([flakes.height, flakes.width]));
    let fallen = correlate(&flakes, &line, Border::Nearest);
    let rows = (0..image.height).flat_map(|y| &fallen.data[fallen.row(y)][..image.width]);
    // Rounded by cutting, for none is negative.
    rows.map(|flake| f32::from((flake * 255.0 + 0.5) as u8)).collect()
}
