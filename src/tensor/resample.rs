//! Resampling of 8-bit pictures, bit for bit as Pillow does it.
//!
//! Networks are trained and judged on pictures that Pillow resized, and a picture that is off by a few levels is another
//! picture to them. So this follows `Resample.c` of Pillow 9 to 12 to the rounding: coefficients in float64, then in fixed
//! point with 22 bits; columns before rows, cut to 8 bits between the two.

use super::Pixels;

/// Pillow's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Nearest,
    Box,
    Bilinear,
    /// Catmull and Rom's cubic, a = -1/2.
    Bicubic,
    Lanczos,
}

/// Bits after the point of a coefficient, as in Pillow: 8 bits of sample, 2 of headroom.
const PRECISION: u32 = 32 - 8 - 2;

impl Kernel {
    /// Half the width of the filter, in source pixels of an enlargement.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        let a = -0.5;
        match (self, x.abs()) {
            (Self::Box, _) => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            (Self::Bilinear, d) if d < 1.0 => 1.0 - d,
            (Self::Bicubic, d) if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            (Self::Bicubic, d) if d < 2.0 => (((d - 5.0) * d + 8.0) * d - 4.0) * a,
            (Self::Lanczos, _) if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// The source samples that make one target sample.
struct Window {
    start: usize,
    /// Fixed point with [`PRECISION`] bits; a single one is 1.
    weights: Vec<i32>,
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn windows(from: usize, to: usize, kernel: Kernel) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    // Only a reduction widens the filter.
    let stretch = scale.max(1.0);
    let support = kernel.support() * stretch;
    let window = |target: usize| {
        let centre = (target as f64 + 0.5) * scale;
        if kernel == Kernel::Nearest {
            return Window { start: (centre as usize).min(from - 1), weights: vec![1 << PRECISION] };
        }
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (start..end).map(|x| kernel.weight((x as f64 - centre + 0.5) / stretch)).collect();
        let total: f64 = weights.iter().sum();
        let total = if total == 0.0 { 1.0 } else { total };
        // Halves away from zero.
        let fixed = |w: &f64| (w / total * f64::from(1 << PRECISION)).round() as i32;
        Window { start, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

/// The picture in another size. Both sides must be above 0.
#[must_use]
pub fn resample(picture: &Pixels, height: usize, width: usize, kernel: Kernel) -> Pixels {
    let channels = picture.channels;
    let mut data = picture.data.clone();
    if width != picture.width {
        let columns = windows(picture.width, width, kernel);
        data = match channels {
            1 => across::<1>(&data, picture.width, &columns),
            _ => across::<3>(&data, picture.width, &columns),
        };
    }
    if height != picture.height {
        data = down(&data, width * channels, &windows(picture.height, height, kernel));
    }
    Pixels { height, width, channels, data }
}

/// Half a level, so that cutting rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// Cut to 8 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Rows of another width, where the number of channels is known to the compiler.
fn across<const CHANNELS: usize>(data: &[u8], from: usize, columns: &[Window]) -> Vec<u8> {
    let mut wide = Vec::with_capacity(data.len() / from * columns.len());
    for row in data.chunks_exact(from * CHANNELS) {
        let pixels = row.as_chunks::<CHANNELS>().0;
        for Window { start, weights } in columns {
            // Nearest, or a place that falls on one pixel.
            if let [_] = weights[..] {
                wide.extend(pixels[*start]);
                continue;
            }
            let mut sums = [HALF; CHANNELS];
            for (weight, pixel) in weights.iter().zip(&pixels[*start..]) {
                sums.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += weight * i32::from(*sample));
            }
            wide.extend(sums.map(level));
        }
    }
    wide
}

/// Another number of rows.
fn down(data: &[u8], stride: usize, rows: &[Window]) -> Vec<u8> {
    let mut tall = Vec::with_capacity(rows.len() * stride);
    let mut sums = vec![HALF; stride];
    for Window { start, weights } in rows {
        let from = &data[start * stride..];
        if let [_] = weights[..] {
            tall.extend(&from[..stride]);
            continue;
        }
        sums.fill(HALF);
        for (weight, row) in weights.iter().zip(from.chunks_exact(stride)) {
            sums.iter_mut().zip(row).for_each(|(sum, sample)| *sum += weight * i32::from(*sample));
        }
        tall.extend(sums.iter().map(|sum| level(*sum)));
    }
    tall
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAREST: [u8; 20] = [0, 0, 255, 10, 10, 0, 0, 255, 10, 10, 200, 200, 90, 255, 255, 200, 200, 90, 255, 255];
    const BOX: [u8; 20] = [0, 0, 255, 10, 10, 0, 0, 255, 10, 10, 200, 200, 90, 255, 255, 200, 200, 90, 255, 255];
    const BILINEAR: [u8; 20] =
        [0, 102, 255, 108, 10, 50, 116, 214, 128, 71, 150, 143, 131, 169, 194, 200, 156, 90, 189, 255];
    const BICUBIC: [u8; 20] =
        [0, 95, 255, 99, 0, 43, 111, 221, 125, 53, 165, 143, 124, 174, 202, 226, 159, 75, 200, 255];
    const LANCZOS: [u8; 20] =
        [0, 102, 255, 104, 0, 51, 118, 217, 134, 59, 166, 138, 128, 172, 196, 255, 154, 61, 202, 255];
    const REDUCED: [u8; 2] = [127, 150];

    /// Pillow 13.0.0: `Image.fromarray(numpy.array([[0, 255, 10], [200, 90, 255]], "uint8")).resize((5, 4), FILTER)`.
    #[test]
    fn samples_are_pillows() {
        let picture = Pixels::new(2, 3, 1, vec![0, 255, 10, 200, 90, 255]).unwrap();
        let check = |kernel, expect: [u8; 20]| assert_eq!(resample(&picture, 4, 5, kernel).data, expect, "{kernel:?}");
        check(Kernel::Nearest, NEAREST);
        check(Kernel::Box, BOX);
        check(Kernel::Bilinear, BILINEAR);
        check(Kernel::Bicubic, BICUBIC);
        check(Kernel::Lanczos, LANCZOS);
        assert_eq!(resample(&picture, 1, 2, Kernel::Bicubic).data, REDUCED);
    }
}
