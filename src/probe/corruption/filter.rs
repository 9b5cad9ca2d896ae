//! Pictures of floats, and the filters on them.

use crate::tensor::Pixels;

/// Samples in rows, columns, channels; mostly on the scale 0 to 255, on which 8-bit samples are exact.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) data: Vec<f32>,
}

impl Field {
    /// One channel, sample by sample in row order.
    pub(super) fn fill(height: usize, width: usize, mut sample: impl FnMut() -> f32) -> Self {
        Self { height, width, channels: 1, data: (0..height * width).map(|_| sample()).collect() }
    }

    /// Cut to 8 bits: clipped to 0 to 255 and truncated, as the reference does. A sample less than a thousandth below a
    /// whole number counts as that, so that rounding does not take a level from a flat picture.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn truncate_into(&self, image: &mut Pixels) {
        // `as` saturates.
        image.data = self.data.iter().map(|&v| (v + 0.001) as u8).collect();
    }

    /// Indices of a row.
    pub(super) fn row(&self, y: usize) -> std::ops::Range<usize> {
        let length = self.width * self.channels;
        y * length..(y + 1) * length
    }
}

impl From<&Pixels> for Field {
    fn from(image: &Pixels) -> Self {
        let data = image.data.iter().map(|&v| f32::from(v)).collect();
        Self { height: image.height, width: image.width, channels: image.channels, data }
    }
}

/// What stands beyond the edge of `abcd`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Border {
    /// `aaaa|abcd|dddd`
    Nearest,
    /// `dcba|abcd|dcba`
    Reflect,
    /// `dcb|abcd|cba`, OpenCV's default
    Reflect101,
}

impl Border {
    /// The position within `0..n` that stands for `at`; any distance from the edge is allowed.
    #[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)]
    pub(super) fn at(self, at: isize, n: usize) -> usize {
        let last = n as isize - 1;
        if (0..=last).contains(&at) {
            return at as usize;
        }
        let inside = match self {
            Self::Nearest => at.clamp(0, last),
            Self::Reflect => {
                let at = at.rem_euclid(2 * n as isize);
                at.min(2 * last + 1 - at)
            }
            Self::Reflect101 if last == 0 => 0,
            Self::Reflect101 => {
                let at = at.rem_euclid(2 * last);
                at.min(2 * last - at)
            }
        };
        inside as usize
    }
}

/// A weight of a kernel at an offset from its centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) dy: isize,
    pub(super) dx: isize,
    pub(super) weight: f32,
}

/// Samples that are summed together: they stay in registers over all taps.
const BLOCK: usize = 32;

/// The weighted sums of samples at offsets from the start of `from`, for a row of sums.
fn add_up(from: &[f32], offsets: &[(usize, f32)], row: &mut [f32]) {
    for (i, block) in row.chunks_mut(BLOCK).enumerate() {
        let from = &from[i * BLOCK..];
        let mut sums = [0f32; BLOCK];
        for &(offset, weight) in offsets {
            for (sum, sample) in sums.iter_mut().zip(&from[offset..offset + BLOCK]) {
                *sum += weight * sample;
            }
        }
        block.copy_from_slice(&sums[..block.len()]);
    }
}

/// As [`correlate`], for taps that are the same above and below: those above (`dy < 0`) are not asked for but taken to
/// be the ones below, which halves the work.
#[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)]
pub(super) fn correlate_mirrored(field: &Field, taps: &[Tap], border: Border) -> Field {
    let reach = |of: fn(&Tap) -> isize| taps.iter().map(|t| of(t).unsigned_abs()).max().unwrap_or(0);
    let (up, left) = (reach(|t| t.dy), reach(|t| t.dx));
    let (padded, stride) = pad(field, up, left, border);
    let below = taps.iter().filter(|t| t.dy >= 0);
    let offset = |t: &Tap| t.dy as usize * stride + (t.dx + left as isize) as usize * field.channels;
    let offsets: Vec<(usize, f32)> = below.map(|t| (offset(t), t.weight)).collect();
    // The row itself, then for each distance the rows above and below together.
    let mut folded = vec![0f32; (up + 1) * stride + BLOCK];
    let mut result = field.clone();
    for y in 0..field.height {
        let row = |dy: usize| &padded[(y + dy) * stride..][..stride];
        folded[..stride].copy_from_slice(row(up));
        for (dy, sums) in folded[stride..].chunks_exact_mut(stride).take(up).enumerate() {
            let (above, below) = (row(up - dy - 1), row(up + dy + 1));
            sums.iter_mut().zip(above.iter().zip(below)).for_each(|(sum, (a, b))| *sum = a + b);
        }
        add_up(&folded, &offsets, &mut result.data[field.row(y)]);
    }
    result
}

