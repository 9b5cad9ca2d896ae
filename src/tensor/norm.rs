//! Norms of perturbations, and the balls that they make.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rng;

/// How large a perturbation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// The largest change of any value.
    #[default]
    Linf,
    /// The root of the sum of squared changes.
    L2,
    /// The sum of absolute changes.
    L1,
}

/// Share of the values that a sparse step changes (Tramèr and Boneh, 2019, arXiv:1904.13000).
const SPARSE: f64 = 0.01;

impl Norm {
    /// The norm of a vector.
    pub fn of(self, values: impl Iterator<Item = f64>) -> f64 {
        match self {
            Self::Linf => values.fold(0.0, |norm, v| f64::max(norm, v.abs())),
            Self::L2 => values.map(|v| v * v).sum::<f64>().sqrt(),
            Self::L1 => values.map(f64::abs).sum(),
        }
    }

    /// The norm of `a - b`.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        self.of(a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)))
    }

    /// The norm by which this one's hyperplanes are measured: 1/p + 1/q = 1.
    #[must_use]
    pub fn dual(self) -> Self {
        match self {
            Self::Linf => Self::L1,
            Self::L2 => Self::L2,
            Self::L1 => Self::Linf,
        }
    }

    /// The step of norm 1 along which a function of this gradient grows: its sign, itself at length 1, or the sign of
    /// its largest hundredth. Zero where the gradient is.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub fn ascent(self, gradient: &[f32]) -> Vec<f32> {
        match self {
            Self::Linf => gradient.iter().map(|g| sign(*g)).collect(),
            Self::L2 => {
                let norm = self.of(gradient.iter().map(|g| f64::from(*g))).max(f64::MIN_POSITIVE);
                gradient.iter().map(|g| (f64::from(*g) / norm) as f32).collect()
            }
            Self::L1 => {
                let count = ((gradient.len() as f64 * SPARSE).round() as usize).max(1);
                sparse(gradient, count)
            }
        }
    }

    /// A random perturbation inside the ball of radius 1: uniform, for L2 in direction and length.
    #[allow(clippy::cast_possible_truncation)]
    pub fn draw(self, length: usize, rng: &mut Rng) -> Vec<f32> {
        match self {
            Self::Linf => (0..length).map(|_| rng.range(-1.0, 1.0) as f32).collect(),
            Self::L2 => {
                let direction: Vec<f64> = (0..length).map(|_| rng.normal()).collect();
                let scale = rng.uniform() / self.of(direction.iter().copied()).max(f64::MIN_POSITIVE);
                direction.into_iter().map(|d| (d * scale) as f32).collect()
            }
            Self::L1 => {
                // Exponential numbers over their sum and one more are uniform in the simplex; signs make the ball.
                let mut exponential = || -(1.0 - rng.uniform()).ln();
                let sizes: Vec<f64> = (0..=length).map(|_| exponential()).collect();
                let sum = sizes.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                let mut signed = |size: &f64| (size / sum * if rng.uniform() < 0.5 { -1.0 } else { 1.0 }) as f32;
                sizes[..length].iter().map(&mut signed).collect()
            }
        }
    }

    /// Brings `x` into the ball of radius `eps` around `centre` and into the bounds. For Linf and L1 that is the nearest
    /// point of both (for L1 as Croce and Hein, 2021, arXiv:2103.01208); for L2 first the ball, then the bounds, which
    /// leave no ball.
    #[allow(clippy::cast_possible_truncation)]
    pub fn project(self, x: &mut [f32], centre: &[f32], eps: f64, [low, high]: [f32; 2]) {
        let delta = |x: &f32, c: &f32| f64::from(*x) - f64::from(*c);
        let bounded = |v: f64| (v as f32).clamp(low, high);
        match self {
            Self::Linf => {
                for (x, c) in x.iter_mut().zip(centre) {
                    *x = bounded(f64::from(*c) + delta(x, c).clamp(-eps, eps));
                }
            }
            Self::L2 => {
                let scale = (eps / self.distance(x, centre).max(f64::MIN_POSITIVE)).min(1.0);
                for (x, c) in x.iter_mut().zip(centre) {
                    *x = bounded(if scale < 1.0 { f64::from(*c) + delta(x, c) * scale } else { f64::from(*x) });
                }
            }
            Self::L1 => {
                let room = |delta: f64, c: f32| f64::from(if delta < 0.0 { c - low } else { high - c }).max(0.0);
                let cut = |x: &f32, c: &f32, threshold: f64| {
                    let delta = delta(x, c);
                    (delta.abs() - threshold).max(0.0).min(room(delta, *c)).copysign(delta)
                };
                let pairs = || x.iter().zip(centre);
                // A little inside, so that rounding to float32 leaves it there.
                let eps = eps * (1.0 - 1e-6);
                let threshold = threshold(eps, self.of(pairs().map(|(x, c)| delta(x, c))), |t| {
                    pairs().map(|(x, c)| cut(x, c, t).abs()).sum()
                });
                for (x, c) in x.iter_mut().zip(centre) {
                    *x = bounded(f64::from(*c) + cut(x, c, threshold));
                }
            }
        }
    }
}

