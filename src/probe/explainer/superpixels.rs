//! Superpixels: parts of a picture of one colour each, about equally large.

use super::connected::{connect, number};
use super::study::Grid;

/// Rounds of assigning pixels to centres; they move little after a few (section 4 of the paper takes ten).
const ROUNDS: usize = 10;

/// How much nearness counts beside colour, whose lightness goes from 0 to 100: skimage's default.
const COMPACTNESS: f64 = 10.0;

/// Parts smaller than this share of the average are joined to their neighbours.
const LEAST: f64 = 0.25;

/// The superpixel of each value of a picture, at most `wanted` of them, numbered from the top in reading order: simple
/// linear iterative clustering (Achanta and others, SLIC Superpixels Compared to State-of-the-Art Superpixel Methods,
/// 2012). Each is connected, and takes all channels of its pixels. Values that are missing count as 0.
pub(super) fn superpixels(x: &[f32], grid: Grid, wanted: usize) -> Vec<usize> {
    let ([channels, height, width], [_, row, column]) = grid;
    if channels * height * width == 0 {
        return Vec::new();
    }
    let cells = Cells::new([height, width], wanted.max(1));
    let colours = colours(x, grid);
    let mut labels = cluster(&colours, &cells);
    connect(&mut labels, cells.size, cells.count(), LEAST * cells.area());
    number(&mut labels, cells.count());
    let (row, column) = (row.max(1), column.max(1));
    (0..channels * height * width).map(|at| labels[at / row % height * width + at / column % width] as usize).collect()
}

/// The colour of each pixel, in reading order. Channels are stretched to [0, 1] together, as skimage does; grey is
/// lightness, red, green and blue become CIE Lab.
#[allow(clippy::cast_possible_truncation)]
fn colours(x: &[f32], ([channels, height, width], strides): Grid) -> Vec<[f32; 3]> {
    let finite = || x.iter().copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
    let (low, length) = (f64::from(low), (f64::from(high) - f64::from(low)).max(f64::MIN_POSITIVE));
    let value = |at: usize| ((f64::from(x.get(at).copied().unwrap_or(0.0)) - low) / length).clamp(0.0, 1.0);
    let colour = |pixel: usize| {
        let at = pixel / width * strides[1] + pixel % width * strides[2];
        match channels {
            3 => lab([value(at), value(at + strides[0]), value(at + 2 * strides[0])]).map(|v| v as f32),
            _ => [(100.0 * value(at)) as f32, 0.0, 0.0],
        }
    };
    (0..height * width).map(colour).collect()
}

