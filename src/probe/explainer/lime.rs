//! A linear model that imitates the model near a case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::partition::Grouping;
use super::parts::{Parts, mean_colours};
use super::study::{Explanation, Study};
use super::surrogate::{Neighbour, Regression, Surrogate};
use super::table::Table;
use super::view::View;
use crate::engine::{Input, Layout, Spent};
use crate::error::{Error, Result};
use crate::probe::{Access, Kind, Probe};
use crate::tensor::Rng;

/// The weights of a linear model that imitates the model near the case.
///
/// As the package lime: a ridge regression (of penalty 1, all features) over samples near the case and the case itself,
/// which weigh the more the nearer they are: sqrt(exp(-distance^2 / kernel_width^2)). lime explains probabilities:
/// `output=probability`, where the model gives logits.
///
/// A row's samples are drawn as the background's rows are spread, feature by feature. With `discretize` each feature
/// says whether the sample lies between the same quartiles as the case, and a weight is what that is worth. Without, a
/// weight is how much the score rises with a standard deviation of the feature. Takes at most 512 features.
///
/// Of pictures, sequences, tokens and rows with `groups` parts are hidden: each or not by a coin, of tokens any number,
/// one like another. The distance is one less the cosine. The weight of a part is shared among its values; parts that
/// look the same when they are hidden have none. Takes at most 512 parts, and no background.
///
/// The residual is the root mean squared error of the linear model over the weighted samples, and the relative one its
/// share of their standard deviation, sqrt(1 - R^2): at 1 the model is nothing like linear, and the weights say little.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Lime {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    grouping: Grouping,
    /// Samples that are asked, with the case. If left out, 5000 of rows and tokens, 1000 of others.
    #[schemars(range(min = 2, max = 65536), extend("aliases" = ["num_samples"]))]
    n_samples: Option<usize>,
    /// The distance at which a sample weighs 0.61: of scaled features, or of parts, one less the cosine. If left out,
    /// 0.75 times the square root of the features of a row, and 0.25 elsewhere.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    kernel_width: Option<f64>,
    /// Whether features of a row count by the quartiles of the background that they lie between.
    #[schemars(extend("aliases" = ["discretize_continuous"]))]
    discretize: bool,
    /// What hides a part, in units of the input as read: `zero`, `mean` (of each channel of a picture), `blurred` (a
    /// picture), `background` (the mean of its rows) or a number, of tokens that of the mask. If left out, the mean
    /// colour of a picture's part, which hides little where a part has one colour, and 0 elsewhere.
    baseline: Option<Baseline>,
}

impl Default for Lime {
    fn default() -> Self {
        let (view, grouping) = (View::default(), Grouping::default());
        Self { view, grouping, n_samples: None, kernel_width: None, discretize: true, baseline: None }
    }
}

/// Features beyond which the regression would take longer than the model.
const MOST: usize = 512;

/// The ridge's penalty, as lime has it.
const ALPHA: f64 = 1.0;

/// Distances of parts are no longer than 1; lime_text counts them in hundredths, with a width of 25.
const PARTS_WIDTH: f64 = 0.25;

impl Lime {
    fn samples(&self, input: &Input) -> usize {
        let row = input.layout == Layout::Nf && input.shape.len() == 1;
        let usual = if row || input.is_tokens() { 5000 } else { 1000 };
        self.n_samples.unwrap_or(usual).max(1)
    }

    /// Asks about the case itself and neighbours that `draw` makes, and imitates what is answered.
    fn imitate(
        &self,
        study: &Study<'_>,
        case: usize,
        own: &Neighbour,
        width: f64,
        mut draw: impl FnMut(&Neighbour, &mut Rng) -> Neighbour,
    ) -> Result<Surrogate> {
        let (mut rng, mut regression) = (study.rng(case), Regression::new(own.features.len()));
        let width = self.kernel_width.unwrap_or(width);
        let mut seen = Vec::new();
        let values = study.values_at(case, self.samples(study.input()), |sample, rows| {
            let Neighbour { x, features, distance } = if sample == 0 { own.clone() } else { draw(own, &mut rng) };
            rows.extend(x);
            seen.push((features, (-(distance / width).powi(2)).exp().sqrt()));
        })?;
        seen.iter().zip(values).for_each(|((features, weight), value)| regression.add(features, value, *weight));
        Ok(regression.solve(ALPHA))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn row(&self, study: &Study<'_>, case: usize, table: &Table) -> Result<Explanation> {
        let own = table.own(&study.cases[case].x, self.discretize);
        let width = 0.75 * (own.features.len() as f64).sqrt();
        let draw = |own: &Neighbour, rng: &mut Rng| {
            if self.discretize { table.binned(own, rng) } else { table.normal(own, rng) }
        };
        let Surrogate { weights, error, spread } = self.imitate(study, case, &own, width, draw)?;
        Ok(Explanation::new(weights.iter().map(|weight| *weight as f32).collect(), error, spread))
    }

    fn parts(&self, study: &Study<'_>, case: usize) -> Result<Explanation> {
        let x = &study.cases[case].x;
        let partition = self.grouping.of(study.input(), x)?;
        let hidden = match (self.baseline, study.grid()) {
            (None, Some(grid)) => mean_colours(x, &partition, grid),
            (baseline, _) => baseline.unwrap_or_default().of(x, study),
        };
        let parts = Parts::new(x, hidden, partition);
        let tokens = study.input().is_tokens();
        let draw = |_: &Neighbour, rng: &mut Rng| if tokens { parts.some(rng) } else { parts.coins(rng) };
        let Surrogate { weights, error, spread } = self.imitate(study, case, &parts.own(), PARTS_WIDTH, draw)?;
        Ok(Explanation::new(parts.spread(&weights), error, spread))
    }

    /// Whether samples are drawn as the background's rows are spread: of rows whose features are not grouped.
    fn tabular(&self, input: &Input) -> bool {
        input.layout == Layout::Nf && input.shape.len() == 1 && !self.grouping.is_given()
    }
}

impl Probe for Lime {
    const NAME: &'static str = "lime";
    const PAPER: &'static str =
        "Ribeiro et al., Why Should I Trust You? Explaining the Predictions of Any Classifier, 2016 (arXiv:1602.04938)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "n_samples";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for Lime {
    fn view(&self) -> View {
        self.view
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.baseline.map_or(Ok(()), |baseline| baseline.fits(input))?;
        self.grouping.fits(input, MOST)
    }

    fn wants_background(&self, input: &Input) -> bool {
        self.tabular(input) || self.baseline.is_some_and(Baseline::is_background)
    }

    fn cost(&self, input: &Input, _: u64) -> Spent {
        Spent { forward: self.samples(input) as u64, gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let cases = 0..study.cases.len();
        if !self.tabular(study.input()) {
            return cases.map(|case| self.parts(study, case)).collect();
        }
        if study.background.is_empty() {
            return Err(Error::invalid("background", "lime of a row wants reference rows"));
        }
        let table = Table::new(study.background);
        cases.map(|case| self.row(study, case, &table)).collect()
    }
}
