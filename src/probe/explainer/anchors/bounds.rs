//! Bounds on a share of which some draws are known, by Kullback and Leibler (Kaufmann and Kalyanakrishnan 2013).

/// Divergence of one share of yes and no from another, in nats.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p <= 0.0 { 0.0 } else { p * (p / q.max(f64::MIN_POSITIVE)).ln() };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// The share furthest from `mean` towards `end` whose divergence is no more than `level`.
fn furthest(mean: f64, end: f64, level: f64) -> f64 {
    let (mut near, mut far) = (mean, end);
    for _ in 0..32 {
        let middle = f64::midpoint(near, far);
        if divergence(mean, middle) <= level { near = middle } else { far = middle }
    }
    near
}

/// The largest share that `mean` of so many draws does not speak against at `level`.
pub(super) fn upper(mean: f64, level: f64) -> f64 {
    furthest(mean, 1.0, level)
}

/// The smallest such share.
pub(super) fn lower(mean: f64, level: f64) -> f64 {
    furthest(mean, 0.0, level)
}

/// What the draws of each of so many rules are weighed against in a round, so that the bounds of all hold in all rounds
/// but for a chance of `delta`: the rate of the paper, with the constants of its experiments.
#[allow(clippy::cast_precision_loss)]
pub(super) fn rate(rules: usize, round: u32, delta: f64) -> f64 {
    let level = (405.5 * rules as f64 * f64::from(round).powf(1.1) / delta).ln();
    level + level.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_lie_around_the_mean_where_the_divergence_is_the_level() {
        for mean in [0.0, 0.3, 0.95, 1.0] {
            let (low, high) = (lower(mean, 0.02), upper(mean, 0.02));
            assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low <= mean && mean <= high);
            for bound in [low, high] {
                assert!(bound == mean || (divergence(mean, bound) - 0.02).abs() < 1e-6, "{mean}: {bound}");
            }
        }
        // Of no failures in n draws: q^n = exp(-n level).
        assert!((lower(1.0, 0.03) - (-0.03f64).exp()).abs() < 1e-6);
    }
}
