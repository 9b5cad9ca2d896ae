//! Shapley values of tree ensembles, from the trees themselves.

mod forest;
mod interventional;
mod path_dependent;

use std::collections::BTreeMap;

use forest::Forest;
use interventional::Interventional;
use path_dependent::PathDependent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::study::{Explanation, Study};
use super::view::{Of, View};
use crate::engine::{Input, Spent};
use crate::error::{Error, Result};
use crate::probe::{Access, Kind, Probe};

/// Exact Shapley values of a tree ensemble, from its trees: in a fraction of the time of asking it.
///
/// Takes a model that is one TreeEnsembleClassifier, TreeEnsembleRegressor or TreeEnsemble whose trees are added up.
/// Explained is their sum, before the post transform: log-odds of gradient boosting, probabilities of a random forest. Where
/// one score stands for two classes, the first class's is its opposite. The attributions add up to the sum less its mean
/// over the background, whose rows take part in both ways: as what values that are not there are drawn from, or, as an
/// ONNX file does not tell how many rows of the training set came to a node, by the nodes that they come to. So
/// `path_dependent` gives shap's figures if the background is the training set and every row counted once in each tree;
/// in a random forest, whose trees saw bootstrap samples, they are near (of 100 trees by 0.003 of a probability).
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct TreeShap {
    /// The class whose score is explained: `predicted`, `label` (of several acceptable ones the first), or an index. A
    /// model that gives a value has one score alone.
    target: Of,
    /// What stands for values that are not there: those of the background's rows (`interventional`), or both ways at a
    /// node that asks for one, as often as the background's rows take them (`path_dependent`; equally often where none
    /// comes).
    #[schemars(extend("aliases" = ["feature_perturbation"]))]
    perturbation: Perturbation,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Perturbation {
    #[default]
    Interventional,
    PathDependent,
}

/// The Shapley value of each feature of a row.
type Shares = dyn Fn(&Forest<'_>, &[f32]) -> Vec<f64>;

impl Probe for TreeShap {
    const NAME: &'static str = "tree_shap";
    const PAPER: &'static str = "Lundberg et al., From Local Explanations to Global Understanding with Explainable AI for Trees, 2020 \
         (arXiv:1905.04610); Consistent Individualized Feature Attribution for Tree Ensembles, 2018 (arXiv:1802.03888)";
    const ACCESSES: &'static [Access] = &[Access::Weights];
    const COST: &'static str = "0, in the time of 4 x background";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for TreeShap {
    fn view(&self) -> View {
        View { target: self.target, output: None }
    }

    /// The model is not asked, but a reference row takes the time of some rows.
    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn cost(&self, _: &Input, background: u64) -> Spent {
        Spent { forward: background.saturating_mul(4), gradient: 0 }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let refuse = |why| Error::invalid("model", format!("tree_shap wants a model that is one tree ensemble; {why}"));
        let trees = study.target.trees().map_err(refuse)?;
        let background = study.background;
        let width = trees.ensemble().features;
        if background.is_empty() || background.iter().any(|row| row.len() < width) {
            return Err(Error::invalid("background", format!("rows of {width} features were expected")));
        }
        let shares: Box<Shares> = match self.perturbation {
            Perturbation::Interventional => {
                let way = Interventional::new(trees, background);
                Box::new(move |forest, x| way.explain(forest, x))
            }
            Perturbation::PathDependent => {
                let way = PathDependent::new(trees, background);
                Box::new(move |forest, x| way.explain(forest, x))
            }
        };
        // By class: its score and what that is on average.
        let mut forests = BTreeMap::new();
        let explained = study.cases.iter().map(|case| {
            let (forest, mean) = forests.entry(case.class).or_insert_with(|| {
                let forest = Forest::of(trees, case.class);
                let sum: f64 = background.iter().map(|row| forest.value(row)).sum();
                (forest, sum / background.len() as f64)
            });
            let attribution = shares(forest, &case.x).into_iter().map(|share| share as f32).collect();
            Explanation::adding_up_to(forest.value(&case.x) - *mean, attribution)
        });
        Ok(explained.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Node, Trees};
    use crate::tensor::Rng;

    const FEATURES: usize = 6;

    /// Random trees of all kinds of nodes, some of which share children, with values at their leaves.
    #[derive(Default)]
    struct Grove {
        nodes: Vec<Node>,
        values: Vec<f64>,
    }

    impl Grove {
        fn grow(&mut self, depth: usize, rng: &mut Rng) -> u32 {
            if !self.nodes.is_empty() && rng.uniform() < 0.1 {
                return rng.below(self.nodes.len()) as u32;
            }
            let leaf = depth == 0 || rng.uniform() < 0.1;
            let children = if leaf { None } else { Some([(); 2].map(|()| self.grow(depth - 1, rng))) };
            let own = self.nodes.len() as u32;
            let [left, right] = children.unwrap_or([own; 2]);
            self.nodes.push(Node {
                threshold: rng.below(5) as f64,
                feature: rng.below(FEATURES) as u32,
                left,
                right,
                equal: rng.uniform() < 0.2,
                nan_left: rng.uniform() < 0.5,
            });
            self.values.push(if leaf { rng.normal() } else { 0.0 });
            own
        }
    }

    fn row(rng: &mut Rng) -> Vec<f32> {
        (0..FEATURES).map(|_| if rng.uniform() < 0.1 { f32::NAN } else { rng.below(5) as f32 }).collect()
    }

    /// Shapley values of a game on the features, by all coalitions.
    fn shapley(worth: &dyn Fn(usize) -> f64) -> Vec<f64> {
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let all = FEATURES as u32;
        let share = |i: usize| {
            let without = (0..1usize << FEATURES).filter(|set| set >> i & 1 == 0);
            let weight = |size: u32| factorial(size) * factorial(all - size - 1) / factorial(all);
            without.map(|set| weight(set.count_ones()) * (worth(set | 1 << i) - worth(set))).sum()
        };
        (0..FEATURES).map(share).collect()
    }

    /// What a node is worth for a row of which only a set is known; elsewhere the mean by where reference rows go.
    fn expected(forest: &Forest<'_>, counts: &[[f64; 2]], at: u32, x: &[f32], known: usize) -> f64 {
        let node = forest.nodes[at as usize];
        let below = |left: bool| expected(forest, counts, node.child(left), x, known);
        let [right, left] = counts[at as usize];
        match (node.is_leaf(at), known >> node.feature & 1 == 1) {
            (true, _) => forest.values[at as usize],
            (_, true) => below(node.goes_left(f64::from(x[node.feature as usize]))),
            _ if left + right == 0.0 => below(true).midpoint(below(false)),
            _ => (below(true) * left + below(false) * right) / (left + right),
        }
    }

    #[test]
    fn both_ways_are_shapleys_formula() {
        let mut shared = 0;
        for seed in 0..30 {
            let rng = &mut Rng::new(seed, "tree_shap", "grove", 0);
            let mut grove = Grove::default();
            let roots: Vec<u32> = (0..3).map(|_| grove.grow(5, rng)).collect();
            let children = grove.nodes.iter().flat_map(|node| [node.left, node.right]);
            shared += grove.nodes.len().saturating_sub(children.collect::<std::collections::BTreeSet<_>>().len());
            let trees = Trees::grown(grove.nodes, &roots, &grove.values, FEATURES).unwrap();
            let forest = Forest::of(&trees, 0);
            let background: Vec<Vec<f32>> = (0..7).map(|_| row(rng)).collect();
            let mut counts = vec![[0.0; 2]; forest.nodes.len()];
            for (root, row) in roots.iter().flat_map(|root| background.iter().map(move |row| (root, row))) {
                forest::descend(forest.nodes, *root, row, |at, left| counts[at as usize][usize::from(left)] += 1.0);
            }
            let x = row(rng);
            let mixed = |set: usize, b: &[f32]| -> Vec<f32> {
                (0..FEATURES).map(|i| if set >> i & 1 == 1 { x[i] } else { b[i] }).collect()
            };
            let mean = |set| background.iter().map(|b| forest.value(&mixed(set, b))).sum::<f64>() / 7.0;
            let way = |set| roots.iter().map(|root| expected(&forest, &counts, *root, &x, set)).sum::<f64>();
            let found = Interventional::new(&trees, &background).explain(&forest, &x);
            let paths = PathDependent::new(&trees, &background).explain(&forest, &x);
            for (found, expected) in [(found, shapley(&mean)), (paths, shapley(&way))] {
                let apart = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-12, "{seed}: {found:?} for {expected:?}");
                let sum = forest.value(&x) - background.iter().map(|b| forest.value(b)).sum::<f64>() / 7.0;
                assert!((found.iter().sum::<f64>() - sum).abs() < 1e-12, "{seed}");
            }
        }
        assert!(shared > 0);
    }

    /// A chain of nodes that ask for one of `features` after the other; its last leaf, to the right of all, counts 1.
    fn chain(levels: u32, features: u32) -> std::result::Result<Trees, String> {
        let node = |own: u32, feature, left, right| {
            assert!(own <= left && own <= right);
            Node { threshold: 0.0, feature, left, right, equal: false, nan_left: false }
        };
        let inner = |i| node(i, i % features, levels, if i + 1 == levels { levels + 1 } else { i + 1 });
        let leaves = [levels, levels + 1].map(|own| node(own, 0, own, own));
        let values: Vec<f64> = (0..levels + 2).map(|i| f64::from(u8::from(i == levels + 1))).collect();
        Trees::grown((0..levels).map(inner).chain(leaves).collect(), &[0], &values, features as usize)
    }

    #[test]
    fn ways_as_wide_and_as_deep_as_are_taken_are_exact() {
        for (levels, features) in [(64, 64), (1024, 16)] {
            let trees = chain(levels, features).unwrap();
            let forest = Forest::of(&trees, 0);
            let (x, background) = (vec![1.0; features as usize], [vec![-1.0; features as usize]]);
            let against = Interventional::new(&trees, &background).explain(&forest, &x);
            assert!(against.iter().all(|share| (share - 1.0 / f64::from(features)).abs() < 1e-12), "{against:?}");
            let paths = PathDependent::new(&trees, &background).explain(&forest, &x);
            assert!((paths.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{paths:?}");
            // No reference row comes to the second node, where both ways are as good: what is asked once counts less there.
            assert_eq!(paths[0] > paths[1] + 1e-6, levels == features, "{paths:?}");
        }
        assert!(chain(65, 65).unwrap_err().contains("more than 64 features"));
    }
}
