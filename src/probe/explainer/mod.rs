//! Explainers: how much each value of a case counts in the model's answer.
//!
//! What is explained is one number, a class's score, as a function of the probed input: a [`View`] says which. An explainer
//! asks for that function's values and gradients through a [`Study`], and gives an [`Explanation`] of each case with its
//! own error: how far the attributions are from adding up to what they explain. Random numbers belong to a case.
//!
//! To add one: a file with its struct, [`Probe`] and [`Explainer`], and its line in [`EXPLAINERS`].

mod anchors;
mod baseline;
mod coalition;
mod connected;
mod counterfactual;
mod exact_shapley;
mod expected_gradients;
mod feature_ablation;
mod grad_cam;
mod gradient_shap;
mod input_x_gradient;
mod integrated_gradients;
mod kernel_shap;
mod lime;
mod linear;
mod masks;
mod noise_tunnel;
mod occlusion;
mod partition;
mod parts;
mod permutation_shap;
mod quality;
mod random;
mod rise;
mod saliency;
mod smooth_grad;
mod study;
mod superpixels;
mod surrogate;
mod table;
mod tree_shap;
mod vargrad;
mod view;
mod words;

pub(in crate::probe) use partition::{Names, feature};
pub use quality::{ASKED, MEASURES};
pub(in crate::probe) use study::Study;
pub use study::{Case, Explanation};
pub use view::{Answer, Of};
pub(in crate::probe) use view::{Output as Scale, View};

use quality::{Given, Other, Questions};
use schemars::Schema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Manual, Probe, schema};
use crate::engine::{Input, Layer, Output, Spent, Target};
use crate::error::{Error, Result};

/// All explainers, in alphabetical order.
pub static EXPLAINERS: &[Entry] = &[
    explainer::<anchors::Anchors>(),
    explainer::<counterfactual::Counterfactual>(),
    explainer::<exact_shapley::ExactShapley>(),
    explainer::<expected_gradients::ExpectedGradients>(),
    explainer::<feature_ablation::FeatureAblation>(),
    explainer::<grad_cam::GradCam>(),
    explainer::<gradient_shap::GradientShap>(),
    explainer::<input_x_gradient::InputXGradient>(),
    explainer::<integrated_gradients::IntegratedGradients>(),
    explainer::<kernel_shap::KernelShap>(),
    explainer::<lime::Lime>(),
    explainer::<occlusion::Occlusion>(),
    explainer::<permutation_shap::PermutationShap>(),
    explainer::<random::Random>(),
    explainer::<rise::Rise>(),
    explainer::<saliency::Saliency>(),
    explainer::<smooth_grad::SmoothGrad>(),
    explainer::<tree_shap::TreeShap>(),
    explainer::<vargrad::Vargrad>(),
];

/// An explainer is a probe that attributes the model's answer to the values of a case.
trait Explainer: Send + Sync {
    /// What is explained.
    fn view(&self) -> View;

    /// Whether attributions are slopes, the score per unit of a value, and not parts of the score.
    fn slopes(&self) -> bool {
        false
    }

    /// Refuses an input that it cannot explain, or for which its parameters have no meaning; under `params...` or the name.
    fn fits(&self, _input: &Input) -> Result<()> {
        Ok(())
    }

    /// Refuses a judged output for which its parameters have no meaning; under `params...` or the name.
    fn answers(&self, _output: &Output) -> Result<()> {
        Ok(())
    }

    /// Whether it cannot do without reference rows for such an input.
    fn wants_background(&self, _input: &Input) -> bool {
        false
    }

    /// The inner tensor that it differentiates with respect to, beside the input.
    fn layer(&self) -> Option<Layer> {
        None
    }

    /// The most that it asks about a case with such a probed input and so many reference rows.
    fn cost(&self, input: &Input, background: u64) -> Spent;

    /// Explains the study's cases, in their order.
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>>;
}

/// An explainer with its parameters read.
pub struct Attributor {
    explainer: Box<dyn Explainer>,
    questions: Questions,
    /// The explainer that it is compared with.
    other: Option<Other>,
}

impl Attributor {
    fn view(&self) -> View {
        self.explainer.view()
    }

    /// Which class's score is explained.
    pub fn of(&self) -> Of {
        self.explainer.view().target
    }

    /// The inner tensor that it differentiates with respect to, beside the input.
    pub fn layer(&self) -> Option<Layer> {
        self.explainer.layer().or_else(|| self.other.as_ref()?.attributor.layer())
    }

    /// Whether attributions are slopes, the score per unit of a value, and not parts of the score.
    fn slopes(&self) -> bool {
        self.explainer.slopes()
    }

    /// Whether it asks for what only a classifier has.
    pub fn wants_classes(&self) -> bool {
        self.explainer.view().output.is_some() || matches!(self.of(), Of::Class(_))
    }

    /// Refuses an input that it cannot explain, or for which its parameters have no meaning.
    pub fn fits(&self, input: &Input) -> Result<()> {
        self.explainer.fits(input)?;
        self.questions.fits(input)?;
        self.other.iter().try_for_each(|other| other.fits(input))
    }

