//! Compression with loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity, dct};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Does to the picture what writing it as a JPEG of low quality and reading it back does.
///
/// Qualities 25 to 7 for pictures above 64 pixels, higher ones for smaller pictures; chroma at half resolution. The
/// result is that of Pillow to the bit. No file is written, since the packing of a JPEG loses nothing.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JpegCompression {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for JpegCompression {
    const NAME: &'static str = "jpeg_compression";
    const PAPER: &'static str = IMAGENET_C;
}

/// Qualities, from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code
/// (Hendrycks and Dietterich, 2019).
const QUALITY: [[i32; 5]; 3] = [[25, 18, 15, 10, 7], [65, 58, 50, 40, 25], [80, 65, 58, 50, 40]];

impl Corruption for JpegCompression {
    type Input = Pixels;

    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let quality = self.severity.of(&QUALITY, image);
        if image.channels == 1 {
            let mut luma = Plane { height: image.height, width: image.width, data: std::mem::take(&mut image.data) };
            lose(&mut luma, &divisors(&LUMA, quality));
            image.data = luma.data;
            return Ok(());
        }
        let [mut luma, blue, red] = to_ycc(image);
        lose(&mut luma, &divisors(&LUMA, quality));
        let [blue, red] = [blue, red].map(|full| {
            let mut half = halved(&full);
            lose(&mut half, &divisors(&CHROMA, quality));
            doubled(&half, image.height, image.width)
        });
        for (pixel, ((y, cb), cr)) in
            image.data.as_chunks_mut::<3>().0.iter_mut().zip(luma.data.iter().zip(&blue.data).zip(&red.data))
        {
            to_rgb(*y, *cb, *cr, pixel);
        }
        Ok(())
    }
}

/// One component of a picture.
struct Plane {
    height: usize,
    width: usize,
    data: Vec<u8>,
}

impl Plane {
    /// A row, or the last one for those below it.
    fn row(&self, y: usize) -> &[u8] {
        &self.data[y.min(self.height - 1) * self.width..][..self.width]
    }

    /// The 8x8 samples from there on, less 128; rows and columns beyond the edge repeat it.
    fn block(&self, top: usize, left: usize) -> [i32; 64] {
        let mut block = [0; 64];
        for (i, row) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let samples = &self.row(top + i)[left..];
            match samples.first_chunk::<8>() {
                Some(samples) => *row = samples.map(|v| i32::from(v) - 128),
                None => *row = std::array::from_fn(|x| i32::from(samples[x.min(samples.len() - 1)]) - 128),
            }
        }
        block
    }
}

/// Transforms blocks of 8x8, rounds to multiples of the divisors, and transforms back; edges are repeated.
fn lose(plane: &mut Plane, divisors: &[i32; 64]) {
    for top in (0..plane.height).step_by(8) {
        for left in (0..plane.width).step_by(8) {
            let mut block = plane.block(top, left);
            dct::quantized(&mut block, divisors);
            let width = (plane.width - left).min(8);
            for (i, row) in block.as_chunks::<8>().0.iter().enumerate().take(plane.height - top) {
                let samples = &mut plane.data[(top + i) * plane.width + left..][..width];
                samples.iter_mut().zip(row).for_each(|(to, from)| *to = (from + 128).clamp(0, 255) as u8);
            }
        }
    }
}

/// Half the size by averaging 2x2; what is cut is 1/4 and 2/4 in turn, as in libjpeg, so that nothing drifts.
fn halved(full: &Plane) -> Plane {
    let (height, width) = (full.height.div_ceil(2), full.width.div_ceil(2));
    let mut data = Vec::with_capacity(height * width);
    for y in 0..height {
        let (upper, lower) = (full.row(2 * y), full.row(2 * y + 1));
        let mean = |x: usize, square: [u8; 4]| {
            let sum: u16 = square.map(u16::from).iter().sum();
            ((sum + 1 + x as u16 % 2) >> 2) as u8
        };
        let ((upper, last), (lower, last_lower)) = (upper.as_chunks::<2>(), lower.as_chunks::<2>());
        data.extend(upper.iter().zip(lower).enumerate().map(|(x, ([a, b], [c, d]))| mean(x, [*a, *b, *c, *d])));
        // The last column of an odd width stands for itself and the one beyond.
        data.extend(last.iter().zip(last_lower).map(|(a, c)| mean(width - 1, [*a, *a, *c, *c])));
    }
    Plane { height, width, data }
}

