//! What counts over all cases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::choice::{Response, panels, rows};
use super::{Asked, Audit, Draw, Frame, Panel, Reduced, Table};
use crate::engine::{Input, Signature, Spent};
use crate::error::{Error, Result};
use crate::metric::Moments;
use crate::probe::Probe;
use crate::probe::explainer::{Attributor, find};

/// The mean size of each feature's Shapley value over all cases.
///
/// Says which features the model uses, in units of its score; with the artifacts the values of each case, the dots of a
/// beeswarm. `explainer` is taken with its defaults.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct GlobalShap {
    #[serde(flatten)]
    response: Response,
    /// What explains each case: `kernel_shap`, `permutation_shap` or `exact_shapley`.
    explainer: By,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    KernelShap,
    PermutationShap,
    ExactShapley,
}

impl GlobalShap {
    fn attributor(&self) -> Result<Attributor> {
        let name = match self.explainer {
            By::KernelShap => "kernel_shap",
            By::PermutationShap => "permutation_shap",
            By::ExactShapley => "exact_shapley",
        };
        let entry = find(name).ok_or_else(|| Error::internal("global_shap", name))?;
        (entry.read)(&Map::new())
    }
}

impl Probe for GlobalShap {
    const NAME: &'static str = "global_shap";
    const PAPER: &'static str = "Lundberg et al., From Local Explanations to Global Understanding with Explainable AI for Trees, 2020 (arXiv:1905.04610)";
    const COST: &'static str = "that of the explainer";
}

impl Audit for GlobalShap {
    fn response(&self) -> Option<Response> {
        Some(self.response)
    }

    fn metric(&self) -> &'static str {
        "mean_attribution"
    }

    fn panels(&self, input: &Input) -> Result<Vec<Panel>> {
        self.attributor()?.fits(input)?;
        panels(None, '+', 1, input)
    }

    fn wants_background(&self) -> bool {
        true
    }

    fn cost(&self, input: &Input, background: u64) -> Spent {
        self.attributor().map_or(Spent::default(), |attributor| attributor.cost(input, background))
    }

    fn figures(&self, input: &Input) -> u64 {
        input.len() as u64
    }

    fn width(&self, frame: &Frame) -> Option<usize> {
        Some(frame.panels.len())
    }

    fn fit(&self, table: &Table, signature: &Signature, _: &Draw<'_>) -> Result<Frame> {
        rows(table, 1)?;
        Ok(Frame { panels: self.panels(signature.probed())?, ..Frame::default() })
    }

    /// The attribution of each feature.
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>> {
        let explanations = self.attributor()?.study(&asked.study(&self.response))?;
        let figures = |attribution: Vec<f32>| attribution.into_iter().map(f64::from).collect();
        Ok(explanations.into_iter().map(|explanation| figures(explanation.attribution)).collect())
    }

    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced {
        let size = |feature: usize| rows.iter().map(|row| row[feature].abs()).collect::<Moments>().figure();
        let named = frame.panels.iter().enumerate();
        let metrics = named.map(|(i, panel)| (self.metric(), panel.name.clone(), size(i))).collect();
        Reduced { metrics, curves: Vec::new() }
    }
}