/// Every sample as the weighted sum of those around it, channel by channel.
#[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)]
pub(super) fn correlate(field: &Field, taps: &[Tap], border: Border) -> Field {
    let reach = |of: fn(&Tap) -> isize| taps.iter().map(|t| of(t).unsigned_abs()).max().unwrap_or(0);
    let (up, left) = (reach(|t| t.dy), reach(|t| t.dx));
    let (padded, stride) = pad(field, up, left, border);
    let offset = |t: &Tap| {
        let (row, column) = ((t.dy + up as isize) as usize, (t.dx + left as isize) as usize);
        (row * stride + column * field.channels, t.weight)
    };
    let offsets: Vec<(usize, f32)> = taps.iter().map(offset).collect();
    let mut result = field.clone();
    for y in 0..field.height {
        add_up(&padded[y * stride..], &offsets, &mut result.data[field.row(y)]);
    }
    result
}

/// The field with `up` rows and `left` columns more on both sides, and a block behind the end; and its row's length.
#[allow(clippy::cast_possible_wrap)]
fn pad(field: &Field, up: usize, left: usize, border: Border) -> (Vec<f32>, usize) {
    let stride = (field.width + 2 * left) * field.channels;
    let mut padded = Vec::with_capacity((field.height + 2 * up) * stride + BLOCK);
    let columns = |range: std::ops::Range<usize>| {
        range.map(|x| border.at(x as isize - left as isize, field.width) * field.channels)
    };
    let outer: Vec<usize> = columns(0..left).chain(columns(left + field.width..2 * left + field.width)).collect();
    for y in 0..field.height + 2 * up {
        let row = &field.data[field.row(border.at(y as isize - up as isize, field.height))];
        let pixel = |x: &usize| &row[*x..*x + field.channels];
        outer[..left].iter().for_each(|x| padded.extend_from_slice(pixel(x)));
        padded.extend_from_slice(row);
        outer[left..].iter().for_each(|x| padded.extend_from_slice(pixel(x)));
    }
    padded.resize(padded.len() + BLOCK, 0.0);
    (padded, stride)
}

/// Gaussian blur with standard deviations down and across, cut off at `truncate` of them, as SciPy's `gaussian_filter`.
pub(super) fn gaussian(field: &Field, sigma: [f64; 2], truncate: f64, border: Border) -> Field {
    let [down, across] = sigma.map(|sigma| bell(sigma, truncate));
    let down: Vec<Tap> = down.iter().map(|&(dy, weight)| Tap { dy, dx: 0, weight }).collect();
    let across: Vec<Tap> = across.iter().map(|&(dx, weight)| Tap { dy: 0, dx, weight }).collect();
    correlate(&correlate_mirrored(field, &down, border), &across, border)
}

/// Offsets and weights of a normalised Gaussian.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn bell(sigma: f64, truncate: f64) -> Vec<(isize, f32)> {
    let radius = (truncate * sigma + 0.5) as isize;
    let weight = |i: isize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
    let total: f64 = (-radius..=radius).map(weight).sum();
    // A spread of nearly nothing is no blur, not a division by zero.
    (-radius..=radius).map(|i| (i, if radius == 0 { 1.0 } else { (weight(i) / total) as f32 })).collect()
}

/// Every pixel from the place that `from` says (row and column), by linear interpolation.
pub(super) fn warped(field: &Field, border: Border, from: impl FnMut(usize, usize) -> [f32; 2]) -> Field {
    let mut result = field.clone();
    match field.channels {
        1 => warp::<1>(field, border, from, &mut result.data),
        _ => warp::<3>(field, border, from, &mut result.data),
    }
    result
}

