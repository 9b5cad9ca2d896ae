//! The Square attack's changes in each norm, with the constants of its authors' code.

use crate::engine::Target;
use crate::tensor::{Norm, Rng};

/// The pixels of an input: what is no picture is one row of them.
pub(super) struct Grid {
    channels: usize,
    height: usize,
    width: usize,
    /// From one channel, row and column to the next.
    strides: [usize; 3],
}

impl Grid {
    /// Of a target's probed input with `length` values.
    pub(super) fn of(target: &Target<'_>, length: usize) -> Self {
        let row = ([1, 1, length], [length, length, 1]);
        let ([channels, height, width], strides) = target.grid().unwrap_or(row);
        Self { channels, height, width, strides }
    }

    fn index(&self, channel: usize, row: usize, column: usize) -> usize {
        channel * self.strides[0] + row * self.strides[1] + column * self.strides[2]
    }

    /// Indices of a window in a channel, in row-major order.
    fn window(&self, channel: usize, window: &Window) -> Vec<usize> {
        let rows = window.top..window.top + window.height;
        let columns = || window.left..window.left + window.width;
        rows.flat_map(|row| columns().map(move |column| self.index(channel, row, column))).collect()
    }

    /// A window of about `side` pixels a side at a random place.
    fn place(&self, side: usize, rng: &mut Rng) -> Window {
        let (height, width) = (side.min(self.height), side.min(self.width));
        let mut draw = |room: usize| if room == 0 { 0 } else { rng.below(room) };
        Window { top: draw(self.height - height), left: draw(self.width - width), height, width }
    }
}

struct Window {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

fn coin(rng: &mut Rng) -> f64 {
    if rng.uniform() < 0.5 { -1.0 } else { 1.0 }
}

/// Draws changes in a ball.
pub(super) struct Painter {
    pub(super) norm: Norm,
    pub(super) eps: f64,
}

/// Windows along a side at the start, for L2 and L1.
const TILES: usize = 5;

impl Painter {
    /// The first point: stripes for Linf, tiles of bumps for L2 and L1.
    pub(super) fn start(&self, grid: &Grid, clean: &[f32], bounds: [f32; 2], rng: &mut Rng) -> Vec<f32> {
        let mut delta = vec![0.0; clean.len()];
        if self.norm == Norm::Linf {
            for channel in 0..grid.channels {
                for column in 0..grid.width {
                    let value = self.eps * coin(rng);
                    (0..grid.height).for_each(|row| delta[grid.index(channel, row, column)] = value);
                }
            }
            return self.apply(&delta, clean, bounds);
        }
        let (high, wide) = ((grid.height / TILES).max(1), (grid.width / TILES).max(1));
        let margin = |length: usize, side: usize| length.saturating_sub(side * TILES) / 2;
        for tile_row in 0..grid.height / high {
            for tile_column in 0..grid.width / wide {
                let (top, left) =
                    (margin(grid.height, high) + tile_row * high, margin(grid.width, wide) + tile_column * wide);
                if top + high > grid.height || left + wide > grid.width {
                    continue;
                }
                let bump = self.bump(high, wide, rng);
                for channel in 0..grid.channels {
                    let sign = coin(rng);
                    let window = grid.window(channel, &Window { top, left, height: high, width: wide });
                    window.into_iter().zip(&bump).for_each(|(i, b)| delta[i] += sign * b);
                }
            }
        }
        if self.norm == Norm::L2 {
            self.stretch(&mut delta);
        }
        self.apply(&delta, clean, bounds)
    }

    /// The point with one more change, on squares that cover `share` of the pixels.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub(super) fn change(
        &self,
        grid: &Grid,
        best: &[f32],
        clean: &[f32],
        bounds: [f32; 2],
        share: f64,
        rng: &mut Rng,
    ) -> Vec<f32> {
        let mut delta: Vec<f64> = best.iter().zip(clean).map(|(b, c)| f64::from(*b) - f64::from(*c)).collect();
        let side = (share * (grid.height * grid.width) as f64).sqrt().round() as usize;
        if self.norm == Norm::Linf {
            let window = grid.place(side.max(1), rng);
            for channel in 0..grid.channels {
                let value = 2.0 * self.eps * coin(rng);
                grid.window(channel, &window).into_iter().for_each(|i| delta[i] += value);
            }
            return self.apply(&delta, clean, bounds);
        }
        self.move_mass(grid, &mut delta, side.max(3) | 1, rng);
        if self.norm == Norm::L2 {
            self.stretch(&mut delta);
        }
        self.apply(&delta, clean, bounds)
    }

