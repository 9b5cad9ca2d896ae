//! Steps whose size follows from how the loss grows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::climb::{Climb, Climber};
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::{Loss, Spent};
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::Norm;

/// Auto-PGD: projected gradient steps with momentum that halve when the loss stops growing.
///
/// It has no step size to choose, and is stronger than PGD where that one's is wrong. With `loss=dlr_targeted` it goes
/// for the likeliest wrong classes one after the other, which is what breaks most.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Apgd {
    #[serde(flatten)]
    pub(super) ball: Ball,
    /// Number of steps of a restart.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    pub(super) steps: u32,
    /// How often it begins anew, on cases that still hold.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["n_restarts"]))]
    pub(super) restarts: u32,
    /// What is increased: `ce` (cross-entropy), `dlr` (difference of logits ratio), or `dlr_targeted`, for each of
    /// `targets` classes.
    pub(super) loss: ApgdLoss,
    /// Wrong classes that `dlr_targeted` goes for, the likeliest first.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["n_target_classes"]))]
    pub(super) targets: u32,
    /// Share of a window's steps that must raise the loss for the step size to stay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) rho: f64,
    /// Gradients that are averaged, for models that draw random numbers.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["eot_iter"]))]
    pub(super) eot_samples: u32,
    /// Whether an l1 attack begins in balls three and two times as large.
    pub(super) large_start: bool,
}

/// What Auto-PGD increases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ApgdLoss {
    /// Cross-entropy.
    #[default]
    Ce,
    /// The difference of logits ratio.
    Dlr,
    /// The same towards one wrong class after the other.
    DlrTargeted,
}

impl Default for Apgd {
    fn default() -> Self {
        Self {
            ball: Ball::default(),
            steps: 100,
            restarts: 1,
            loss: ApgdLoss::Ce,
            targets: 9,
            rho: 0.75,
            eot_samples: 1,
            large_start: false,
        }
    }
}

impl Probe for Apgd {
    const NAME: &'static str = "apgd";
    const PAPER: &'static str = "Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse \
                                 Parameter-free Attacks, 2020 (arXiv:2003.01690); for l1: Mind the Box, 2021 \
                                 (arXiv:2103.01208)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "restarts * (steps + 1), times targets";
}

impl Attack for Apgd {
    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, classes: u64) -> Spent {
        let targets = if self.several() { classes.saturating_sub(1).min(self.targets.into()) } else { 1 };
        let runs = targets * u64::from(self.restarts) * u64::from(self.eot_samples);
        Spent { forward: 1, gradient: runs * (u64::from(self.steps) + 1) }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let classes = u32::try_from(search.target().classes()).unwrap_or(u32::MAX);
        let several = self.several();
        let targets = if several { self.targets.min(classes.saturating_sub(1)) } else { 1 };
        for target in 0..targets {
            for restart in 0..self.restarts {
                let stream = u64::from(target) * u64::from(self.restarts) + u64::from(restart);
                let rank = several.then_some(target as usize);
                let cases = search.open().into_iter();
                let climbers = cases.map(|case| (case, rank.and_then(|rank| search.case(case).rival(rank)))).collect();
                self.run(search, climbers, stream)?;
            }
        }
        Ok(())
    }
}

impl Apgd {
    /// Whether it goes for several classes.
    fn several(&self) -> bool {
        self.loss == ApgdLoss::DlrTargeted && self.ball.target == super::Goal::Untargeted
    }

    /// Once over cases, each towards a class if there is one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn run(&self, search: &mut Search<'_>, cases: Vec<(usize, Option<usize>)>, stream: u64) -> Result<()> {
        let loss = if self.loss == ApgdLoss::Ce { Loss::CrossEntropy } else { Loss::Dlr };
        let climb = |eps: f64, steps: u32| Climb {
            norm: search.threat.norm,
            loss,
            eps,
            steps,
            total: self.steps,
            rho: self.rho,
            samples: self.eot_samples,
        };
        let eps = search.eps();
        let stages = if self.large_start && search.threat.norm == Norm::L1 {
            let part = (0.3 * f64::from(self.steps)).ceil() as u32;
            let rest = self.steps.saturating_sub(2 * part);
            vec![climb(3.0 * eps, part), climb(2.0 * eps, part), climb(eps, rest)]
        } else {
            vec![climb(eps, self.steps)]
        };
        let mut starts: Option<Vec<Climber>> = None;
        for stage in stages {
            let climbers = match starts.take() {
                None => cases.iter().map(|(case, toward)| stage.start(search, *case, *toward, stream)).collect(),
                Some(climbers) => climbers.into_iter().map(|climber| stage.resume(search, climber)).collect(),
            };
            starts = Some(stage.run(search, climbers)?);
        }
        Ok(())
    }
}
