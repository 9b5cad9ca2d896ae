//! The smallest step onto a hyperplane inside of bounds, as in Croce and Hein, 2020 (arXiv:1907.02044).

use crate::tensor::Norm;

/// The linear model of a difference of scores near a point: `value + w * step`.
pub(super) struct Plane<'a> {
    pub(super) value: f64,
    pub(super) w: &'a [f32],
    /// What `w` is to be multiplied by.
    pub(super) scale: f64,
}

/// Values of `w` below this share of 1 do not move their coordinate.
const FLAT: f64 = 1e-8;

impl Plane<'_> {
    fn slope(&self, i: usize) -> f64 {
        let slope = f64::from(self.w[i]) * self.scale;
        if slope.is_finite() && slope.abs() > FLAT { slope } else { 0.0 }
    }

    /// How far the plane is, without bounds.
    pub(super) fn distance(&self, norm: Norm) -> f64 {
        let slopes = (0..self.w.len()).map(|i| f64::from(self.w[i]) * self.scale);
        self.value.abs() / (norm.dual().of(slopes) + 1e-12)
    }

    /// The step from `x` of the least norm that brings the model's value to 0, where `x` plus the step stays in the
    /// bounds; where the bounds are too near, the step that comes nearest to 0.
    pub(super) fn step(&self, norm: Norm, x: &[f32], bounds: [f32; 2]) -> Vec<f64> {
        // The value grows if it is below 0, along the sign of its slopes.
        let up = if self.value < 0.0 { 1.0 } else { -1.0 };
        let ways: Vec<Way> = (0..x.len()).map(|i| Way::new(up * self.slope(i), x[i], bounds)).collect();
        match norm {
            Norm::L1 => sparsest(self.value.abs(), &ways),
            norm => even(self.value.abs(), &ways, norm),
        }
    }
}

/// Along a coordinate.
struct Way {
    /// Of a step that raises the value: 1, -1, or 0 where none does.
    sign: f64,
    /// How fast it raises it.
    slope: f64,
    /// How far the bound is.
    room: f64,
}

impl Way {
    fn new(slope: f64, x: f32, [low, high]: [f32; 2]) -> Self {
        let sign = if slope == 0.0 { 0.0 } else { slope.signum() };
        let room = if sign < 0.0 { x - low } else { high - x };
        Self { sign, slope: slope.abs(), room: if sign == 0.0 { 0.0 } else { f64::from(room.max(0.0)) } }
    }
}

/// Newton's iterations that are enough: each passes the bounds of some coordinates for good.
const ITERATIONS: usize = 100;

/// For Linf all coordinates move as far, for L2 as far as their slope, until their bounds. The gain is a concave function
/// of how far, made of lines, so that Newton's iteration from 0 comes to the target from below.
fn even(target: f64, ways: &[Way], norm: Norm) -> Vec<f64> {
    let speed = |way: &Way| if norm == Norm::L2 { way.slope } else { way.sign.abs() };
    let mut far = 0.0;
    for _ in 0..ITERATIONS {
        let (mut gain, mut rate) = (0.0, 0.0);
        for way in ways {
            let moved = (far * speed(way)).min(way.room);
            gain += way.slope * moved;
            // A coordinate at its bound goes no further.
            rate += if far * speed(way) < way.room { way.slope * speed(way) } else { 0.0 };
        }
        if rate <= 0.0 || target - gain <= 1e-12 * target {
            break;
        }
        far += (target - gain) / rate;
    }
    ways.iter().map(|way| way.sign * (far * speed(way)).min(way.room)).collect()
}

/// The steepest coordinates to their bounds, one after the other, and the last one as far as it takes.
fn sparsest(target: f64, ways: &[Way]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ways.len()).filter(|i| ways[*i].slope > 0.0).collect();
    order.sort_by(|a, b| ways[*b].slope.total_cmp(&ways[*a].slope).then(a.cmp(b)));
    let (mut step, mut missing) = (vec![0.0; ways.len()], target);
    for i in order {
        let way = &ways[i];
        let moved = (missing / way.slope).min(way.room);
        step[i] = way.sign * moved;
        missing -= moved * way.slope;
        if missing <= 0.0 {
            break;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Rng;

    const NORMS: [Norm; 3] = [Norm::Linf, Norm::L2, Norm::L1];

    fn setting(seed: u64) -> (Vec<f32>, Vec<f32>, f64) {
        let mut rng = Rng::new(seed, "plane", "0", 0);
        let w = (0..40).map(|i| if i % 7 == 0 { 0.0 } else { rng.normal() as f32 }).collect();
        (w, (0..40).map(|_| rng.uniform() as f32).collect(), rng.range(-5.0, 5.0))
    }

    #[test]
    fn the_step_reaches_the_plane_inside_of_the_bounds_and_no_shorter_one_does() {
        for (seed, norm) in (0..50).flat_map(|seed| NORMS.map(|norm| (seed, norm))) {
            let (w, x, value) = setting(seed);
            let plane = Plane { value, w: &w, scale: 1.0 };
            let step = plane.step(norm, &x, [0.0, 1.0]);
            assert!(step.iter().zip(&x).all(|(s, x)| (-1e-6..=1.0 + 1e-6).contains(&(f64::from(*x) + s))));
            let at: f64 = value + step.iter().zip(&w).map(|(s, w)| s * f64::from(*w)).sum::<f64>();
            assert!(at.abs() < 1e-6, "{norm:?}: {at}");
            let length = norm.of(step.iter().copied());
            // No shorter than without bounds; other points of the plane near it are no shorter.
            assert!(length >= plane.distance(norm) - 1e-6);
            let mut rng = Rng::new(seed, "other", "0", 0);
            for _ in 0..50 {
                let (i, j) = (rng.below(40), rng.below(40));
                let (wi, wj) = (f64::from(w[i]), f64::from(w[j]));
                if i == j || wi == 0.0 || wj == 0.0 {
                    continue;
                }
                let mut other = step.clone();
                let change = rng.range(-0.01, 0.01);
                other[i] += change;
                other[j] -= change * wi / wj;
                let inside = |k: usize| (0.0..=1.0).contains(&(f64::from(x[k]) + other[k]));
                assert!(!inside(i) || !inside(j) || norm.of(other.iter().copied()) >= length - 1e-9, "{norm:?}");
            }
        }
    }

    #[test]
    fn bounds_that_are_too_near_are_gone_to() {
        for norm in NORMS {
            let plane = Plane { value: -100.0, w: &[1.0, -1.0], scale: 1.0 };
            assert_eq!(plane.step(norm, &[0.25, 0.25], [0.0, 1.0]), [0.75, -0.25]);
        }
    }
}
