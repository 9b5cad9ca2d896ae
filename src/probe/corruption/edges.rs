//! Edges, distances and histograms, as OpenCV's `Canny`, `distanceTransform` and `equalizeHist`.

use super::filter::{Border, Field, Tap, correlate};

/// Whether each place is on an edge (Canny, 1986): local maxima of the gradient above `high`, and those above `low`
/// that touch them. Gradients are Sobel's in 3x3, their strength |dx| + |dy|.
#[allow(clippy::cast_possible_wrap)]
pub(super) fn canny(field: &Field, low: f32, high: f32) -> Vec<bool> {
    let sobel = |taps: [(isize, isize, f32); 6]| {
        correlate(field, &taps.map(|(dy, dx, weight)| Tap { dy, dx, weight }), Border::Nearest).data
    };
    let across = sobel([(-1, -1, -1.0), (0, -1, -2.0), (1, -1, -1.0), (-1, 1, 1.0), (0, 1, 2.0), (1, 1, 1.0)]);
    let down = sobel([(-1, -1, -1.0), (-1, 0, -2.0), (-1, 1, -1.0), (1, -1, 1.0), (1, 0, 2.0), (1, 1, 1.0)]);
    // One place on all sides where nothing is, so that every neighbour is somewhere.
    let (height, width, stride) = (field.height, field.width, field.width + 2);
    let mut strength = vec![0f32; (height + 2) * stride];
    let places = || (0..height).flat_map(|y| (0..width).map(move |x| (y * width + x, (y + 1) * stride + x + 1)));
    places().for_each(|(i, at)| strength[at] = across[i].abs() + down[i].abs());
    let mut candidate = vec![false; strength.len()];
    for (i, at) in places().filter(|(_, at)| strength[*at] > low) {
        candidate[at] = is_peak(&strength, at, stride, across[i], down[i]);
    }
    let mut edge = vec![false; strength.len()];
    let mut open: Vec<usize> = (0..strength.len()).filter(|&at| candidate[at] && strength[at] > high).collect();
    open.iter().for_each(|&at| edge[at] = true);
    while let Some(at) = open.pop() {
        for row in [at - stride, at, at + stride] {
            for next in row - 1..=row + 1 {
                if candidate[next] && !edge[next] {
                    edge[next] = true;
                    open.push(next);
                }
            }
        }
    }
    (1..=height).flat_map(|y| edge[y * stride + 1..][..width].iter().copied()).collect()
}

/// Whether no neighbour along the gradient (x, y) is stronger.
fn is_peak(strength: &[f32], at: usize, stride: usize, x: f32, y: f32) -> bool {
    // Tangents of 22.5 and 67.5 degrees part the four directions in which the neighbours are asked.
    let (step, straight) = match () {
        () if y.abs() < 0.414_213_57 * x.abs() => (1, true),
        () if y.abs() > 2.414_213_7 * x.abs() => (stride, true),
        () if (x < 0.0) == (y < 0.0) => (stride + 1, false),
        () => (stride - 1, false),
    };
    let (here, before, after) = (strength[at], strength[at - step], strength[at + step]);
    // Of two equal neighbours the first wins on straight directions, none on slanted ones.
    here > before && (here > after || (straight && here >= after))
}

/// The steps of the distance in 5x5 (Borgefors, 1986) to places already seen, and their lengths.
const STEPS: [(isize, isize, f32); 8] = [
    (-1, 0, 1.0),
    (-1, -1, 1.4),
    (-1, 1, 1.4),
    (-2, -1, 2.1969),
    (-2, 1, 2.1969),
    (-1, -2, 2.1969),
    (-1, 2, 2.1969),
    // The place just seen comes last, so that a processor need not wait for it.
    (0, -1, 1.0),
];

/// The distance of each place to the nearest edge, nearly Euclidean; large without any edge.
#[allow(clippy::cast_possible_wrap)]
pub(super) fn distance(edge: &[bool], height: usize, width: usize) -> Field {
    // Two places on all sides that are far from everything, so that every step leads somewhere.
    let stride = width + 4;
    let mut far = vec![1e6f32; (height + 4) * stride];
    let rows: Vec<usize> = (0..height).map(|y| (y + 2) * stride + 2).collect();
    for (row, edge) in rows.iter().zip(edge.chunks(width)) {
        far[*row..*row + width].iter_mut().zip(edge).filter(|(_, edge)| **edge).for_each(|(far, _)| *far = 0.0);
    }
    let steps = STEPS.map(|(dy, dx, length)| (dy * stride as isize + dx, length));
    let mut nearer = |at: usize, sign: isize| {
        let by = |best: f32, (step, length): &(isize, f32)| best.min(far[at.wrapping_add_signed(sign * step)] + length);
        far[at] = steps.iter().fold(far[at], by);
    };
    // Once forwards and once backwards, where all steps are turned round.
    rows.iter().for_each(|row| (0..width).for_each(|x| nearer(row + x, 1)));
    rows.iter().rev().for_each(|row| (0..width).rev().for_each(|x| nearer(row + x, -1)));
    let data = rows.iter().flat_map(|row| far[*row..*row + width].iter().copied()).collect();
    Field { height, width, channels: 1, data }
}

/// Spreads whole numbers 0 to 255 so that all are about equally frequent; a single one stays.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn equalize(field: &mut Field) {
    let mut counts = [0usize; 256];
    field.data.iter().for_each(|v| counts[*v as usize] += 1);
    let lowest = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let others = field.data.len() - counts[lowest];
    if others == 0 {
        return;
    }
    let (scale, mut sum, mut table) = (255.0 / others as f32, 0, [0f32; 256]);
    for value in lowest + 1..256 {
        sum += counts[value];
        table[value] = (sum as f32 * scale).round_ties_even();
    }
    field.data.iter_mut().for_each(|v| *v = table[*v as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of 255 from row and column 8 to 15 on black.
    fn square() -> Field {
        let mut i = 0..24 * 24;
        Field::fill(24, 24, || {
            let i: i32 = i.next().unwrap();
            if (8..16).contains(&(i / 24)) && (8..16).contains(&(i % 24)) { 255.0 } else { 0.0 }
        })
    }

    #[test]
    fn a_squares_edge_is_a_thin_ring_and_distances_grow_from_it() {
        let edge = canny(&square(), 50.0, 150.0);
        let count = edge.iter().filter(|e| **e).count();
        assert!((24..=36).contains(&count), "{count}");
        let distance = distance(&edge, 24, 24);
        assert!((3.0..=5.0).contains(&distance.data[12 * 24 + 12]), "{}", distance.data[12 * 24 + 12]);
        assert!((distance.data[12 * 24] - 7.5).abs() <= 0.5, "{}", distance.data[12 * 24]);
    }

    #[test]
    fn equalized_values_reach_both_ends() {
        let mut field = square();
        field.data.iter_mut().for_each(|v| *v = if *v > 0.0 { 7.0 } else { 3.0 });
        equalize(&mut field);
        assert!(field.data.iter().all(|v| [0.0, 255.0].contains(v)));
    }
}
