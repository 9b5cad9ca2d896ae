//! Edges, distances and histograms, as OpenCV's `Canny`, `distanceTransform` and `equalizeHist`.

use super::filter::{Border, Field, Tap, correlate};

/// Whether each place is on an edge (Canny, 1986): local maxima of the gradient above `high`, and those above `low`
/// that touch them. Gradients are Sobel's in 3x3, their strength |dx| + |dy|.
pub(super) fn canny(field: &Field, low: f32, high: f32) -> Vec<bool> {
    let sobel = |taps: [(isize, isize, f32); 6]| {
        correlate(field, &taps.map(|(dy, dx, weight)| Tap { dy, dx, weight }), Border::Nearest).data
    };
    let across = sobel([(-1, -1, -1.0), (0, -1, -2.0), (1, -1, -1.0), (-1, 1, 1.0), (0, 1, 2.0), (1, 1, 1.0)]);
    let down = sobel([(-1, -1, -1.0), (-1, 0, -2.0), (-1, 1, -1.0), (1, -1, 1.0), (1, 0, 2.0), (1, 1, 1.0)]);
    let strength: Vec<f32> = across.iter().zip(&down).map(|(x, y)| x.abs() + y.abs()).collect();
    let (height, width) = (field.height, field.width);
    // Nothing is beyond the edge of the picture.
    let at = |i: usize, dy: isize, dx: isize| {
        let (y, x) = ((i / width).checked_add_signed(dy), (i % width).checked_add_signed(dx));
        Some((y.filter(|y| *y < height)?, x.filter(|x| *x < width)?)).map(|(y, x)| y * width + x)
    };
    let peak = |i: usize| {
        let (x, y) = (across[i], down[i]);
        // Tangents of 22.5 and 67.5 degrees part the four directions in which the neighbours are asked.
        let (dy, dx) = match () {
            () if y.abs() < 0.414_213_57 * x.abs() => (0, 1),
            () if y.abs() > 2.414_213_7 * x.abs() => (1, 0),
            () if (x < 0.0) == (y < 0.0) => (1, 1),
            () => (1, -1),
        };
        let neighbour = |sign: isize| at(i, sign * dy, sign * dx).map_or(0.0, |n| strength[n]);
        // Of two equal neighbours the first wins on straight directions, none on slanted ones.
        let straight = dy == 0 || dx == 0;
        strength[i] > neighbour(-1) && (strength[i] > neighbour(1) || (straight && strength[i] >= neighbour(1)))
    };
    let candidate: Vec<bool> = (0..strength.len()).map(|i| strength[i] > low && peak(i)).collect();
    let mut edge = vec![false; strength.len()];
    let mut open: Vec<usize> = (0..strength.len()).filter(|&i| candidate[i] && strength[i] > high).collect();
    open.iter().for_each(|&i| edge[i] = true);
    while let Some(i) = open.pop() {
        for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
            if let Some(next) = at(i, dy, dx).filter(|&n| candidate[n] && !edge[n]) {
                edge[next] = true;
                open.push(next);
            }
        }
    }
    edge
}

/// The steps of the distance in 5x5 (Borgefors, 1986) to places already seen, and their lengths.
const STEPS: [(isize, isize, f32); 8] = [
    (0, -1, 1.0),
    (-1, 0, 1.0),
    (-1, -1, 1.4),
    (-1, 1, 1.4),
    (-2, -1, 2.1969),
    (-2, 1, 2.1969),
    (-1, -2, 2.1969),
    (-1, 2, 2.1969),
];

/// The distance of each place to the nearest edge, nearly Euclidean; large without any edge.
pub(super) fn distance(edge: &[bool], height: usize, width: usize) -> Field {
    let mut edge = edge.iter();
    let mut field = Field::fill(height, width, || if edge.next() == Some(&true) { 0.0 } else { 1e6 });
    // Once forwards and once backwards, where all steps are turned round.
    for sign in [1, -1] {
        for number in 0..height * width {
            let i = if sign == 1 { number } else { height * width - 1 - number };
            let nearer = STEPS.iter().filter_map(|(dy, dx, length)| {
                let y = (i / width).checked_add_signed(sign * dy).filter(|y| *y < height)?;
                let x = (i % width).checked_add_signed(sign * dx).filter(|x| *x < width)?;
                Some(field.data[y * width + x] + length)
            });
            field.data[i] = nearer.fold(field.data[i], f32::min);
        }
    }
    field
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
