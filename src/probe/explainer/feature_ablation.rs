//! Groups of values that are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::partition::Grouping;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
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
        self.baseline.fits(input)?;
        self.grouping.fits(input, usize::MAX)
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        Spent { forward: self.grouping.most(input).unwrap_or(input.len()) as u64 + 2, gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let clean = study.clean()?;
        let (baselines, without) = self.baseline.asked(study)?;
        let mut explanations = Vec::new();
        for (case, (own, baseline)) in study.cases.iter().zip(&baselines).enumerate() {
            let partition = self.grouping.of(study.input(), &own.x)?;
            let values = study.values_at(case, partition.count, |left_out, rows| {
                let both = own.x.iter().zip(&baseline.x).zip(&partition.of);
                rows.extend(both.map(|((x, other), group)| if *group == left_out { *other } else { *x }));
            })?;
            let costs: Vec<f64> = values.into_iter().map(|value| clean[case] - value).collect();
            let (all, whole) = (costs.iter().sum::<f64>(), clean[case] - without[case]);
            explanations.push(Explanation::new(partition.spread(&costs), all - whole, whole));
        }
        Ok(explanations)
    }
}
