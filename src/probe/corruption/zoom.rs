//! Enlargement, as SciPy's `zoom` of order 1.

use super::filter::Field;

/// The start and the length of what fills `n` again when it is enlarged.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn extent(n: usize, factor: f64) -> (usize, usize) {
    let length = (n as f64 / factor).ceil() as usize;
    ((n - length) / 2, length)
}

/// The middle of a field, of which the enlargement fills the field again.
pub(super) fn middle(field: &Field, factor: f64) -> Field {
    let ((top, height), (left, width)) = (extent(field.height, factor), extent(field.width, factor));
    let columns = left * field.channels..(left + width) * field.channels;
    let data = (top..top + height).flat_map(|y| field.data[field.row(y)][columns.clone()].to_vec()).collect();
    Field { height, width, channels: field.channels, data }
}

/// Two neighbours and their weights.
struct Between {
    low: usize,
    high: usize,
    weights: [f32; 2],
}

/// For each position of the enlarged axis the neighbours on the axis of length `n`: ends stay ends.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn axis(n: usize, factor: f64) -> Vec<Between> {
    let length = (n as f64 * factor).round_ties_even() as usize;
    let step = if length > 1 { (n - 1) as f64 / (length - 1) as f64 } else { 1.0 };
    let between = |i: usize| {
        let at = i as f64 * step;
        let low = (at as usize).min(n - 1);
        let part = (at - low as f64) as f32;
        // Rounding may lead past the end, where SciPy has nothing.
        let weights = if at > (n - 1) as f64 { [0.0; 2] } else { [1.0 - part, part] };
        Between { low, high: (low + 1).min(n - 1), weights }
    };
    (0..length).map(between).collect()
}

/// The field `factor` (1 or more) times as large, by linear interpolation.
pub(super) fn enlarged(field: &Field, factor: f64) -> Field {
    let (rows, columns) = (axis(field.height, factor), axis(field.width, factor));
    let channels = field.channels;
    let mut data = Vec::with_capacity(rows.len() * columns.len() * channels);
    let mut mixed = vec![0f32; field.width * channels];
    for Between { low, high, weights: [a, b] } in &rows {
        let (upper, lower) = (&field.data[field.row(*low)], &field.data[field.row(*high)]);
        mixed.iter_mut().zip(upper.iter().zip(lower)).for_each(|(mixed, (u, l))| *mixed = a * u + b * l);
        for Between { low, high, weights: [a, b] } in &columns {
            let (left, right) = (&mixed[low * channels..][..channels], &mixed[high * channels..][..channels]);
            data.extend(left.iter().zip(right).map(|(l, r)| a * l + b * r));
        }
    }
    Field { height: rows.len(), width: columns.len(), channels, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_stay_ends_and_the_rest_is_between() {
        let mut samples = [0.0, 4.0, 8.0, 12.0].into_iter().cycle();
        let field = Field::fill(1, 4, || samples.next().unwrap());
        let large = enlarged(&field, 1.75);
        assert_eq!((large.height, large.width), (2, 7));
        assert_eq!(large.data[..7], [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
        assert_eq!(middle(&field, 2.0).data, [4.0, 8.0]);
    }
}
