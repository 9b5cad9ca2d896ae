//! Procedural frost: grain at several sizes, coloured.

use super::filter::Field;
use crate::tensor::Rng;

/// Sizes of the grain in pixels, from the finest to the coarsest.
const SIZES: [f64; 7] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// One kind of frost. Mean and spread of its colours and the sizes of its grain were measured on the photographs of the
/// Python package imagecorruptions (the last kind is their mean), so that it hides as much of a picture as they do.
pub(super) struct Texture {
    /// Mean of red, green and blue, 0 to 255.
    mean: [f32; 3],
    /// Standard deviation of the same.
    spread: [f32; 3],
    /// Share of the variance at each of [`SIZES`].
    grain: [f32; 7],
    /// Whether the grain has ridges, as crystals have.
    ridged: bool,
}

pub(super) static TEXTURES: [Texture; 6] = [
    Texture {
        mean: [78.0, 149.0, 166.0],
        spread: [27.0, 16.0, 15.0],
        grain: [0.17, 0.19, 0.05, 0.04, 0.08, 0.13, 0.34],
        ridged: false,
    },
    Texture {
        mean: [201.0, 205.0, 214.0],
        spread: [21.0, 22.0, 23.0],
        grain: [0.15, 0.2, 0.14, 0.14, 0.07, 0.05, 0.25],
        ridged: false,
    },
    Texture {
        mean: [201.0, 205.0, 214.0],
        spread: [21.0, 22.0, 23.0],
        grain: [0.15, 0.2, 0.14, 0.14, 0.07, 0.05, 0.25],
        ridged: true,
    },
    Texture {
        mean: [138.0, 153.0, 165.0],
        spread: [28.0, 28.0, 30.0],
        grain: [0.23, 0.29, 0.16, 0.07, 0.06, 0.03, 0.16],
        ridged: true,
    },
    Texture {
        mean: [112.0, 123.0, 135.0],
        spread: [44.0, 43.0, 42.0],
        grain: [0.2, 0.2, 0.16, 0.13, 0.12, 0.08, 0.11],
        ridged: true,
    },
    Texture {
        mean: [146.0, 167.0, 179.0],
        spread: [29.0, 27.0, 27.0],
        grain: [0.18, 0.22, 0.13, 0.1, 0.08, 0.07, 0.22],
        ridged: false,
    },
];

impl Texture {
    /// Red, green and blue of a grain in standard deviations from the mean.
    pub(super) fn colour(&self, grain: f32) -> [f32; 3] {
        std::array::from_fn(|c| (self.mean[c] + self.spread[c] * grain).clamp(0.0, 255.0))
    }

    /// Grain of mean 0 and variance 1, its sizes multiplied by `scale`.
    pub(super) fn grow(&self, height: usize, width: usize, scale: f64, rng: &mut Rng) -> Field {
        let mut sum = Field::fill(height, width, || 0.0);
        for (size, share) in SIZES.iter().zip(self.grain) {
            add_noise(&mut sum, (size * scale).max(1.0), share.sqrt(), self.ridged, rng);
        }
        sum
    }
}

/// Adds smooth noise with a random value every `size` pixels, of the standard deviation `amplitude`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn add_noise(field: &mut Field, size: f64, amplitude: f32, ridged: bool, rng: &mut Rng) {
    // Before which knot, and how far on the smooth way to the next one.
    let axis = |n: usize, start: f64| -> Vec<(usize, f32)> {
        let place = |i: usize| {
            let at = start + i as f64 / size;
            let part = at.fract() as f32;
            (at as usize, part * part * (3.0 - 2.0 * part))
        };
        (0..n).map(place).collect()
    };
    let (rows, columns) = (axis(field.height, rng.uniform()), axis(field.width, rng.uniform()));
    let knots = |axis: &[(usize, f32)]| axis.last().map_or(0, |(knot, _)| knot + 2);
    let (count, width) = (knots(&rows) * knots(&columns), knots(&columns));
    let noise: Vec<f32> = (0..count).map(|_| rng.range(-1.0, 1.0) as f32).collect();
    // Each row of knots as wide as the picture, so that only whole rows are left to mix.
    let wide = noise.chunks(width).flat_map(|knots| {
        columns.iter().map(|(knot, part)| {
            let [left, right] = knots[*knot..].first_chunk().copied().unwrap_or_default();
            left + part * (right - left)
        })
    });
    let (wide, width): (Vec<f32>, _) = (wide.collect(), field.width);
    for (y, (knot, part)) in rows.iter().enumerate() {
        let (upper, lower) = (&wide[knot * width..], &wide[(knot + 1) * width..]);
        let values = upper.iter().zip(lower).map(|(u, l)| u + part * (l - u));
        let row = field.row(y);
        let samples = field.data[row].iter_mut().zip(values);
        if ridged {
            samples.for_each(|(sample, value)| *sample += amplitude * RIDGED * (RIDGE - value.abs()));
        } else {
            samples.for_each(|(sample, value)| *sample += amplitude * SMOOTH * value);
        }
    }
}

/// What brings smooth noise to a variance of 1: knots have 1/3, the way between them keeps 0.552 of it on average.
const SMOOTH: f32 = 2.331;
/// The mean of the absolute value, and what brings the rest to a variance of 1; both measured.
const RIDGE: f32 = 0.349;
const RIDGED: f32 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frost_has_mean_zero_and_variance_one() {
        for (i, texture) in TEXTURES.iter().enumerate() {
            let (mut mean, mut square) = (0.0, 0.0);
            for case in 0..20 {
                let frost = texture.grow(200, 300, 1.1, &mut Rng::new(case, "frost", "", 0));
                mean += frost.data.iter().map(|v| f64::from(*v)).sum::<f64>() / 60_000.0 / 20.0;
                square += frost.data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 60_000.0 / 20.0;
            }
            let variance = square - mean * mean;
            assert!(mean.abs() < 0.2 && (variance - 1.0).abs() < 0.2, "{i}: mean {mean}, variance {variance}");
        }
    }
}
