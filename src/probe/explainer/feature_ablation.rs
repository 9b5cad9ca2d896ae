//! Groups of values that are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::partition::Grouping;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Row, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// How much the score falls when a group of values is left out, group by group.
///
/// Takes no gradients. What a group costs is shared equally among its values. If groups do not act together, the
/// attributions add up to the score less the baseline's; the residual is how far they do not.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct FeatureAblation {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    grouping: Grouping,
    /// What stands for a value that is left out, in units of the input as read: `zero`, `mean` (of each channel of a
    /// picture), `blurred` (a picture), `background` (the mean of its rows) or a number.
    baseline: Baseline,
}

impl Probe for FeatureAblation {
    const NAME: &'static str = "feature_ablation";
    const PAPER: &'static str = "Kokhlikyan et al., Captum: A unified and generic model interpretability library for PyTorch, 2020 (arXiv:2009.07896)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "groups + 2";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for FeatureAblation {
    fn view(&self) -> View {
        self.view
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.grouping.fits(input, usize::MAX)
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        Spent { forward: self.grouping.most(input).unwrap_or(input.len()) as u64 + 2, gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let clean = study.values(&study.rows(|case| case.x.clone()))?;
        let baselines = study.rows(|case| self.baseline.of(&case.x, study));
        let without = study.values(&baselines)?;
        let mut explanations = Vec::new();
        for (case, (own, baseline)) in study.cases.iter().zip(&baselines).enumerate() {
            let partition = self.grouping.of(study.input(), &own.x)?;
            let mut costs = Vec::with_capacity(partition.count);
            let groups: Vec<usize> = (0..partition.count).collect();
            for groups in groups.chunks(BATCH) {
                let left_out = |group: &usize| {
                    let mut known = vec![true; partition.count];
                    known[*group] = false;
                    Row { case, x: partition.mixed(&own.x, &baseline.x, &known) }
                };
                let values = study.values(&groups.iter().map(left_out).collect::<Vec<_>>())?;
                costs.extend(values.into_iter().map(|value| clean[case] - value));
            }
            let (all, whole) = (costs.iter().sum::<f64>(), clean[case] - without[case]);
            explanations.push(Explanation::new(partition.spread(&costs), all - whole, whole));
        }
        Ok(explanations)
    }
}

/// Groups that are left out at once, each of another row.
const BATCH: usize = 64;
