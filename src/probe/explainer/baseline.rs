//! An input that says nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition::Partition;
use super::parts::mean_colours;
use super::study::{Grid, Study, one_row};
use crate::engine::{Input, Row};
use crate::error::{Error, Result};

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

    /// For each case, and what is explained there.
    pub(super) fn asked(self, study: &Study<'_>) -> Result<(Vec<Row>, Vec<f64>)> {
        let rows = study.rows(|case| self.of(&case.x, study));
        let values = study.values(&rows)?;
        Ok((rows, values))
    }

    /// Refuses words that have no meaning for tokens, whose numbers are names: only a number stands for one.
    pub(super) fn fits(self, input: &Input) -> Result<()> {
        match self {
            Self::Word(Word::Mean | Word::Blurred | Word::Background) if input.is_tokens() => {
                Err(Error::invalid("params.baseline", "tokens have no mean; name the number of one, such as 0"))
            }
            _ => Ok(()),
        }
    }

    /// For an `x`: a number for all values; the mean of each channel of a picture, and of all values of another input; the
    /// picture without its details; the mean of the background's rows. What does not apply stands for the mean.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn of(self, x: &[f32], study: &Study<'_>) -> Vec<f32> {
        match (self, study.grid()) {
            (Self::Word(Word::Zero), _) => vec![0.0; x.len()],
            (Self::Number(number), _) => vec![number as f32; x.len()],
            (Self::Word(Word::Blurred), Some(grid)) => blurred(x, grid),
            (Self::Word(Word::Background), grid) => {
                study.mean_row().unwrap_or_else(|| means(x, grid.unwrap_or_else(|| one_row(x.len()))))
            }
            (Self::Word(_), grid) => means(x, grid.unwrap_or_else(|| one_row(x.len()))),
        }
    }
}

/// The mean of each channel, everywhere.
fn means(x: &[f32], grid: Grid) -> Vec<f32> {
    mean_colours(x, &Partition::new(vec![0; x.len()]), grid)
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
