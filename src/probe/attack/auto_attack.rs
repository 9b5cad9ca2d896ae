//! The ensemble that published robust accuracies are measured by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::apgd::{Apgd, ApgdLoss};
use super::fab::Fab;
use super::search::Search;
use super::square::Square;
use super::{Attack, Ball, Goal, Nearest, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::Norm;

/// AutoAttack: Auto-PGD, FAB and Square one after the other, each on the cases that still hold.
///
/// With the versions, steps and numbers of its authors, so that figures can be set beside RobustBench's. Models of few
/// classes: with three, the targeted ratio is the untargeted one; with two, both are the margin; there are at most as
/// many targets as wrong classes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct AutoAttack {
    /// The norm of the perturbation.
    norm: Norm,
    /// Its largest size, in units of the input as read (pictures: of [0, 1]). If left out, what the field takes for
    /// pictures: 8/255 for linf, 0.5 for l2, 12 for l1.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["epsilon", "radius"]))]
    eps: Option<f64>,
    /// Which of the authors' ensembles: `standard`, the larger `plus`, or `rand` for models that draw random numbers.
    version: Version,
}

/// The authors' ensembles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Version {
    /// Auto-PGD on cross-entropy and on the targeted ratio, targeted FAB, Square.
    #[default]
    Standard,
    /// More restarts, and the untargeted ones too.
    Plus,
    /// Auto-PGD on averages of 20 gradients.
    Rand,
}

impl Probe for AutoAttack {
    const NAME: &'static str = "auto_attack";
    const PAPER: &'static str = "Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse \
                                 Parameter-free Attacks, 2020 (arXiv:2003.01690)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str =
        "standard: up to 1000 gradients by Auto-PGD, 900 by FAB with as many passes, 5000 passes";
}

impl Attack for AutoAttack {
    fn threat(&self) -> Threat {
        self.ball().threat()
    }

    fn cost(&self, classes: u64) -> Spent {
        let parts = self.members(self.threat().eps).into_iter().map(|member| member.cost(classes));
        parts.fold(Spent::default(), |all, part| Spent {
            forward: all.forward + part.forward,
            gradient: all.gradient + part.gradient,
        })
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        for (stage, member) in self.members(search.threat.eps).into_iter().enumerate() {
            search.enter(stage as u64, matches!(member, Member::Square(_)));
            member.perturb(search)?;
        }
        Ok(())
    }
}

/// A part of the ensemble.
enum Member {
    Apgd(Apgd),
    Fab(Fab),
    Square(Square),
}

impl Member {
    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        match self {
            Self::Apgd(apgd) => apgd.perturb(search),
            Self::Fab(fab) => fab.perturb(search),
            Self::Square(square) => square.perturb(search),
        }
    }

    fn cost(&self, classes: u64) -> Spent {
        match self {
            Self::Apgd(apgd) => apgd.cost(classes),
            Self::Fab(fab) => fab.cost(classes),
            Self::Square(square) => square.cost(classes),
        }
    }
}

impl AutoAttack {
    fn ball(&self) -> Ball {
        Ball { norm: self.norm, eps: self.eps, target: Goal::Untargeted, query_budget: None }
    }

    /// The authors' parts, in their order.
    fn members(&self, eps: Option<f64>) -> Vec<Member> {
        let apgd = |loss, restarts, targets, eot_samples| {
            // As published, only the standard ensemble begins in larger balls.
            let large_start = self.norm == Norm::L1 && self.version == Version::Standard;
            Member::Apgd(Apgd {
                ball: self.ball(),
                loss,
                restarts,
                targets,
                eot_samples,
                large_start,
                ..Apgd::default()
            })
        };
        let fab = |restarts, targets| {
            let nearest = Nearest { eps, ..Nearest::default() };
            Member::Fab(Fab { nearest, norm: self.norm, restarts, targets, ..Fab::default() })
        };
        let square = Member::Square(Square { norm: self.norm, eps: self.eps, ..Square::default() });
        let sparse = self.norm == Norm::L1;
        let (restarts, targets) = if sparse { (5, 5) } else { (1, 9) };
        match self.version {
            Version::Standard => {
                vec![apgd(ApgdLoss::Ce, restarts, 1, 1), apgd(ApgdLoss::DlrTargeted, 1, targets, 1), fab(1, 9), square]
            }
            Version::Plus => vec![
                apgd(ApgdLoss::Ce, 5, 1, 1),
                apgd(ApgdLoss::Dlr, 5, 1, 1),
                fab(5, 0),
                square,
                apgd(ApgdLoss::DlrTargeted, 1, 9, 1),
                fab(1, 9),
            ],
            Version::Rand => vec![apgd(ApgdLoss::Ce, 1, 1, 20), apgd(ApgdLoss::Dlr, 1, 1, 20)],
        }
    }
}