/// CIE Lab of an sRGB colour under the daylight D65.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| if v > 0.04045 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 });
    let [x, y, z] = [
        (0.412_453 * r + 0.357_580 * g + 0.180_423 * b) / 0.95047,
        0.212_671 * r + 0.715_160 * g + 0.072_169 * b,
        (0.019_334 * r + 0.119_193 * g + 0.950_227 * b) / 1.08883,
    ]
    .map(|v| if v > 0.008_856 { v.cbrt() } else { 7.787 * v + 16.0 / 116.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The grid that the centres begin on, one in each cell.
struct Cells {
    /// Rows and columns of pixels.
    size: [usize; 2],
    /// Rows and columns of cells.
    shape: [usize; 2],
}

impl Cells {
    /// Cells as near to squares as they come, `wanted` of them or fewer.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    fn new(size: [usize; 2], wanted: usize) -> Self {
        let [height, width] = size;
        let rows = (wanted as f64 * height as f64 / width as f64).sqrt().round() as usize;
        let rows = rows.clamp(1, wanted.min(height));
        Self { size, shape: [rows, (wanted / rows).clamp(1, width)] }
    }

    fn count(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// The average number of pixels of a cell.
    #[allow(clippy::cast_precision_loss)]
    fn area(&self) -> f64 {
        (self.size[0] * self.size[1]) as f64 / self.count() as f64
    }

    /// The row of cells of a row of pixels (axis 0), or the column of a column (axis 1).
    fn along(&self, axis: usize, at: usize) -> usize {
        at * self.shape[axis] / self.size[axis]
    }
}

/// The centre of a cluster: its mean colour, row and column, and how many pixels it has.
#[derive(Clone, Copy, Default)]
struct Centre {
    colour: [f64; 3],
    place: [f64; 2],
    pixels: f64,
}

/// The cluster of each pixel. A pixel looks at the centres that began in its own cell and in the eight around it (Ren
/// and Reid 2011), where the paper looks from each centre at two cells' length around.
#[allow(clippy::cast_possible_truncation)]
fn cluster(colours: &[[f32; 3]], cells: &Cells) -> Vec<u32> {
    let [height, width] = cells.size;
    let [rows, columns] = cells.shape;
    let home = |pixel: usize| (cells.along(0, pixel / width) * columns + cells.along(1, pixel % width)) as u32;
    let mut labels: Vec<u32> = (0..height * width).map(home).collect();
    let nearness = COMPACTNESS * COMPACTNESS / cells.area();
    let around = |cell: usize, count: usize| cell.saturating_sub(1)..(cell + 2).min(count);
    let mut near = Vec::new();
    for _ in 0..ROUNDS {
        let centres = centres(colours, &labels, cells);
        for y in 0..height {
            let mut cell = usize::MAX;
            for x in 0..width {
                let at = cells.along(1, x);
                if at != cell {
                    cell = at;
                    near.clear();
                    for row in around(cells.along(0, y), rows) {
                        let known = around(cell, columns).map(|column| row * columns + column);
                        near.extend(known.filter(|c| centres[*c].pixels > 0.0).map(|c| (c as u32, centres[c])));
                    }
                }
                let pixel = y * width + x;
                let mut best = (f64::MAX, labels[pixel]);
                for (label, centre) in &near {
                    let distance = distance(&colours[pixel], [y, x], centre, nearness);
                    if distance < best.0 {
                        best = (distance, *label);
                    }
                }
                labels[pixel] = best.1;
            }
        }
    }
    labels
}

/// The squared distance of a pixel from a centre: of its colour, and of its place times `nearness`.
#[allow(clippy::cast_precision_loss)]
fn distance(colour: &[f32; 3], [y, x]: [usize; 2], centre: &Centre, nearness: f64) -> f64 {
    let [l, a, b] = [0, 1, 2].map(|i| f64::from(colour[i]) - centre.colour[i]);
    let (y, x) = (y as f64 - centre.place[0], x as f64 - centre.place[1]);
    l * l + a * a + b * b + nearness * (y * y + x * x)
}

/// The means of the clusters.
#[allow(clippy::cast_precision_loss)]
fn centres(colours: &[[f32; 3]], labels: &[u32], cells: &Cells) -> Vec<Centre> {
    let width = cells.size[1];
    let mut centres = vec![Centre::default(); cells.count()];
    for (row, (labels, colours)) in labels.chunks(width).zip(colours.chunks(width)).enumerate() {
        for (column, (label, colour)) in labels.iter().zip(colours).enumerate() {
            let centre = &mut centres[*label as usize];
            centre.colour.iter_mut().zip(colour).for_each(|(sum, c)| *sum += f64::from(*c));
            centre.place[0] += row as f64;
            centre.place[1] += column as f64;
            centre.pixels += 1.0;
        }
    }
    for centre in &mut centres {
        let count = centre.pixels.max(1.0);
        centre.colour.iter_mut().chain(&mut centre.place).for_each(|sum| *sum /= count);
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::super::connected::neighbours;
    use super::*;

    fn grid(channels: usize, height: usize, width: usize) -> Grid {
        ([channels, height, width], [height * width, width, 1])
    }

    /// Whether every label's pixels hang together.
    fn connected(labels: &[usize], size: [usize; 2]) -> bool {
        let (mut seen, mut parts) = (vec![false; labels.len()], 0);
        for first in 0..labels.len() {
            if std::mem::replace(&mut seen[first], true) {
                continue;
            }
            parts += 1;
            let mut stack = vec![first];
            while let Some(pixel) = stack.pop() {
                for next in neighbours(pixel, size) {
                    if labels[next] == labels[first] && !std::mem::replace(&mut seen[next], true) {
                        stack.push(next);
                    }
                }
            }
        }
        parts == labels.iter().max().unwrap() + 1
    }

    #[test]
    fn noise_of_any_size_gives_no_more_than_wanted_connected_and_in_order() {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (2, 3), (7, 200), (40, 30), (28, 28)] {
            for wanted in [1, 2, 5, 50, 512] {
                let x: Vec<f32> = (0..height * width).map(|i| ((i * 7919 + 13) % 101) as f32).collect();
                let labels = superpixels(&x, grid(1, height, width), wanted);
                let case = format!("{wanted} of {height} x {width}");
                assert!(*labels.iter().max().unwrap() < wanted, "{case}");
                assert!(connected(&labels, [height, width]), "{case}");
                let mut first = 0;
                for label in labels {
                    assert!(label <= first, "{case}");
                    first = first.max(label + 1);
                }
            }
        }
        assert!(superpixels(&[], grid(3, 0, 5), 4).is_empty());
        assert_eq!(superpixels(&[], grid(1, 2, 2), 4), [0, 1, 2, 3], "without values a grid");
        assert_eq!(superpixels(&[f32::NAN, f32::INFINITY, 1.0, 0.0], grid(1, 2, 2), 4).len(), 4);
    }

    #[test]
    fn edges_of_colour_are_edges_of_superpixels_in_any_layout() {
        // Red above a slanted line, of the same lightness blue-green below it.
        let (height, width) = (30, 40);
        let above = |pixel: usize| pixel / width * 3 < pixel % width + 20;
        let colour = |above: bool| if above { [0.8, 0.2, 0.2] } else { [0.1, 0.45, 0.45] };
        let planes: Vec<f32> = (0..3).flat_map(|c| (0..height * width).map(move |p| colour(above(p))[c])).collect();
        let labels = superpixels(&planes, grid(3, height, width), 12);
        let count = labels.iter().max().unwrap() + 1;
        assert!((6..=12).contains(&count), "{count}");
        let sides =
            |label: usize| [true, false].map(|s| (0..1200).filter(|p| labels[*p] == label && above(*p) == s).count());
        assert!((0..count).all(|label| sides(label).contains(&0)), "{labels:?}");
        assert!((0..1200).all(|p| labels[p] == labels[p + 1200] && labels[p] == labels[p + 2400]));
        let pixels: Vec<f32> = (0..height * width).flat_map(|p| colour(above(p))).collect();
        let last = superpixels(&pixels, ([3, height, width], [1, width * 3, 3]), 12);
        assert!((0..1200).all(|p| (0..3).all(|c| last[p * 3 + c] == labels[p])));
        // A range of bytes is cut as the range from 0 to 1 is.
        let bytes: Vec<f32> = planes.iter().map(|v| v * 256.0).collect();
        assert_eq!(superpixels(&bytes, grid(3, height, width), 12), labels);
    }

    #[test]
    fn lab_is_that_of_the_standard() {
        let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(near(lab([1.0; 3]), [100.0, 0.0, 0.0]));
        assert!(near(lab([1.0, 0.0, 0.0]), [53.24, 80.09, 67.20]), "{:?}", lab([1.0, 0.0, 0.0]));
        assert!(near(lab([0.0; 3]), [0.0, 0.0, 0.0]));
    }
}
