//! Partial dependence on two features.

use super::frame::{BOTTOM, Frame, HEIGHT};
use super::scale::{Scale, short, sound};
use super::words::{printable, width};
use super::{MARGIN, Svg, TOP, WIDTH, colour, every};

/// What a heat map shows.
#[derive(Default)]
pub(in crate::cli) struct Heat<'a> {
    pub(in crate::cli) title: &'a str,
    /// Of the level axis, of the upright axis and of the colour.
    pub(in crate::cli) labels: [&'a str; 3],
    /// Grids, rising.
    pub(in crate::cli) x: &'a [f64],
    pub(in crate::cli) y: &'a [f64],
    /// A row for each y with a value for each x.
    pub(in crate::cli) z: &'a [Vec<f64>],
}

/// Cells along an axis; of finer grids every so many points are taken.
const CELLS: usize = 60;

/// Steps of the key of colours.
const STEPS: usize = 64;

const KEY: f64 = 14.0;

/// Cells to scale, as far as half the way to the next points of the grid; those without a value are white.
pub(in crate::cli) fn heat(of: &Heat<'_>) -> String {
    let (columns, lines) = (kept(of.x), kept(of.y));
    let value = |i: usize, j: usize| of.z.get(j).and_then(|row| row.get(i)).copied().filter(|z| sound(*z));
    let cells = || lines.iter().flat_map(|&j| columns.iter().map(move |&i| (i, j)));
    let all: Vec<f64> = cells().filter_map(|(i, j)| value(i, j)).collect();
    if all.is_empty() {
        return Svg::blank(of.title);
    }
    let z = Scale::over(all.iter().copied(), BOTTOM, TOP);
    let labels = z.ticks(5.0).iter().map(|(_, label)| width(label)).fold(0.0, f64::max);
    let key = WIDTH - MARGIN - 22.0 - labels - 6.0 - KEY;
    let edges =
        |grid: &[f64], kept: &[usize]| edges(&kept.iter().filter_map(|i| grid.get(*i).copied()).collect::<Vec<_>>());
    let (across, up) = (edges(of.x, &columns), edges(of.y, &lines));
    let frame = Frame::new(across.iter().copied(), up.iter().copied(), key - 20.0, 0.0);
    let mut svg = Svg::new(of.title, &description(of, &all), HEIGHT);
    frame.draw(&mut svg, [of.labels[0], of.labels[1]]);
    for (b, &j) in lines.iter().enumerate() {
        for (a, &i) in columns.iter().enumerate() {
            if let (Some(value), [x1, x2, ..], [y1, y2, ..]) = (value(i, j), &across[a..], &up[b..]) {
                let (from, to) = ([frame.x.at(*x1), frame.y.at(*y1)], [frame.x.at(*x2), frame.y.at(*y2)]);
                svg.rect(from, to, &cell(z.share(value)));
            }
        }
    }
    legend(&mut svg, &z, key, of.labels[2]);
    svg.end()
}

fn cell(share: f64) -> String {
    format!("fill=\"{}\" shape-rendering=\"crispEdges\"", colour::ramp(share))
}

/// Places of sound points of a grid, at most `CELLS`.
fn kept(grid: &[f64]) -> Vec<usize> {
    let all: Vec<usize> = (0..grid.len()).filter(|i| sound(grid[*i])).collect();
    every(all.len(), CELLS).filter_map(|n| all.get(n).copied()).collect()
}

/// Where cells begin and end: half the way between neighbours, and as far beyond the ends.
fn edges(grid: &[f64]) -> Vec<f64> {
    let (Some(first), Some(last)) = (grid.first(), grid.last()) else { return Vec::new() };
    let half = |pair: Option<&[f64]>| match pair {
        Some([a, b]) => (b - a) / 2.0,
        _ => (first.abs() * 0.1).max(0.5),
    };
    let (before, after) = (half(grid.get(..2)), half(grid.len().checked_sub(2).and_then(|n| grid.get(n..))));
    let between = grid.windows(2).map(|pair| pair[0] / 2.0 + pair[1] / 2.0);
    [first - before].into_iter().chain(between).chain([last + after]).collect()
}

/// The colours with their figures, upright.
fn legend(svg: &mut Svg, z: &Scale, left: f64, label: &str) {
    let height = (BOTTOM - TOP) / STEPS as f64;
    for step in 0..STEPS {
        let y = BOTTOM - height * step as f64;
        svg.rect([left, y], [left + KEY, y - height], &cell((step as f64 + 0.5) / STEPS as f64));
    }
    for (y, label) in z.ticks(5.0) {
        svg.line([left + KEY, y], [left + KEY + 4.0, y], super::AXIS);
        svg.text([left + KEY + 7.0, y + 4.0], "", &label);
    }
    svg.upright([WIDTH - MARGIN, (TOP + BOTTOM) / 2.0], label, BOTTOM - TOP);
}

fn description(of: &Heat<'_>, all: &[f64]) -> String {
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), z| (l.min(*z), h.max(*z)));
    let [x, y, z] = of.labels.map(printable);
    format!("{z} over {x} and {y}: from {} to {}", short(low), short(high))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sound_xml;
    use super::*;

    #[test]
    fn cells_meet_half_way_and_absent_ones_are_white() {
        assert_eq!(edges(&[0.0, 1.0, 5.0]), [-0.5, 0.5, 3.0, 7.0]);
        assert_eq!((edges(&[2.0]), edges(&[])), (vec![1.5, 2.5], vec![]));
        let z = vec![vec![0.0, f64::NAN, 2.0], vec![1.0]];
        let of = Heat { title: "t", labels: ["x", "y", "score"], x: &[0.0, 1.0, 5.0], y: &[0.0, 1.0], z: &z };
        let svg = heat(&of);
        sound_xml(&svg);
        assert_eq!(svg.matches("crispEdges").count(), 3 + STEPS);
        assert!(svg.contains("score over x and y: from 0 to 2"));
    }

    #[test]
    fn any_input_gives_a_picture() {
        let fine: Vec<f64> = (0..784).map(f64::from).collect();
        for grid in [&[][..], &[0.0], &[1e299, -1e299], &[1.0, 1.0], &[f64::NAN, 1.0], &fine] {
            let z = vec![fine.clone(); grid.len()];
            let svg = heat(&Heat { x: grid, y: grid, z: &z, ..Heat::default() });
            sound_xml(&svg);
            assert!(svg.matches("crispEdges").count() <= CELLS * CELLS + STEPS);
        }
    }
}
