//! Drops on the lens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edges::{canny, distance, equalize};
use super::filter::{Border, Field, Tap, correlate, gaussian};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Splashes water (severities 1 to 3) or mud (4 and 5) on the lens.
///
/// Random blots of pale turquoise with lighter rims, or of brown. One of the four extra corruptions, outside of the mean
/// over 15.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spatter {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Spatter {
    const NAME: &'static str = "spatter";
    const PAPER: &'static str = IMAGENET_C;
}

/// Mean and standard deviation of the noise, its blur, the threshold of a blot, strength (of water) or blur (of mud), and
/// whether it is mud, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const SPATTER: [[([f64; 5], bool); 5]; 3] = [
    [
        ([0.65, 0.3, 4.0, 0.69, 0.6], false),
        ([0.65, 0.3, 3.0, 0.68, 0.6], false),
        ([0.65, 0.3, 2.0, 0.68, 0.5], false),
        ([0.65, 0.3, 1.0, 0.65, 1.5], true),
        ([0.67, 0.4, 1.0, 0.65, 1.5], true),
    ],
    [
        ([0.62, 0.1, 0.7, 0.7, 0.6], false),
        ([0.65, 0.1, 0.8, 0.7, 0.6], false),
        ([0.65, 0.3, 1.0, 0.69, 0.6], false),
        ([0.65, 0.1, 0.7, 0.68, 0.6], true),
        ([0.65, 0.1, 0.5, 0.67, 0.6], true),
    ],
    [
        ([0.62, 0.1, 0.7, 0.7, 0.5], false),
        ([0.65, 0.1, 0.8, 0.7, 0.5], false),
        ([0.65, 0.3, 1.0, 0.69, 0.5], false),
        ([0.65, 0.1, 0.7, 0.69, 0.6], true),
        ([0.65, 0.1, 0.5, 0.68, 0.6], true),
    ],
];

/// Red, green and blue.
const WATER: [f32; 3] = [175.0, 238.0, 238.0];
const MUD: [f32; 3] = [63.0, 42.0, 20.0];

impl Corruption for Spatter {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let ([mean, sigma, blur, threshold, last], mud) = self.severity.of(&SPATTER, image);
        let noise = Field::fill(image.height, image.width, || (mean + sigma * rng.normal()) as f32);
        let mut liquid = gaussian(&noise, [blur; 2], 4.0, Border::Nearest);
        let threshold = threshold as f32;
        let mut spattered = Field::from(&*image);
        if mud {
            liquid.data.iter_mut().for_each(|v| *v = if *v > threshold { 1.0 } else { 0.0 });
            let blots = gaussian(&liquid, [last; 2], 4.0, Border::Nearest);
            lay(
                &mut spattered,
                &blots,
                |sample, mud, blot| {
                    if blot < 0.8 { sample } else { sample * (1.0 - blot) + mud * blot }
                },
                MUD,
            );
        } else {
            liquid
                .data
                .iter_mut()
                .for_each(|v| *v = if *v < threshold { 0.0 } else { (*v * 255.0).floor().min(255.0) });
            let drops = rims(&liquid);
            let brightest = drops.data.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
            let strength = last as f32 / brightest;
            lay(&mut spattered, &drops, |sample, water, drop| sample + water * drop * strength, WATER);
        }
        spattered.truncate_into(image);
        Ok(())
    }
}

/// Mixes a colour (its luma for a grey picture) into each sample by the field's value there.
fn lay(picture: &mut Field, by: &Field, mix: impl Fn(f32, f32, f32) -> f32, colour: [f32; 3]) {
    let grey = [0.2989 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]];
    let colour = if picture.channels == 1 { &grey[..] } else { &colour[..] };
    for (pixel, by) in picture.data.chunks_mut(picture.channels).zip(&by.data) {
        pixel.iter_mut().zip(colour).for_each(|(sample, colour)| *sample = mix(*sample, *colour, *by));
    }
}

/// How light each place of the liquid (whole numbers 0 to 255) is: brightest along its edges. The steps are the
/// reference's.
fn rims(liquid: &Field) -> Field {
    let mut near = distance(&canny(liquid, 50.0, 150.0), liquid.height, liquid.width);
    near.data.iter_mut().for_each(|v| *v = v.min(20.0));
    let mut near = mean3(&near, f32::floor);
    equalize(&mut near);
    let kernel = [(-1, -1, -2.0), (-1, 0, -1.0), (0, -1, -1.0), (0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0), (1, 1, 2.0)];
    let kernel = kernel.map(|(dy, dx, weight)| Tap { dy, dx, weight });
    let mut relief = correlate(&near, &kernel, Border::Reflect101);
    relief.data.iter_mut().for_each(|v| *v = v.clamp(0.0, 255.0));
    let mut rims = mean3(&relief, f32::round_ties_even);
    rims.data.iter_mut().zip(&liquid.data).for_each(|(rim, liquid)| *rim *= liquid);
    rims
}

/// The mean of 3x3, made whole by `round`.
fn mean3(field: &Field, round: fn(f32) -> f32) -> Field {
    let tap = |i: isize| Tap { dy: i / 3 - 1, dx: i % 3 - 1, weight: 1.0 };
    let mut mean = correlate(field, &(0..9).map(tap).collect::<Vec<_>>(), Border::Reflect101);
    mean.data.iter_mut().for_each(|v| *v = round(*v / 9.0));
    mean
}
