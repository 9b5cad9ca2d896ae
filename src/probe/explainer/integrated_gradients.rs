//! Gradients all along the way from a baseline.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Row, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// The gradient, integrated along the straight way from a baseline to the case, times that way.
///
/// The attributions add up to the score less the baseline's (completeness) as far as the integral is exact: the residual
/// is what they miss of it (captum's convergence delta). More than 5 % of it asks for more steps.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct IntegratedGradients {
    #[serde(flatten)]
    view: View,
    /// What stands for a value that is not there, in units of the input as read: `zero`, `mean` (of each channel of a
    /// picture), `blurred` (a picture), `background` (the mean of its rows) or a number.
    baseline: Baseline,
    /// Places on the way where the gradient is taken.
    #[schemars(range(min = 2, max = 1000), extend("aliases" = ["steps"]))]
    n_steps: u32,
    /// Where they lie and what they weigh: `gausslegendre`, `riemann_left`, `riemann_right`, `riemann_middle` or
    /// `riemann_trapezoid`.
    method: Method,
}

impl Default for IntegratedGradients {
    fn default() -> Self {
        Self { view: View::default(), baseline: Baseline::default(), n_steps: 50, method: Method::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    #[default]
    Gausslegendre,
    RiemannLeft,
    RiemannRight,
    RiemannMiddle,
    RiemannTrapezoid,
}

impl Method {
    /// Places from 0 to 1 and their weights, which add up to 1.
    fn places(self, n: u32) -> Vec<(f64, f64)> {
        let steps = f64::from(n);
        let even = |shift: f64| (0..n).map(|i| ((f64::from(i) + shift) / steps, steps.recip())).collect();
        match self {
            Self::Gausslegendre => gauss_legendre(n),
            Self::RiemannLeft => even(0.0),
            Self::RiemannMiddle => even(0.5),
            Self::RiemannRight => even(1.0),
            Self::RiemannTrapezoid => {
                let weight = |i| if i == 0 || i == n - 1 { 0.5 } else { 1.0 };
                (0..n).map(|i| (f64::from(i) / (steps - 1.0), weight(i) / (steps - 1.0))).collect()
            }
        }
    }
}

/// Places and weights of the Gauss-Legendre rule from 0 to 1: the roots of the Legendre polynomial by Newton's method
/// (Press and others, Numerical Recipes, 4.6).
pub(super) fn gauss_legendre(n: u32) -> Vec<(f64, f64)> {
    let steps = f64::from(n);
    // The polynomial and its derivative.
    let legendre = |x: f64| {
        let (mut p, mut before) = (1.0, 0.0);
        for j in 1..=n {
            let j = f64::from(j);
            (p, before) = (((2.0 * j - 1.0) * x * p - (j - 1.0) * before) / j, p);
        }
        (p, steps * (x * p - before) / (x * x - 1.0))
    };
    let place = |i: u32| {
        let mut x = (PI * (f64::from(n - 1 - i) + 0.75) / (steps + 0.5)).cos();
        for _ in 0..20 {
            let (p, slope) = legendre(x);
            x -= p / slope;
        }
        let slope = legendre(x).1;
        (x.midpoint(1.0), ((1.0 - x * x) * slope * slope).recip())
    };
    (0..n).map(place).collect()
}

impl Probe for IntegratedGradients {
    const NAME: &'static str = "integrated_gradients";
    const PAPER: &'static str = "Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017 (arXiv:1703.01365)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "n_steps + 2";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for IntegratedGradients {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: 2, gradient: u64::from(self.n_steps) }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let clean = study.clean()?;
        let (baselines, without) = self.baseline.asked(study)?;
        let places = self.method.places(self.n_steps);
        let mut explanations = Vec::new();
        for (case, (own, baseline)) in study.cases.iter().zip(&baselines).enumerate() {
            let at = |place: f64| {
                let between = |(x, b): (&f32, &f32)| (f64::from(*b) + place * (f64::from(*x) - f64::from(*b))) as f32;
                Row { case, x: own.x.iter().zip(&baseline.x).map(between).collect() }
            };
            let mut sums = vec![0.0; own.x.len()];
            // A few at a time: all of a large picture would take gigabytes.
            for places in places.chunks(study.target.gradient_batch()) {
                let rows: Vec<Row> = places.iter().map(|(place, _)| at(*place)).collect();
                let mut weights = places.iter().map(|(_, weight)| weight);
                study.gradients(&rows, |_, _, gradient| {
                    let weight = weights.next().copied().unwrap_or(0.0);
                    sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * f64::from(g));
                })?;
            }
            let way = own.x.iter().zip(&baseline.x).map(|(x, b)| f64::from(*x) - f64::from(*b));
            let attribution = sums.iter().zip(way).map(|(sum, way)| (sum * way) as f32).collect();
            explanations.push(Explanation::adding_up_to(clean[case] - without[case], attribution));
        }
        Ok(explanations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_integrate_what_they_should() {
        let integral = |method: Method, n, f: fn(f64) -> f64| -> f64 {
            method.places(n).into_iter().map(|(x, weight)| weight * f(x)).sum()
        };
        for method in [Method::RiemannLeft, Method::RiemannRight, Method::RiemannMiddle, Method::RiemannTrapezoid] {
            assert!((integral(method, 50, |_| 3.0) - 3.0).abs() < 1e-12, "{method:?}");
        }
        // A rule of n places is exact to the power 2 n - 1.
        for n in [2, 3, 10, 50, 500] {
            assert!((integral(Method::Gausslegendre, n, |x| 4.0 * x.powi(3)) - 1.0).abs() < 1e-12, "{n}");
        }
        assert!((integral(Method::Gausslegendre, 10, |x| 20.0 * x.powi(19)) - 1.0).abs() < 1e-12);
        assert!((integral(Method::RiemannTrapezoid, 2, |x| x) - 0.5).abs() < 1e-12);
        assert!((integral(Method::RiemannMiddle, 2, |x| x) - 0.5).abs() < 1e-12);
    }
}