/// The smallest threshold in [0, `most`] with `size(threshold) <= eps`; `size` falls.
fn threshold(eps: f64, most: f64, size: impl Fn(f64) -> f64) -> f64 {
    if size(0.0) <= eps {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..60 {
        let middle = low + (high - low) / 2.0;
        if size(middle) > eps { low = middle } else { high = middle }
    }
    high
}

/// -1, 0 or 1; 0 for NaN.
pub fn sign(value: f32) -> f32 {
    match value {
        v if v > 0.0 => 1.0,
        v if v < 0.0 => -1.0,
        _ => 0.0,
    }
}

/// The signs of the `count` largest values, over their number; 0 for the others.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn sparse(values: &[f32], count: usize) -> Vec<f32> {
    let size = |v: &f32| if v.is_nan() { 0.0 } else { v.abs() };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| size(&values[*b]).total_cmp(&size(&values[*a])).then(a.cmp(b)));
    let kept: Vec<usize> = order.into_iter().take(count).filter(|i| size(&values[*i]) > 0.0).collect();
    let mut step = vec![0.0; values.len()];
    for i in &kept {
        step[*i] = sign(values[*i]) / kept.len() as f32;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMS: [Norm; 3] = [Norm::Linf, Norm::L2, Norm::L1];

    #[test]
    fn projections_lie_in_ball_and_bounds_and_move_nothing_that_does() {
        for (i, norm) in NORMS.into_iter().enumerate() {
            let mut rng = Rng::new(1, "project", "0", i as u64);
            for _ in 0..200 {
                let centre: Vec<f32> = (0..50).map(|_| rng.uniform() as f32).collect();
                let eps = rng.range(0.01, 3.0);
                let mut x: Vec<f32> = centre.iter().map(|c| c + rng.range(-2.0, 2.0) as f32).collect();
                norm.project(&mut x, &centre, eps, [0.0, 1.0]);
                assert!(norm.distance(&x, &centre) <= eps + 1e-6 && x.iter().all(|v| (0.0..=1.0).contains(v)));
                let again = x.clone();
                norm.project(&mut x, &centre, eps, [0.0, 1.0]);
                assert!(norm.distance(&x, &again) < 1e-5, "{norm:?}");
            }
        }
    }

    /// No point of both sets that lies between is nearer: the projection's variational inequality.
    #[test]
    fn the_projection_on_the_l1_ball_in_a_box_is_the_nearest_point() {
        let mut rng = Rng::new(2, "project", "0", 0);
        for _ in 0..100 {
            let centre: Vec<f32> = (0..8).map(|_| rng.uniform() as f32).collect();
            let far: Vec<f32> = centre.iter().map(|c| c + rng.range(-2.0, 2.0) as f32).collect();
            let mut near = far.clone();
            Norm::L1.project(&mut near, &centre, 1.0, [0.0, 1.0]);
            for _ in 0..100 {
                let mut other: Vec<f32> = centre.iter().map(|c| c + rng.range(-1.0, 1.0) as f32).collect();
                Norm::L1.project(&mut other, &centre, 1.0, [0.0, 1.0]);
                let inner: f64 = (0..8).map(|i| f64::from(far[i] - near[i]) * f64::from(other[i] - near[i])).sum();
                assert!(inner < 1e-4, "{inner}");
            }
        }
    }

    #[test]
    fn steps_and_draws_have_at_most_norm_one() {
        let mut rng = Rng::new(3, "draw", "0", 0);
        for norm in NORMS {
            let gradient: Vec<f32> = (0..300).map(|_| rng.normal() as f32).collect();
            let step = norm.ascent(&gradient);
            let along: f32 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            assert!((norm.distance(&step, &[0.0; 300]) - 1.0).abs() < 1e-5 && along > 0.0, "{norm:?}");
            assert!((0..20).all(|_| norm.distance(&norm.draw(300, &mut rng), &[0.0; 300]) <= 1.0 + 1e-6));
            assert!(norm.ascent(&[0.0, f32::NAN]).iter().all(|s| *s == 0.0 || norm == Norm::L2));
        }
    }
}
