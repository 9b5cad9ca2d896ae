//! Random masks that show some of a case.

use super::study::{Grid, one_row};
use crate::engine::{Input, Layout};
use crate::tensor::Rng;

/// How masks are drawn.
pub(super) struct Masks {
    grid: Grid,
    /// Cells along a side of a smooth mask; where there are none each value is open or not.
    cells: Option<usize>,
    /// The probability of being open.
    p: f64,
}

impl Masks {
    /// Smooth ones of pictures and along the steps of sequences.
    pub(super) fn new(input: &Input, cells: usize, p: f64) -> Self {
        let (grid, smooth) = match (input.grid(), input.shape.as_slice()) {
            (Some(grid), _) => (grid, true),
            (None, &[steps, features]) if input.layout == Layout::Ntf => {
                (([features, 1, steps], [1, steps * features, features]), true)
            }
            _ => (one_row(input.len()), false),
        };
        Self { grid, cells: smooth.then_some(cells), p }
    }

    /// Places of a mask: the pixels, steps or values.
    pub(super) fn places(&self) -> usize {
        let ([_, height, width], _) = self.grid;
        height * width
    }

    /// The place of a value.
    fn place(&self, at: usize) -> usize {
        let ([_, height, width], [_, row, column]) = self.grid;
        at / row.max(1) % height.max(1) * width + at / column.max(1) % width.max(1)
    }

    /// How far each place is open, from 0 to 1.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<f32> {
        let ([_, height, width], _) = self.grid;
        let Some(cells) = self.cells else {
            return (0..height * width).map(|_| f32::from(u8::from(rng.uniform() < self.p))).collect();
        };
        let [rows, columns] = [height, width].map(|length| axis(length, cells, rng));
        let across = cells.min(width);
        let open: Vec<f64> =
            (0..cells.min(height) * across).map(|_| f64::from(u8::from(rng.uniform() < self.p))).collect();
        let between = |from: f64, to: f64, share: f64| from + share * (to - from);
        let mut mask = Vec::with_capacity(height * width);
        for (above, below, down) in rows {
            let row: Vec<f64> =
                (0..across).map(|i| between(open[above * across + i], open[below * across + i], down)).collect();
            mask.extend(columns.iter().map(|(left, right, along)| between(row[*left], row[*right], *along) as f32));
        }
        mask
    }

    /// `x` as far as the mask is open, `other` as far as not.
    pub(super) fn mixed(&self, x: &[f32], other: &[f32], mask: &[f32]) -> Vec<f32> {
        let values = x.iter().zip(other).enumerate();
        values.map(|(at, (x, other))| (mask[self.place(at)], x, other)).map(|(m, x, o)| m * x + (1.0 - m) * o).collect()
    }

    /// What each value gets of what the places get: the same.
    pub(super) fn spread(&self, places: &[f32], values: usize) -> Vec<f32> {
        (0..values).map(|at| places[self.place(at)]).collect()
    }
}

/// The two cells that each pixel of a side lies between, and how near it is to the second. The cells are drawn out to
/// one cell more than the side has and shifted by less than one, as the paper's section 3.2 has it.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn axis(length: usize, cells: usize, rng: &mut Rng) -> Vec<(usize, usize, f64)> {
    let cells = cells.min(length).max(1);
    let pixels = length.div_ceil(cells).max(1);
    let shift = rng.below(pixels);
    let scale = cells as f64 / ((cells + 1) * pixels) as f64;
    let place = |at: usize| (((at + shift) as f64 + 0.5) * scale - 0.5).max(0.0).min((cells - 1) as f64);
    let between = |place: f64| (place as usize, (place as usize + 1).min(cells - 1), place.fract());
    (0..length).map(|at| between(place(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(grid: Grid, cells: Option<usize>, p: f64) -> Masks {
        Masks { grid, cells, p }
    }

    #[test]
    fn masks_are_open_as_often_as_they_should_be_everywhere() {
        for (grid, cells, p) in [
            (([3, 20, 33], [660, 33, 1]), Some(7), 0.5),
            (([2, 1, 50], [1, 100, 2]), Some(7), 0.3),
            (([1, 3, 2], [6, 2, 1]), Some(7), 0.5),
            (one_row(12), None, 0.7),
        ] {
            let masks = masks(grid, cells, p);
            let mut rng = Rng::new(0, "rise", "0", 0);
            let mut means = vec![0.0; masks.places()];
            for _ in 0..4000 {
                let mask = masks.draw(&mut rng);
                assert_eq!(mask.len(), means.len());
                assert!(mask.iter().all(|m| (0.0..=1.0).contains(m) && (cells.is_some() || m.fract() == 0.0)));
                means.iter_mut().zip(mask).for_each(|(mean, m)| *mean += f64::from(m) / 4000.0);
            }
            assert!(means.iter().all(|mean| (mean - p).abs() < 0.04), "{means:?}");
        }
    }

    #[test]
    fn smooth_masks_do_not_jump() {
        let masks = masks(([1, 28, 28], [784, 28, 1]), Some(7), 0.5);
        let mask = masks.draw(&mut Rng::new(0, "rise", "0", 0));
        let jumps = |a: usize, b: usize| (mask[a] - mask[b]).abs() > 7.0 / 32.0 + 1e-6;
        assert!((0..783).all(|i| (i % 28 == 27 || !jumps(i, i + 1)) && (i + 28 >= 784 || !jumps(i, i + 28))));
        assert!(
            mask.iter().any(|m| m.fract() != 0.0) && mask.iter().any(|m| *m < 0.3) && mask.iter().any(|m| *m > 0.7)
        );
    }

    #[test]
    fn all_channels_of_a_place_are_open_as_far() {
        // Two steps of three features.
        let masks = masks(([3, 1, 2], [1, 6, 3]), Some(7), 0.5);
        assert_eq!(masks.mixed(&[1.0; 6], &[0.0; 6], &[1.0, 0.25]), [1.0, 1.0, 1.0, 0.25, 0.25, 0.25]);
        assert_eq!(masks.spread(&[5.0, 6.0], 6), [5.0, 5.0, 5.0, 6.0, 6.0, 6.0]);
    }
}
