//! Blur along a line, as when the camera moves.

use super::{Entry, Severity, entry};
use crate::error::Result;
use crate::tensor::{Pixels, Rng};

pub(super) const ENTRY: Entry = entry(
    "motion_blur",
    "Smears the picture along a line of random angle, as a moving camera does.",
    "A one-sided Gaussian along an angle between -45 and 45 degrees, drawn for each case.",
    motion_blur,
);

/// Radius in pixels and standard deviation of the smear, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const RADIUS: [[f64; 5]; 3] =
    [[10.0, 15.0, 15.0, 15.0, 20.0], [10.0, 10.0, 10.0, 10.0, 12.0], [6.0, 6.0, 6.0, 8.0, 9.0]];
const SIGMA: [[f64; 5]; 3] = [[3.0, 5.0, 8.0, 12.0, 15.0], [1.0, 1.5, 2.0, 2.5, 3.0], [1.0, 1.5, 2.0, 2.0, 2.5]];

/// The formula of the Python package imagecorruptions: copies shifted along the line, weighted by half a Gaussian,
/// borders repeated; copies shifted by more than the picture are left out.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
fn motion_blur(image: &mut Pixels, severity: Severity, rng: &mut Rng) -> Result<()> {
    let (radius, sigma) = (severity.of(&RADIUS, image), severity.of(&SIGMA, image));
    let (sin, cos) = rng.range(-45.0, 45.0).to_radians().sin_cos();
    let width = 2 * radius as usize + 1;
    let weights: Vec<f64> = (0..width).map(|i| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let (height, columns, channels) = (image.height as isize, image.width as isize, image.channels);
    let mut blurred = vec![0f64; image.data.len()];
    for (i, weight) in weights.iter().enumerate() {
        let shift = |direction: f64| -((i as f64 * direction - 0.5).ceil() as isize);
        let (dy, dx) = (shift(sin), shift(cos));
        if dy.abs() >= height || dx.abs() >= columns {
            break;
        }
        for y in 0..height {
            let from = (y - dy).clamp(0, height - 1) * columns;
            for x in 0..columns {
                let source = (from + (x - dx).clamp(0, columns - 1)) as usize * channels;
                let target = (y * columns + x) as usize * channels;
                for channel in 0..channels {
                    blurred[target + channel] += weight / total * f64::from(image.data[source + channel]);
                }
            }
        }
    }
    // Truncated to uint8 as the reference does; the sum of weights keeps it below 256.
    image.data = blurred.into_iter().map(|sample| sample as u8).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_across_the_line_is_smeared_and_a_flat_picture_stays() {
        let step = |x: usize| if x < 112 { 0 } else { 200 };
        let mut image = Pixels::new(224, 224, 1, (0..224 * 224).map(|i| step(i % 224)).collect()).unwrap();
        let row = 112 * 224;
        motion_blur(&mut image, Severity::ALL[4], &mut Rng::new(1, "motion_blur", "0", 0)).unwrap();
        assert!(image.data[row + 20] == 0 && image.data[row + 210] >= 198);
        assert!((96..128).any(|x| (40..160).contains(&image.data[row + x])), "no grey between black and white");
    }
}