    /// Takes the change in one window away and puts its size, and what the ball has left, as a bump into another.
    #[allow(clippy::cast_precision_loss)]
    fn move_mass(&self, grid: &Grid, delta: &mut [f64], side: usize, rng: &mut Rng) {
        let (to, from) = (grid.place(side, rng), grid.place(side, rng));
        let bump = self.bump(to.height, to.width, rng);
        let channels = grid.channels as f64;
        let left = match self.norm {
            Norm::L2 => (self.eps.powi(2) - self.norm.of(delta.iter().copied()).powi(2)).max(0.0) / channels,
            _ => (self.eps - self.norm.of(delta.iter().copied())).max(0.0) / channels,
        };
        for channel in 0..grid.channels {
            let (target, source) = (grid.window(channel, &to), grid.window(channel, &from));
            let own = self.norm.of(target.iter().map(|i| delta[*i]));
            let mut both: Vec<usize> = target.iter().chain(&source).copied().collect();
            both.sort_unstable();
            both.dedup();
            let mass = self.norm.of(both.iter().map(|i| delta[*i]));
            let sign = coin(rng);
            let mixed = |(i, b): (&usize, &f64)| sign * b + delta[*i] / (1e-12 + own);
            let new: Vec<f64> = target.iter().zip(&bump).map(mixed).collect();
            let size = match self.norm {
                Norm::L2 => (left + mass * mass).sqrt(),
                _ => (left + mass) * channels,
            };
            let scale = size / (1e-12 + self.norm.of(new.iter().copied()));
            source.into_iter().for_each(|i| delta[i] = 0.0);
            target.into_iter().zip(new).for_each(|(i, v)| delta[i] = v * scale);
        }
    }

    /// Brings a change to the ball's surface.
    fn stretch(&self, delta: &mut [f64]) {
        let scale = self.eps / (self.norm.of(delta.iter().copied()) + 1e-12);
        delta.iter_mut().for_each(|d| *d *= scale);
    }

    #[allow(clippy::cast_possible_truncation)]
    fn apply(&self, delta: &[f64], clean: &[f32], bounds: [f32; 2]) -> Vec<f32> {
        let mut x: Vec<f32> = clean.iter().zip(delta).map(|(c, d)| (f64::from(*c) + d) as f32).collect();
        self.norm.project(&mut x, clean, self.eps, bounds);
        x
    }

    /// Two pyramids side by side, one up and one down, of norm 1, upright or lying.
    fn bump(&self, height: usize, width: usize, rng: &mut Rng) -> Vec<f64> {
        let lying = rng.uniform() > 0.5;
        let (long, wide) = if lying { (width, height) } else { (height, width) };
        let half = long / 2;
        let (up, down) = (self.pyramid(half, wide), self.pyramid(long - half, wide));
        let whole: Vec<f64> = up.into_iter().chain(down.into_iter().map(|v| -v)).collect();
        let norm = self.norm.of(whole.iter().copied()).max(f64::MIN_POSITIVE);
        let at = |row: usize, column: usize| if lying { column * wide + row } else { row * wide + column };
        (0..height)
            .flat_map(|row| (0..width).map(move |column| (row, column)))
            .map(|(r, c)| whole[at(r, c)] / norm)
            .collect()
    }

    /// Nested rectangles around the centre, the smaller the higher, of norm 1.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
    fn pyramid(&self, rows: usize, columns: usize) -> Vec<f64> {
        let mut values = vec![0.0; rows * columns];
        let (centre_row, centre_column) = (rows / 2 + 1, columns / 2 + 1);
        let power = if self.norm == Norm::L2 { 2 } else { 4 };
        for ring in 0..centre_row.max(centre_column) {
            let range = |centre: usize, length: usize| {
                let begin = centre as isize - 1 - ring as isize;
                begin.max(0) as usize..(begin + 2 * ring as isize + 1).clamp(0, length as isize) as usize
            };
            for row in range(centre_row, rows) {
                for column in range(centre_column, columns) {
                    values[row * columns + column] += 1.0 / ((ring + 1) as f64).powi(power);
                }
            }
        }
        let norm = self.norm.of(values.iter().copied()).max(f64::MIN_POSITIVE);
        values.iter_mut().for_each(|v| *v /= norm);
        values
    }
}
