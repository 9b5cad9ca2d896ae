//! The smallest L2 change by gradient descent on it and the margin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::{Search, Slope};
use super::{Attack, Nearest, Threat};
use crate::engine::{Loss, Row, Spent};
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::Norm;

/// Carlini and Wagner's L2 attack: Adam on the squared distance plus a weight times the margin.
///
/// A minimum-norm attack that comes near for many queries: the weight is searched for by bisection. Inputs with bounds
/// are changed through a tanh, so that they stay inside.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Cw {
    #[serde(flatten)]
    nearest: Nearest,
    /// Number of Adam's steps for a weight.
    #[schemars(range(min = 1, max = 100_000), extend("aliases" = ["max_iter"]))]
    steps: u32,
    /// Adam's learning rate.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["lr", "stepsize", "learning_rate"]))]
    step_size: f64,
    /// Number of weights that are tried.
    #[schemars(range(min = 1, max = 100))]
    binary_search_steps: u32,
    /// The first weight of the margin.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["c", "initial_const"]))]
    initial_weight: f64,
    /// Margin in logits by which a witness is to be wrong before the distance alone counts.
    #[schemars(range(min = 0.0), extend("aliases" = ["kappa"]))]
    confidence: f64,
}

impl Default for Cw {
    fn default() -> Self {
        Self {
            nearest: Nearest::default(),
            steps: 300,
            step_size: 0.02,
            binary_search_steps: 6,
            initial_weight: 1.0,
            confidence: 0.0,
        }
    }
}

impl Probe for Cw {
    const NAME: &'static str = "cw";
    const PAPER: &'static str =
        "Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, 2017 (arXiv:1608.04644)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "binary_search_steps * (steps + 1), and one for each witness";
}

impl Attack for Cw {
    fn threat(&self) -> Threat {
        self.nearest.threat(Norm::L2)
    }

    fn cost(&self, _: u64) -> Spent {
        let steps = u64::from(self.binary_search_steps) * u64::from(self.steps);
        Spent { forward: steps, gradient: steps }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let mut weights: Vec<(usize, Weight)> =
            search.open().into_iter().map(|case| (case, Weight::new(self.initial_weight))).collect();
        for _ in 0..self.binary_search_steps {
            weights.retain(|(case, _)| search.is_open(*case));
            let started = |(case, weight): &(usize, Weight)| Descent::new(search, *case, weight.now);
            let mut descents: Vec<Descent> = weights.iter().map(started).collect();
            self.run(search, &mut descents)?;
            for (case, weight) in &mut weights {
                let broken = descents.iter().any(|descent| descent.row.case == *case && descent.broken);
                weight.bisect(broken);
            }
        }
        Ok(())
    }
}

/// The weight of a case's margin, between one that was too small and one that was enough.
struct Weight {
    low: f64,
    high: f64,
    now: f64,
}

impl Weight {
    fn new(now: f64) -> Self {
        Self { low: 0.0, high: f64::INFINITY, now }
    }

    fn bisect(&mut self, enough: bool) {
        if enough {
            self.high = self.high.min(self.now);
        } else {
            self.low = self.low.max(self.now);
        }
        self.now = if self.high.is_finite() { f64::midpoint(self.low, self.high) } else { self.now * 10.0 };
    }
}

/// Adam's memory of the gradient and of its square, and what keeps a quotient finite (Kingma and Ba, 2015).
const BETA: [f64; 2] = [0.9, 0.999];
const TINY: f64 = 1e-8;

/// How near a bound the clean value may be before tanh is flat there.
const INSIDE: f64 = 0.999_999;

/// A case on its way at one weight.
struct Descent {
    row: Row,
    weight: f64,
    /// The values that Adam moves: the input, or what tanh makes it of.
    free: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    broken: bool,
}

/// Centre and half width of the bounds; `None` where there are none.
fn bounds_of([low, high]: [f32; 2]) -> Option<(f64, f64)> {
    let (low, high) = (f64::from(low), f64::from(high));
    (high - low).is_finite().then(|| (f64::midpoint(low, high), (high - low) / 2.0))
}

impl Descent {
    fn new(search: &Search<'_>, case: usize, weight: f64) -> Self {
        let clean = search.case(case);
        let free = |x: &f32| match bounds_of(clean.bounds) {
            Some((centre, half)) => ((f64::from(*x) - centre) / half * INSIDE).clamp(-INSIDE, INSIDE).atanh(),
            None => f64::from(*x),
        };
        let free: Vec<f64> = clean.x.iter().map(free).collect();
        let (first, second) = (vec![0.0; free.len()], vec![0.0; free.len()]);
        Self { row: Row { case, x: clean.x.clone() }, weight, free, first, second, broken: false }
    }

    /// One step down the squared distance less the weighted margin.
    #[allow(clippy::cast_possible_truncation)]
    fn step(&mut self, search: &Search<'_>, slope: &Slope, rate: f64, number: i32) {
        let case = search.case(self.row.case);
        let bounds = bounds_of(case.bounds);
        for (i, x) in self.row.x.iter_mut().enumerate() {
            let margin = f64::from(slope.gradient[i]) * slope.scale;
            let margin = if margin.is_finite() { margin } else { 0.0 };
            let downhill = 2.0 * (f64::from(*x) - f64::from(case.x[i])) - self.weight * margin;
            let inner = bounds.map_or(1.0, |(_, half)| half * (1.0 - self.free[i].tanh().powi(2)));
            let gradient = downhill * inner;
            self.first[i] = BETA[0] * self.first[i] + (1.0 - BETA[0]) * gradient;
            self.second[i] = BETA[1] * self.second[i] + (1.0 - BETA[1]) * gradient * gradient;
            let mean = self.first[i] / (1.0 - BETA[0].powi(number));
            let square = self.second[i] / (1.0 - BETA[1].powi(number));
            self.free[i] -= rate * mean / (square.sqrt() + TINY);
            let value = bounds.map_or(self.free[i], |(centre, half)| centre + half * self.free[i].tanh() / INSIDE);
            *x = (value as f32).clamp(case.bounds[0], case.bounds[1]);
        }
    }
}

impl Cw {
    fn run(&self, search: &mut Search<'_>, descents: &mut Vec<Descent>) -> Result<()> {
        for number in 1..=self.steps {
            descents.retain(|descent| search.is_open(descent.row.case));
            let rows: Vec<&Row> = descents.iter().map(|descent| &descent.row).collect();
            let slopes = search.slopes(&rows, Loss::Cw { confidence: self.confidence })?;
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            for (descent, slope) in descents.iter_mut().zip(&slopes) {
                // The loss is flat from there on.
                descent.broken |= slope.value >= self.confidence;
                descent.step(search, slope, self.step_size, number);
            }
        }
        descents.retain(|descent| search.is_open(descent.row.case));
        search.scores(&descents.iter().map(|descent| &descent.row).collect::<Vec<_>>()).map(drop)
    }
}