    /// Refuses a judged output for which its parameters have no meaning.
    pub fn answers(&self, output: &Output) -> Result<()> {
        self.explainer.answers(output)?;
        self.other.iter().try_for_each(|other| other.answers(output))
    }

    /// Whether it cannot do without reference rows for such an input.
    pub fn wants_background(&self, input: &Input) -> bool {
        let other = self.other.as_ref().map(|other| &other.attributor);
        self.explainer.wants_background(input) || other.is_some_and(|other| other.wants_background(input))
    }

    /// The manual of the explainer that it is compared with.
    pub fn compared(&self) -> Option<&'static Manual> {
        self.other.as_ref().map(|other| other.manual)
    }

    /// Whether the model with shuffled weights is explained too.
    pub fn randomises(&self) -> bool {
        self.questions.randomises()
    }

    /// The most that it asks about a case with such a probed input and so many reference rows, with what measuring the
    /// explanations takes.
    pub fn cost(&self, input: &Input, background: u64) -> Spent {
        let own = self.questions.cost(self.explainer.cost(input, background));
        let other = self.other.as_ref().map(|other| other.attributor.cost(input, background)).unwrap_or_default();
        let both = |a: u64, b: u64| a.saturating_add(b);
        Spent { forward: both(own.forward, other.forward), gradient: both(own.gradient, other.gradient) }
    }

    /// Explains `cases`, the target's in its order. `background` are rows that stand for values that are not there, for
    /// explainers that take some. Fails where the model does, or where the target's limits stop it.
    ///
    /// `seed` and `check` (its canonical SPEC without [`ASKED`]) key the random numbers. `randomised` is the model with
    /// shuffled weights about the same cases, if [`Self::randomises`] and there is one.
    pub fn explain(
        &self,
        target: &Target<'_>,
        randomised: Option<&Target<'_>>,
        cases: &[Case],
        background: &[Vec<f32>],
        seed: u64,
        check: &str,
    ) -> Result<Vec<Explanation>> {
        let study = Study { target, cases, background, view: self.explainer.view(), seed, check };
        let mut explanations = self.explainer.explain(&study)?;
        let given = Given { study: &study, explanations: &explanations, explainer: self, randomised };
        let measures = self.questions.answer(&given)?;
        explanations.iter_mut().zip(measures).for_each(|(explanation, measures)| explanation.measures.extend(measures));
        Ok(explanations)
    }

    /// Explains the cases of a study, under its view.
    pub(in crate::probe) fn study(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        self.explainer.explain(study)
    }
}

/// A member of the family.
pub struct Entry {
    pub manual: Manual,
    /// The explainer of these parameters, which fit the manual's schema.
    pub read: fn(&Map<String, Value>) -> Result<Attributor>,
}

/// The explainer of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    EXPLAINERS.iter().find(|entry| entry.manual.name == name)
}

const fn explainer<E: Probe + Explainer>() -> Entry {
    let manual = Manual { schema: parameters::<E>, ..Manual::of::<E>("explainer") };
    Entry { manual, read: read::<E> }
}

/// An explainer's own parameters, then those of all.
fn parameters<E: Probe>() -> Schema {
    let (mut own, mut shared) = (schema::<E>(), schema::<Questions>());
    if let (Some(Value::Object(own)), Some(Value::Object(shared))) =
        (own.get_mut("properties"), shared.get_mut("properties"))
    {
        own.append(shared);
    }
    own
}

fn read<E: Probe + Explainer>(params: &Map<String, Value>) -> Result<Attributor> {
    let questions = Questions::deserialize(Value::Object(params.clone()));
    let questions = questions.map_err(|e| Error::invalid("params", e.to_string()))?;
    let explainer = Box::new(super::read::<E>(params)?);
    let other = questions.agrees_with.as_ref().map(|name| Other::read(name, explainer.layer(), params)).transpose()?;
    Ok(Attributor { explainer, questions, other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Access;

    #[test]
    fn the_registry_is_in_order_and_has_manuals() {
        assert!(EXPLAINERS.is_sorted_by(|a, b| a.manual.name < b.manual.name));
        for entry in EXPLAINERS {
            let (name, summary) = (entry.manual.name, entry.manual.summary());
            assert!(summary.ends_with('.') && summary.len() < 120, "{name}: {summary}");
            assert!(!entry.manual.text().is_empty() && !entry.manual.paper.is_empty(), "{name}");
            let schema = (entry.manual.schema)();
            let properties = schema.get("properties").unwrap().as_object().unwrap();
            assert!(properties.values().all(|p| p["description"].is_string()), "{name}: {properties:?}");
            // What trees add up to is one thing alone.
            let output = properties.contains_key("output") || entry.manual.accesses == [Access::Weights];
            assert!(properties.contains_key("target") && output, "{name}");
            assert!(ASKED.iter().all(|key| properties.contains_key(*key)), "{name}");
            (entry.read)(&Map::new()).unwrap();
        }
    }
}
