//! Numbers that say nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};
use crate::tensor::Rng;

/// Attributions that are drawn at random: the floor that an explainer must be above.
///
/// Standard normal, drawn anew for each case and whatever changes in it, without a look at the model. An explainer that is
/// not better than this one on every measure that `quality` asks for explains nothing. The residual is how far the
/// numbers are from adding up to the score less that of zeros.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Random {
    #[serde(flatten)]
    view: View,
}

impl Probe for Random {
    const NAME: &'static str = "random";
    const PAPER: &'static str =
        "Hooker et al., A Benchmark for Interpretability Methods in Deep Neural Networks, 2018 (arXiv:1806.10758)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "2";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for Random {
    fn view(&self) -> View {
        self.view
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: 2, gradient: 0 }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let clean = study.clean()?;
        let without = study.values(&study.rows(|case| vec![0.0; case.x.len()]))?;
        let explanations = study.cases.iter().zip(clean).zip(without).map(|((case, clean), without)| {
            let mut rng = Rng::new(study.seed, study.check, &case.id, hash(&case.x));
            let attribution = case.x.iter().map(|_| rng.normal() as f32).collect();
            Explanation::adding_up_to(clean - without, attribution)
        });
        Ok(explanations.collect())
    }
}

/// Of the values' bits, by Fowler, Noll and Vo's method (FNV-1a, 64 bits, a value at a time).
fn hash(x: &[f32]) -> u64 {
    x.iter().fold(0xcbf2_9ce4_8422_2325, |hash, x| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3))
}
