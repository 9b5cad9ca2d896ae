//! The nearest row with another answer.

mod polish;
mod search;
mod space;
mod wish;

use ndarray::ArrayView1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::search::Search;
use self::space::Space;
use self::wish::{Reply, Wish};
use super::Explainer;
use super::partition::{Names, feature};
use super::study::{Case, Explanation, Study};
use super::view::Output::Logit;
use super::view::View;
use super::words::{answer, number};
use crate::engine::{Input, Output, OutputKind, Spent};
use crate::error::{Error, Result};
use crate::probe::{Access, Kind, Probe};

/// The nearest row of features to which the model gives another answer: what would have to change.
///
/// The attributions are the changes: added to the case they give the row that was found. A way is long as the sum of its
/// changes, each in units of the feature's median absolute deviation in the background. Features stay within what the
/// background has of them and within the signature's range, and whole numbers stay whole. The search pushes single
/// features to the ends of their ranges, starts from the nearest background rows with the wanted answer, and where there
/// is none draws rows in growing spheres (Laugel and others 2017, arXiv:1712.08443); then it gives features their own
/// values back and halves what is left of the way while the answer stays. It needs scores alone, so that forests are no
/// harder than networks; a nearer row that it has missed may exist. Measures: `found` (0 or 1), and of a found row
/// `changed` (features) and `counterfactual_distance`; none where the case has the wanted answer already. The residual is
/// what is missing of the wanted answer, in units of the score.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Counterfactual {
    #[serde(flatten)]
    view: View,
    /// The index of the class that is wanted. If left out, any but the one that is explained.
    to: Option<usize>,
    /// The least value that is wanted of a model that gives a value.
    above: Option<f64>,
    /// The largest value that is wanted of a model that gives a value.
    below: Option<f64>,
    /// Features that must not change: names or numbers with blanks between them.
    immutable: Option<Names>,
    /// Whether a row with fewer changes is better than a nearer one.
    sparse: bool,
    /// Rows that are asked about a case, at most.
    #[schemars(range(min = 10, max = 1_000_000))]
    query_budget: usize,
}

impl Default for Counterfactual {
    fn default() -> Self {
        let view = View::default();
        Self { view, to: None, above: None, below: None, immutable: None, sparse: false, query_budget: 2000 }
    }
}

impl Counterfactual {
    fn immutable(&self, input: &Input) -> Result<Vec<usize>> {
        let names = self.immutable.as_ref().map(Names::text).unwrap_or_default();
        names.split_whitespace().map(|name| feature(name, input).map_err(|e| e.under("params.immutable"))).collect()
    }

    fn wish(&self, class: usize, kind: OutputKind) -> Wish {
        match (kind, self.to) {
            (OutputKind::Value, _) => {
                Wish::Within([self.above.unwrap_or(f64::NEG_INFINITY), self.below.unwrap_or(f64::INFINITY)])
            }
            (_, Some(class)) => Wish::Class(class),
            (_, None) => Wish::Other(class),
        }
    }

    fn case(&self, study: &Study<'_>, case: usize, space: &Space) -> Result<Explanation> {
        let own = &study.cases[case];
        let wish = self.wish(own.class, study.target.kind());
        let kind = study.target.kind();
        // Logits lead the way where probabilities are all but 0 and 1; their order is the same.
        let guide = View { output: Some(Logit), ..study.view };
        let ask = |rows: Vec<Vec<f32>>| {
            let judge = |scores: ArrayView1<'_, f64>| (wish.judge(&scores.to_vec(), guide, kind), scores.to_vec());
            study.scores_at(case, rows.len(), |i, all| all.extend(&rows[i]), judge)
        };
        let says = |scores: &[f64]| answer(scores, study.target.output());
        let first = ask(vec![own.x.clone()])?;
        let Some((start, before)) = first.into_iter().next() else { return Ok(unchanged(own, 0.0)) };
        if start.reached {
            return Ok(unchanged(own, 0.0).saying("the answer is a wanted one already".to_owned(), []));
        }
        let missing = wish.judge(&before, study.view, kind).margin;
        let mut replies = |rows| Ok(ask(rows)?.into_iter().map(|(reply, _)| reply).collect::<Vec<Reply>>());
        // One row was asked, and one is asked at the end.
        let left = self.query_budget.saturating_sub(2);
        let mut search = Search { space, own: &own.x, ask: &mut replies, left, sparse: self.sparse, best: None };
        search.run(start.margin, study.background, &mut study.rng(case))?;
        let best = search.best.take().unwrap_or_else(|| own.x.clone());
        let attribution: Vec<f32> = best.iter().zip(&own.x).map(|(best, own)| best - own).collect();
        // What is said is of the row that the attributions lead to.
        let row: Vec<f32> = own.x.iter().zip(&attribution).map(|(own, change)| own + change).collect();
        let changed = search.changed(&row);
        let last = ask(vec![row.clone()])?;
        match last.into_iter().next() {
            Some((reply, after)) if reply.reached => {
                let (was, is) = (says(&before), says(&after));
                let words = format!("{}: answer {was} -> {is}", changes(&own.x, &row, study.input()));
                #[allow(clippy::cast_precision_loss)]
                let changed = ("changed", changed as f64);
                let distance = ("counterfactual_distance", space.distance(&own.x, &row));
                Ok(Explanation::new(attribution, 0.0, missing).saying(words, [("found", 1.0), changed, distance]))
            }
            _ => {
                let words = format!("answer {}: no row was found that has a wanted one", says(&before));
                Ok(unchanged(own, missing).saying(words, [("found", 0.0)]))
            }
        }
    }
}