#[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)]
fn warp<const C: usize>(
    field: &Field,
    border: Border,
    mut from: impl FnMut(usize, usize) -> [f32; 2],
    result: &mut [f32],
) {
    let (pixels, width) = (field.data.as_chunks::<C>().0, field.width);
    for (y, row) in result.as_chunks_mut::<C>().0.chunks_mut(width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let [(top, down), (left, right)] = from(y, x).map(whole_and_part);
            let (bottom, far) = (field.height as isize - 1, width as isize - 1);
            let [[a, b], [c, d]] = if (0..bottom).contains(&top) && (0..far).contains(&left) {
                // Mostly all four are inside.
                let at = top as usize * width + left as usize;
                [at, at + width].map(|at| [&pixels[at], &pixels[at + 1]])
            } else {
                let rows = [0, 1].map(|d| border.at(top + d, field.height) * width);
                let columns = [0, 1].map(|d| border.at(left + d, width));
                rows.map(|row| columns.map(|column| &pixels[row + column]))
            };
            *pixel = std::array::from_fn(|i| {
                let (upper, lower) = (a[i] + right * (b[i] - a[i]), c[i] + right * (d[i] - c[i]));
                upper + down * (lower - upper)
            });
        }
    }
}

/// The next lower whole number, and what is left. (`f32::floor` is a call on the oldest x86 machines.)
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole_and_part(value: f32) -> (isize, f32) {
    let cut = value as i32;
    let whole = if cut as f32 > value { cut - 1 } else { cut };
    (whole as isize, value - whole as f32)
}

/// Half a Gaussian along a line at `angle` degrees from the right, downwards: the smear of a moving camera, as in the
/// Python package imagecorruptions and in ImageMagick. `limit` ends the line where it leaves a picture of that height
/// and width, as the package does.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn line(radius: usize, sigma: f64, angle: f64, limit: Option<[usize; 2]>) -> Vec<Tap> {
    let (sin, cos) = angle.to_radians().sin_cos();
    let weights: Vec<f64> = (0..=2 * radius).map(|i| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let tap = |(i, weight): (usize, &f64)| {
        let step = |direction: f64| (i as f64 * direction - 0.5).ceil() as isize;
        Tap { dy: step(sin), dx: step(cos), weight: (weight / total) as f32 }
    };
    let inside = |tap: &Tap| limit.is_none_or(|[h, w]| tap.dy.unsigned_abs() < h && tap.dx.unsigned_abs() < w);
    weights.iter().enumerate().map(tap).take_while(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_numpys_and_hold_at_any_distance() {
        let row = |border: Border, n| (-4..8).map(|at| border.at(at, n)).collect::<Vec<_>>();
        assert_eq!(row(Border::Nearest, 3), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(row(Border::Reflect, 3), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(row(Border::Reflect101, 3), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(row(Border::Reflect101, 1), [0; 12]);
    }

    #[test]
    fn correlation_is_the_plain_sum() {
        let mut next = 0u32;
        let mut field = Field::fill(5, 39, || {
            next = (next * 73 + 5) % 251;
            next as f32
        });
        (field.width, field.channels) = (13, 3);
        let taps = [(-2, 1, 0.5), (0, 0, 0.25), (1, -4, 2.0)].map(|(dy, dx, weight)| Tap { dy, dx, weight });
        let result = correlate(&field, &taps, Border::Reflect);
        let at = |y: isize, x: isize, c: usize| {
            field.data[(Border::Reflect.at(y, 5) * 13 + Border::Reflect.at(x, 13)) * 3 + c]
        };
        for (i, value) in result.data.iter().enumerate() {
            let (y, x, c) = ((i / 39) as isize, (i / 3 % 13) as isize, i % 3);
            let sum: f32 = taps.iter().map(|t| t.weight * at(y + t.dy, x + t.dx, c)).sum();
            assert!((value - sum).abs() < 1e-3, "{y} {x} {c}: {value} {sum}");
        }
    }
}
