//! An input that says nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::study::{Grid, Study, one_row};

/// What stands for a value that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Baseline {
    Word(Word),
    Number(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Zero,
    Mean,
    Blurred,
    Background,
}

impl Default for Baseline {
    fn default() -> Self {
        Self::Word(Word::Zero)
    }
}

/// The spread of a blur, as a share of the picture's shorter side: what is left are large areas of colour.
const BLUR: f64 = 0.05;

impl Baseline {
    /// Whether it is made of reference rows.
    pub(super) fn is_background(self) -> bool {
        self == Self::Word(Word::Background)
    }

    /// For an `x`: a number for all values; the mean of each channel of a picture, and of all values of another input; the
    /// picture without its details; the mean of the background's rows. What does not apply stands for the mean.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn of(self, x: &[f32], study: &Study<'_>) -> Vec<f32> {
        match (self, study.grid()) {
            (Self::Word(Word::Zero), _) => vec![0.0; x.len()],
            (Self::Number(number), _) => vec![number as f32; x.len()],
            (Self::Word(Word::Blurred), Some(grid)) => blurred(x, grid),
            (Self::Word(Word::Background), _) if !study.background.is_empty() => {
                let rows = study.background;
                (0..x.len())
                    .map(|i| (rows.iter().map(|r| f64::from(r[i])).sum::<f64>() / rows.len() as f64) as f32)
                    .collect()
            }
            (Self::Word(_), grid) => means(x, grid.unwrap_or_else(|| one_row(x.len()))),
        }
    }
}

/// The mean of each channel, everywhere.
#[allow(clippy::cast_possible_truncation)]
fn means(x: &[f32], ([channels, ..], [stride, ..]): Grid) -> Vec<f32> {
    let channel = |i: usize| i / stride.max(1) % channels;
    let mut sums = vec![(0.0, 0.0); channels];
    for (i, x) in x.iter().enumerate() {
        let (sum, count) = &mut sums[channel(i)];
        (*sum, *count) = (*sum + f64::from(*x), *count + 1.0);
    }
    (0..x.len()).map(|i| (sums[channel(i)].0 / sums[channel(i)].1) as f32).collect()
}

/// Gaussian blur along rows, then columns; at the edges of what there is.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn blurred(x: &[f32], (size, strides): Grid) -> Vec<f32> {
    let spread = (BLUR * size[1].min(size[2]) as f64).max(0.5);
    let reach = (3.0 * spread).ceil() as usize;
    let weights: Vec<f64> = (0..=reach).map(|d| (-0.5 * (d as f64 / spread).powi(2)).exp()).collect();
    let mut from: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    for axis in [2, 1] {
        let (length, stride) = (size[axis], strides[axis]);
        let mean = |at: usize| {
            let place = at / stride % length;
            let window = place.saturating_sub(reach)..(place + reach + 1).min(length);
            let (mut sum, mut total) = (0.0, 0.0);
            for other in window {
                let weight = weights[other.abs_diff(place)];
                (sum, total) = (sum + weight * from[at + other * stride - place * stride], total + weight);
            }
            sum / total
        };
        from = (0..x.len()).map(mean).collect();
    }
    from.into_iter().map(|v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_even_pictures_and_flattens_others() {
        for grid in [([3, 6, 4], [24, 4, 1]), ([3, 6, 4], [1, 12, 3])] {
            assert!(blurred(&[0.25; 72], grid).iter().all(|v| (v - 0.25).abs() < 1e-6));
            let one: Vec<f32> = (0..72).map(|i| f32::from(u8::from(i == 30))).collect();
            let blurred = blurred(&one, grid);
            assert!(blurred[30] < 0.9 && blurred[30] > 0.3 && blurred.iter().all(|v| *v >= 0.0), "{blurred:?}");
        }
    }

    #[test]
    fn channels_have_their_own_means() {
        assert_eq!(means(&[1.0, 3.0, 5.0, 7.0], ([2, 1, 2], [2, 2, 1])), [2.0, 2.0, 6.0, 6.0]);
        assert_eq!(means(&[1.0, 3.0, 5.0, 7.0], ([2, 1, 2], [1, 4, 2])), [3.0, 5.0, 3.0, 5.0]);
    }
}
