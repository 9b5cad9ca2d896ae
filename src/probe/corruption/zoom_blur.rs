//! Blur from the middle outwards, as when the camera rushes forward.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Field;
use super::zoom::{enlarged, middle};
use super::{Corruption, IMAGENET_C, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Averages enlargements of the picture, as a camera that rushes forward sees it.
///
/// Factors from 1 to 1.11 at severity 1 and to 1.31 at 5 (pictures above 64 pixels; 1.06 to 1.26 for smaller ones), about
/// its middle, and the picture itself once more.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ZoomBlur {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for ZoomBlur {
    const NAME: &'static str = "zoom_blur";
    const PAPER: &'static str = IMAGENET_C;
}

/// End and step of the factors, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const FACTORS: [[(f64, f64); 5]; 3] = [
    [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
    [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
    [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
];

impl Corruption for ZoomBlur {
    type Input = Pixels;

    #[allow(clippy::cast_precision_loss)]
    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let factors = factors(self.severity.of(&FACTORS, image));
        let clean = Field::from(&*image);
        let mut sum = clean.clone();
        for factor in &factors {
            let zoomed = enlarged(&middle(&clean, *factor), *factor);
            for y in 0..clean.height {
                let row = sum.row(y);
                sum.data[row].iter_mut().zip(&zoomed.data[zoomed.row(y)]).for_each(|(sum, sample)| *sum += sample);
            }
        }
        let count = (factors.len() + 1) as f32;
        sum.data.iter_mut().for_each(|sample| *sample /= count);
        sum.truncate_into(image);
        Ok(())
    }
}

/// From 1 up to the end, as numpy's `arange`: what rounding does to the number of factors and to each is kept.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn factors((end, step): (f64, f64)) -> Vec<f64> {
    let count = ((end - 1.0) / step).ceil() as usize;
    (0..count).map(|i| 1.0 + i as f64 * ((1.0 + step) - 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_factors_as_numpy_makes() {
        let counts = FACTORS.map(|row| row.map(|factors| super::factors(factors).len()));
        assert_eq!(counts, [[12, 16, 11, 13, 11], [7, 12, 16, 21, 26], [7, 12, 16, 21, 26]]);
    }
}