/// No change; `missing` is the margin that lacks.
fn unchanged(own: &Case, missing: f64) -> Explanation {
    Explanation::new(vec![0.0; own.x.len()], missing, missing)
}

/// Features of a row, at most: each is tried in turn.
const MOST: usize = 512;

/// Changes that are written out.
const SAID: usize = 6;

/// Such as `age 50 -> 41, bmi 0.06 -> 0.03`.
fn changes(own: &[f32], row: &[f32], input: &Input) -> String {
    let changed: Vec<usize> = (0..own.len()).filter(|feature| own[*feature] != row[*feature]).collect();
    let value = |x: f32| number(f64::from(x));
    let said =
        changed.iter().take(SAID).map(|i| format!("{} {} -> {}", input.feature(*i), value(own[*i]), value(row[*i])));
    let said = said.collect::<Vec<_>>().join(", ");
    if changed.len() > SAID { format!("{said} and {} more", changed.len() - SAID) } else { said }
}

impl Probe for Counterfactual {
    const NAME: &'static str = "counterfactual";
    const PAPER: &'static str = "Wachter, Mittelstadt and Russell, Counterfactual Explanations without Opening the Black Box, 2017 (arXiv:1711.00399)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "query_budget";
    const KINDS: &'static [Kind] = &[Kind::Row];
}

impl Explainer for Counterfactual {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn fits(&self, input: &Input) -> Result<()> {
        if self.above.zip(self.below).is_some_and(|(above, below)| above > below) {
            return Err(Error::invalid("params.below", "it is less than `above`, so that no value is between them"));
        }
        if input.len() > MOST {
            let message = format!("{} features were found, at most {MOST} are looked at", input.len());
            return Err(Error::invalid("name", message));
        }
        self.immutable(input).map(|_| ())
    }