/// Twice the size, each sample 9/16 of the nearest and the rest of its three neighbours (libjpeg's fancy upsampling).
fn doubled(half: &Plane, height: usize, width: usize) -> Plane {
    let mut data = Vec::with_capacity(height * width);
    let mut row = vec![0; 2 * half.width];
    let last = half.width - 1;
    let mut columns = vec![0u16; half.width + 2];
    for y in 0..height {
        let near = half.row(y / 2);
        let far = half.row(if y % 2 == 0 { (y / 2).saturating_sub(1) } else { y / 2 + 1 });
        for (column, (near, far)) in columns[1..].iter_mut().zip(near.iter().zip(far)) {
            *column = 3 * u16::from(*near) + u16::from(*far);
        }
        // One more on both sides, so that every one has neighbours.
        (columns[0], columns[last + 2]) = (columns[1], columns[last + 1]);
        let neighbours = columns.iter().zip(&columns[1..]).zip(&columns[2..]);
        for (pair, ((left, near), right)) in row.as_chunks_mut().0.iter_mut().zip(neighbours) {
            *pair = [((3 * near + left + 8) >> 4) as u8, ((3 * near + right + 7) >> 4) as u8];
        }
        // An odd width has no use for the last one.
        data.extend(&row[..width]);
    }
    // As in libjpeg, very narrow pictures only repeat samples.
    if half.width <= 2 {
        data = (0..height * width).map(|i| half.row(i / width / 2)[i % width / 2]).collect();
    }
    Plane { height, width, data }
}

/// Luma and the differences of blue and red, in libjpeg's fixed point of 16 bits.
fn to_ycc(image: &Pixels) -> [Plane; 3] {
    // The middle of the differences, and what rounds them just under the half.
    const MIDDLE: i32 = (128 << 16) + 32_767;
    const MIX: [[i32; 4]; 3] =
        [[19_595, 38_470, 7_471, 32_768], [-11_058, -21_710, 32_768, MIDDLE], [32_768, -27_439, -5_329, MIDDLE]];
    let pixels = image.data.as_chunks::<3>().0;
    let mut planes = [(); 3].map(|()| vec![0; pixels.len()]);
    let [luma, blue, red] = &mut planes;
    for (((pixel, y), cb), cr) in pixels.iter().zip(luma).zip(blue).zip(red) {
        let [r, g, b] = pixel.map(i32::from);
        [*y, *cb, *cr] = MIX.map(|[of_r, of_g, of_b, and]| ((of_r * r + of_g * g + of_b * b + and) >> 16) as u8);
    }
    planes.map(|data| Plane { height: image.height, width: image.width, data })
}

/// Back, in the same fixed point.
fn to_rgb(y: u8, cb: u8, cr: u8, [r, g, b]: &mut [u8; 3]) {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let add = |difference: i32| (y + ((difference + 32_768) >> 16)).clamp(0, 255) as u8;
    *r = add(91_881 * cr);
    *g = add(-22_554 * cb - 46_802 * cr);
    *b = add(116_130 * cb);
}

/// What coefficients are divided by: a table of the standard (ITU-T T.81, annex K) scaled by the quality, as libjpeg.
fn divisors(table: &[u8; 64], quality: i32) -> [i32; 64] {
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|v| ((i32::from(v) * percent + 50) / 100).clamp(1, 255))
}

/// Table K.1, for luma.
const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// Table K.2, for chroma.
const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_grows_with_severity() {
        let data: Vec<u8> = (0..96 * 96 * 3).map(|i| ((i * 7919) % 251) as u8).collect();
        let clean = Pixels::new(96, 96, 3, data).unwrap();
        let loss = |severity| {
            let mut image = clean.clone();
            let jpeg = JpegCompression { severity: Severity::try_from(severity).unwrap() };
            jpeg.corrupt(&mut image, &mut Rng::new(0, "", "", 0)).unwrap();
            image.data.iter().zip(&clean.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert!(0 < loss(1) && loss(1) < loss(5));
    }
}
