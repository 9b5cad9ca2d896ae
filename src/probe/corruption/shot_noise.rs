//! Poisson noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, to_uint8};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Replaces samples by counts of photons, as a sensor with little light has it.
///
/// Each sample is a Poisson number whose mean is the sample times 60 down to 3 photons (pictures above 64 pixels; more
/// photons for smaller ones), divided by the same.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShotNoise {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for ShotNoise {
    const NAME: &'static str = "shot_noise";
    const PAPER: &'static str = IMAGENET_C;
}

/// Photons of a white sample, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const PHOTONS: [[f64; 5]; 3] =
    [[60.0, 25.0, 12.0, 5.0, 3.0], [250.0, 100.0, 50.0, 30.0, 15.0], [500.0, 250.0, 100.0, 75.0, 50.0]];

impl Corruption for ShotNoise {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, rng: &mut Rng) -> Result<()> {
        let photons = self.severity.of(&PHOTONS, image);
        // There are only 256 different means, so each has its table.
        let mut tables: Vec<Option<Poisson>> = (0..256).map(|_| None).collect();
        for sample in &mut image.data {
            let mean = f64::from(*sample) / 255.0 * photons;
            let table = tables[usize::from(*sample)].get_or_insert_with(|| Poisson::new(mean));
            *sample = to_uint8(table.draw(rng) / photons);
        }
        Ok(())
    }
}

/// Into how many parts a table is cut.
const PARTS: f64 = 32.0;

/// A Poisson distribution as a table of its cumulative probabilities, drawn from by inversion.
struct Poisson {
    /// The count of the first entry; what lies below has a probability under 1e-15.
    first: f64,
    cumulative: Vec<f64>,
    /// Where to begin to look, for each equal part of the unit interval.
    starts: [usize; PARTS as usize],
}

impl Poisson {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn new(mean: f64) -> Self {
        // The largest table has a mean of 500, where exp(-mean) is still a normal number.
        let (mut probability, mut sum, mut count) = ((-mean).exp(), 0.0, 0.0);
        let (mut first, mut cumulative) = (0.0, Vec::with_capacity(64));
        loop {
            sum += probability;
            if sum > 1e-15 {
                cumulative.push(sum);
            } else {
                first = count + 1.0;
            }
            if count > mean && probability < 1e-15 {
                break;
            }
            count += 1.0;
            probability *= mean / count;
        }
        let mut start = 0;
        let starts = std::array::from_fn(|part| {
            while start < cumulative.len() && cumulative[start] <= part as f64 / PARTS {
                start += 1;
            }
            start
        });
        Self { first, cumulative, starts }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn draw(&self, rng: &mut Rng) -> f64 {
        let uniform = rng.uniform();
        let start = self.starts[(uniform * PARTS) as usize];
        let further = self.cumulative[start..].iter().take_while(|&&sum| sum <= uniform).count();
        self.first + (start + further) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_poissons() {
        for mean in [0.0, 0.02, 3.0, 60.0, 500.0] {
            let (table, mut rng) = (Poisson::new(mean), Rng::new(1, "poisson", "", 0));
            let draws: Vec<f64> = (0..40_000).map(|_| table.draw(&mut rng)).collect();
            let average = draws.iter().sum::<f64>() / 40_000.0;
            let variance = draws.iter().map(|d| (d - average).powi(2)).sum::<f64>() / 40_000.0;
            let error = 4.0 * (mean / 40_000.0).sqrt();
            assert!((average - mean).abs() <= error, "{mean}: average {average}");
            assert!((variance - mean).abs() <= error * (1.0 + 2.0 * mean).sqrt(), "{mean}: variance {variance}");
        }
    }
}