    fn answers(&self, output: &Output) -> Result<()> {
        let bounded = self.above.or(self.below).is_some();
        match (output.kind, self.to) {
            (OutputKind::Value, Some(_)) => {
                Err(Error::invalid("params.to", "the model gives a value, it has no classes"))
            }
            (OutputKind::Value, None) if !bounded => Err(Error::invalid(
                "params.above",
                "of a model that gives a value `above` or `below` says what is wanted",
            )),
            (OutputKind::Value, None) => Ok(()),
            _ if bounded => Err(Error::invalid("params.above", "the model has classes; `to` says which is wanted")),
            (_, Some(class)) if class >= output.size => {
                let message = format!("class {class} was found, the model has classes 0 to {}", output.size.max(1) - 1);
                Err(Error::invalid("params.to", message))
            }
            _ => Ok(()),
        }
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: self.query_budget as u64, gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let input = study.input();
        let space = Space::new(study.background, input.range, input.len(), &self.immutable(input)?);
        (0..study.cases.len()).map(|case| self.case(study, case, &space)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Rng;

    /// Rows of five features between -3 and 3, of which the fourth is a whole number.
    fn rows(n: usize) -> Vec<Vec<f32>> {
        let mut rng = Rng::new(1, "counterfactual", "rows", 0);
        let row = |_| (0..5).map(|_| rng.range(-3.0, 3.0) as f32).collect::<Vec<f32>>();
        let mut rows: Vec<Vec<f32>> = (0..n).map(row).collect();
        rows.iter_mut().for_each(|row| row[3] = row[3].round());
        rows
    }

    const WEIGHTS: [f64; 5] = [1.0, -2.0, 0.5, 1.5, 0.1];

    fn linear(x: &[f32]) -> f64 {
        x.iter().zip(WEIGHTS).map(|(x, w)| f64::from(*x) * w).sum::<f64>() - 3.0
    }

    /// The row that is found, and how many were asked.
    fn search(
        space: &Space,
        own: &[f32],
        background: &[Vec<f32>],
        sparse: bool,
        margin: &dyn Fn(&[f32]) -> f64,
    ) -> (Option<Vec<f32>>, usize) {
        let mut asked = 0;
        let mut ask = |rows: Vec<Vec<f32>>| {
            asked += rows.len();
            Ok(rows.iter().map(|x| Reply { margin: margin(x), reached: margin(x) > 0.0 }).collect())
        };
        let mut search = Search { space, own, ask: &mut ask, left: 2000, sparse, best: None };
        search.run(margin(own), background, &mut Rng::new(0, "counterfactual", "0", 0)).unwrap();
        (search.best.take(), asked)
    }

    /// The shortest way for a linear model fills the features that raise it most for their way, one after the other.
    fn shortest(space: &Space, own: &[f32]) -> f64 {
        let mut order: Vec<usize> = space.free().collect();
        let gain = |i: &usize| WEIGHTS[*i].abs() * space.scale(*i);
        order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
        let (mut missing, mut way) = (-linear(own), 0.0);
        for i in order {
            let end = f64::from(space.ends(i)[usize::from(WEIGHTS[i] > 0.0)]);
            let most = (end - f64::from(own[i])).abs() * WEIGHTS[i].abs();
            way += missing.min(most) / WEIGHTS[i].abs() / space.scale(i);
            missing -= missing.min(most);
        }
        way
    }

    #[test]
    fn a_linear_model_is_crossed_by_the_shortest_way() {
        let background = rows(200);
        let space = Space::new(&background, None, 5, &[3]);
        let mut several = 0;
        for own in rows(60).into_iter().filter(|x| linear(x) < 0.0) {
            let (found, asked) = search(&space, &own, &background, false, &linear);
            let found = found.unwrap();
            assert!(linear(&found) > 0.0 && asked <= 2000);
            let (way, best) = (space.distance(&own, &found), shortest(&space, &own));
            assert!(way >= best * 0.999 && way < best * 1.01 + 1e-3, "{way} for {best}");
            assert_eq!(found[3], own[3]);
            several += usize::from(own.iter().zip(&found).filter(|(a, b)| a != b).count() > 1);
        }
        assert!(several > 3, "{several} took more than one feature");
    }

    #[test]
    fn whole_numbers_stay_whole_and_steps_are_found() {
        let background = rows(200);
        let space = Space::new(&background, None, 5, &[0, 1]);
        // A tree: the fourth feature above 1, or the third and the fifth above 2 together.
        let tree = |x: &[f32]| if x[3] > 1.0 || (x[2] > 2.0 && x[4] > 2.0) { 1.0 } else { -1.0 };
        let own = [0.0, 0.0, 1.9, -2.0, 1.95];
        let (near, _) = search(&space, &own, &background, false, &tree);
        let near = near.unwrap();
        assert!(near[3] == -2.0 && near[2] > 2.0 && near[2] < 2.01 && near[4] > 2.0 && near[4] < 2.01, "{near:?}");
        let (few, _) = search(&space, &own, &background, true, &tree);
        assert_eq!(few.unwrap(), [0.0, 0.0, 1.9, 2.0, 1.95]);
    }

    #[test]
    fn spheres_find_what_no_row_has_and_what_nothing_has_is_not_found() {
        let background = rows(50);
        let space = Space::new(&background, None, 5, &[]);
        // A narrow shell of answers that pushing to the ends jumps over.
        let shell = |x: &[f32]| {
            let radius = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            if (0.8..1.6).contains(&radius) { 1.0 } else { -1.0 }
        };
        let far: Vec<Vec<f32>> = background.iter().filter(|row| shell(row) < 0.0).cloned().collect();
        let (found, _) = search(&space, &[0.0; 5], &far, false, &shell);
        assert!(shell(&found.unwrap()) > 0.0);
        let (nothing, asked) = search(&space, &[0.0; 5], &background, false, &|_| -1.0);
        assert!(nothing.is_none() && asked <= 2000);
    }

    #[test]
    fn what_is_wanted_is_of_the_models_kind() {
        let output = |kind, size| Output { name: "y".to_owned(), kind, size, classes: Vec::new(), labels: Vec::new() };
        let (classes, value) = (output(OutputKind::Probabilities, 3), output(OutputKind::Value, 1));
        let wanting = |to, above, below| Counterfactual { to, above, below, ..Counterfactual::default() };
        for (probe, output, said) in [
            (wanting(Some(3), None, None), &classes, "params.to: class 3 was found, the model has classes 0 to 2"),
            (wanting(None, Some(1.0), None), &classes, "`to` says which is wanted"),
            (wanting(Some(1), None, None), &value, "params.to: the model gives a value"),
            (wanting(None, None, None), &value, "`above` or `below` says what is wanted"),
        ] {
            let error = probe.answers(output).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(wanting(Some(2), None, None).answers(&classes).is_ok());
        assert!(wanting(None, None, Some(0.5)).answers(&value).is_ok());
    }
}
