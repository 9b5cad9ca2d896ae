//! Counterfactuals and anchors: rows that have another answer, and rules under which it stays.

use std::collections::BTreeMap;
use std::path::Path;

use assay::data::{Case, Expected, Value};
use assay::engine::Model;
use assay::suite::{Check, Chunk, Evidence, Subject, run};
use assay::tensor::{Tensor, Tensors, argmax};
use ndarray::{Array2, ArrayD};

use super::models::array;
use super::zoo::zoo;

type Rows = Vec<Vec<f32>>;

/// A model of rows with its cases and its background.
struct Table {
    model: Model,
    cases: Rows,
    background: Rows,
}

fn tensor(rows: &[Vec<f32>]) -> ArrayD<f32> {
    let width = rows[0].len();
    Array2::from_shape_vec((rows.len(), width), rows.concat()).unwrap().into_dyn()
}

impl Table {
    /// A model of the zoo, of four features of flowers.
    fn zoo(name: &str) -> Self {
        let specimen = zoo().into_iter().find(|specimen| specimen.name == name).unwrap();
        let rows = rows(specimen.inputs.values().next().unwrap());
        Self { model: Model::load(&specimen.onnx, "").unwrap(), cases: rows.clone(), background: rows }
    }

    /// A model of the corpus on its test rows, with rows that it was trained on.
    fn corpus(corpus: &Path, model: &str, data: &str, cases: usize) -> Self {
        let file = corpus.join(format!("data/{data}.npz"));
        let read = |name: &str, most: usize| rows(&array(&file, name).unwrap()).into_iter().take(most).collect();
        let model = Model::load(&std::fs::read(corpus.join(format!("models/{model}.onnx"))).unwrap(), "").unwrap();
        Self { model, cases: read("x_test", cases), background: read("x_train", 200) }
    }

    fn explain(&self, cases: &[Vec<f32>], spec: &str) -> Evidence {
        let case = |(i, row): (usize, &Vec<f32>)| Case {
            id: format!("{i}{}", row[0]),
            inputs: BTreeMap::from([(
                "x".to_owned(),
                Value::Tensor(Tensor::F32(ArrayD::from_shape_vec(vec![row.len()], row.clone()).unwrap())),
            )]),
            expected: Expected::Nothing,
            tags: BTreeMap::new(),
        };
        let cases: Vec<Case> = cases.iter().enumerate().map(case).collect();
        let subject = Subject { background: &self.background, ..Subject::new(&self.model) };
        let chunk = Chunk::new(&self.model, &cases, 0).unwrap();
        run(&subject, &chunk, &Check::parse(spec).unwrap(), 0, 0, true).unwrap()
    }

    fn scores(&self, rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let name = self.model.signature().probed().name.clone();
        let input = Tensor::F32(tensor(rows));
        let wanted = self.model.signature().probed().dtype;
        let input = if wanted == input.dtype() { input } else { Tensor::F64(tensor(rows).mapv(f64::from)) };
        let scores = self.model.scores(&Tensors::from([(name, input)])).unwrap();
        scores.rows().into_iter().map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect()
    }

    fn answers(&self, rows: &[Vec<f32>]) -> Vec<usize> {
        self.scores(rows).iter().map(argmax).collect()
    }

    /// The rows that the attributions lead to, with what is measured of each.
    fn moved(&self, spec: &str) -> (Rows, Vec<BTreeMap<String, f64>>) {
        let evidence = self.explain(&self.cases, spec);
        let changes = rows(&evidence.arrays["attribution"]);
        let moved = |(x, change): (&Vec<f32>, &Vec<f32>)| x.iter().zip(change).map(|(x, c)| x + c).collect();
        let measures = evidence.verdicts.iter().map(|verdict| verdict.measures.clone()).collect();
        (self.cases.iter().zip(&changes).map(moved).collect(), measures)
    }

    fn ends(&self, feature: usize) -> [f32; 2] {
        let column = self.background.iter().map(|row| row[feature]);
        [column.clone().fold(f32::MAX, f32::min), column.fold(f32::MIN, f32::max)]
    }
}

fn rows(tensor: &Tensor) -> Rows {
    let width = tensor.shape()[1];
    tensor.to_f32().chunks(width).map(<[f32]>::to_vec).collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

#[test]
fn the_answer_changes_within_the_bounds() {
    for name in ["sk_forest", "sk_boosting", "sk_svc", "sk_logistic", "sk_tree"] {
        let table = Table::zoo(name);
        let (moved, measures) = table.moved("counterfactual:immutable=2");
        let (before, after) = (table.answers(&table.cases), table.answers(&moved));
        for (i, (own, row)) in table.cases.iter().zip(&moved).enumerate() {
            let found = measures[i]["found"] > 0.5;
            assert_eq!(found, before[i] != after[i], "{name} {i}");
            assert_eq!(found, measures[i].contains_key("changed"), "{name} {i}");
            assert_eq!(found, measures[i]["residual"] == 0.0, "{name} {i}");
            assert_eq!(own[2], row[2], "{name} {i}: an immutable feature has changed");
            for feature in (0..4).filter(|feature| own[*feature] != row[*feature]) {
                let [low, high] = table.ends(feature);
                assert!(row[feature] >= low && row[feature] <= high, "{name} {i}: {row:?}");
            }
            assert!(measures[i]["explanation_queries"] <= 2000.0, "{name} {i}");
        }
        let found = mean(measures.iter().map(|m| m["found"]));
        assert!(found > 0.7, "{name}: {found}");
        let (to, measures) = table.moved("counterfactual:to=2");
        let there = table.answers(&to).iter().filter(|class| **class == 2).count();
        assert!(there * 10 >= table.cases.len() * 9, "{name}: {there} of {}", table.cases.len());
        let already = measures.iter().filter(|m| !m.contains_key("found")).count();
        assert_eq!(already, before.iter().filter(|class| **class == 2).count(), "{name}");
    }
}

#[test]
fn values_are_brought_where_they_are_wanted() {
    for name in ["sk_ridge", "sk_forest_regressor"] {
        let table = Table::zoo(name);
        let first = |rows: &[Vec<f32>]| table.scores(rows).iter().map(|scores| scores[0]).collect::<Vec<f64>>();
        let before = first(&table.cases);
        let (low, high) = (mean(before.iter().copied()), mean(before.iter().copied()) + 0.7);
        let (moved, measures) = table.moved(&format!("counterfactual:above={low},below={high}"));
        for ((before, after), measures) in before.iter().zip(first(&moved)).zip(&measures) {
            assert!(after >= low && after <= high, "{name}: {before} -> {after}");
            assert_eq!(measures.contains_key("found"), *before < low || *before > high, "{name}: {before}");
        }
    }
}

#[test]
fn a_logistic_model_is_crossed_by_the_shortest_way() {
    let table = Table::zoo("sk_two_logistic");
    let logit = |row: &[f32]| {
        let scores = &table.scores(&[row.to_vec()])[0];
        (scores[1] / scores[0]).ln()
    };
    let scale = |feature: usize| {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
        };
        let column: Vec<f64> = table.background.iter().map(|row| f64::from(row[feature])).collect();
        let centre = median(column.clone());
        median(column.iter().map(|v| (v - centre).abs()).collect())
    };
    let middle: Vec<f32> = (0..4).map(|i| mean(table.cases.iter().map(|row| f64::from(row[i]))) as f32).collect();
    let weights: Vec<f64> = (0..4)
        .map(|i| {
            let mut row = middle.clone();
            row[i] += 0.5;
            (logit(&row) - logit(&middle)) / 0.5
        })
        .collect();
    let (_, measures) = table.moved("counterfactual");
    let mut one = 0;
    for (own, measures) in table.cases.iter().zip(&measures) {
        // The shortest way fills the features that move the logit most for their way, one after the other.
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by(|a, b| (weights[*b].abs() * scale(*b)).total_cmp(&(weights[*a].abs() * scale(*a))));
        let margin = logit(own);
        let (mut missing, mut way) = (margin.abs(), 0.0);
        for i in order {
            let [low, high] = table.ends(i);
            let end = if (weights[i] > 0.0) == (margin > 0.0) { low } else { high };
            let step = missing.min(f64::from((end - own[i]).abs()) * weights[i].abs());
            way += step / weights[i].abs() / scale(i);
            missing -= step;
        }
        let found = measures["counterfactual_distance"];
        assert!(found > way * 0.98 && found < way * 1.03 + 0.01, "{found} for {way}");
        one += usize::from(measures["changed"] == 1.0);
    }
    println!("{one} of {} changed one feature", measures.len());
    assert!(one * 2 > measures.len(), "{one}");
}

#[test]
fn rules_keep_the_answer_and_are_told_in_words() {
    for name in ["sk_forest", "sk_logistic"] {
        let table = Table::zoo(name);
        let evidence = table.explain(&table.cases[..12], "anchors");
        let changes = rows(&evidence.arrays["attribution"]);
        for (verdict, attribution) in evidence.verdicts.iter().zip(changes) {
            let m = &verdict.measures;
            assert!(verdict.reason.contains("the answer stays") && verdict.reason.contains("coverage"), "{verdict:?}");
            assert!((m["anchor_precision"] + m["residual"] - 1.0).abs() < 1e-12);
            assert!(attribution.iter().filter(|a| **a != 0.0).count() as f64 <= m["anchor_size"]);
            assert!(m["explanation_queries"] <= 20_001.0);
        }
        let of = |name: &'static str| mean(evidence.verdicts.iter().map(move |v| v.measures[name]));
        println!("{name}: {:.3} {:.2} {:.1}", of("anchor_precision"), of("anchor_coverage"), of("anchor_size"));
        println!("{}", evidence.verdicts[0].reason);
        // Where two classes meet within a quarter of the background, no rule of quarters keeps them apart.
        assert!(of("anchor_precision") > 0.8 && of("anchor_coverage") > 0.05 && of("anchor_size") < 4.0, "{name}");
    }
    // Of values the same answer is one that is near: where all are, no rule is needed, and where few are, many features.
    let table = Table::zoo("sk_ridge");
    let sizes = ["100", "1", "0.3"].map(|tolerance| {
        let evidence = table.explain(&table.cases[..6], &format!("anchors:tolerance={tolerance}"));
        mean(evidence.verdicts.iter().map(|verdict| verdict.measures["anchor_size"]))
    });
    println!("features of rules as the tolerance shrinks: {sizes:?}");
    assert!(sizes[0] == 0.0 && sizes[1] > 1.0 && sizes[2] >= sizes[1], "{sizes:?}");
}

#[test]
fn a_case_is_explained_the_same_in_any_company() {
    let table = Table::zoo("sk_forest");
    for spec in ["counterfactual", "anchors"] {
        let whole = table.explain(&table.cases[..4], spec);
        let alone = table.explain(&table.cases[..1], spec);
        assert_eq!((&alone.verdicts[0], alone.verdicts.len()), (&whole.verdicts[0], 1), "{spec}");
        assert_eq!(rows(&alone.arrays["attribution"])[0], rows(&whole.arrays["attribution"])[0], "{spec}");
    }
}

#[test]
fn few_changes_are_enough_for_the_models_of_the_corpus() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | check | found | changed | distance | queries | ms a case |\n|---|---|---|---|---|---|---|");
    let models = ["bc_logreg", "bc_gb", "bc_rf", "bc_svm"].map(|name| (name, "breast_cancer", ""));
    let values = ["diabetes_ridge", "diabetes_gbr"].map(|name| (name, "diabetes", ":above=200"));
    for (name, data, wanted) in models.into_iter().chain(values) {
        let table = Table::corpus(&corpus, name, data, 25);
        for sparse in ["", "sparse=true"] {
            let separator = if wanted.is_empty() { ":" } else { "," };
            let spec = format!(
                "counterfactual{wanted}{}",
                if sparse.is_empty() { String::new() } else { format!("{separator}{sparse}") }
            );
            let start = std::time::Instant::now();
            let (moved, measures) = table.moved(&spec);
            let time = start.elapsed().as_millis() / measures.len() as u128;
            let of = |name: &'static str| mean(measures.iter().filter_map(move |m| m.get(name).copied()));
            let (found, changed) = (of("found"), of("changed"));
            println!(
                "| {name} | {spec} | {found:.2} | {changed:.2} | {:.2} | {:.0} | {time} |",
                of("counterfactual_distance"),
                of("explanation_queries")
            );
            if data == "breast_cancer" {
                let (before, after) = (table.answers(&table.cases), table.answers(&moved));
                let other = before.iter().zip(&after).filter(|(a, b)| a != b).count() as f64;
                assert_eq!(other / before.len() as f64, found, "{name}");
            }
            assert!(found > 0.9 && changed < 8.0, "{name}");
        }
    }
}

#[test]
fn rules_hold_for_the_models_of_the_corpus() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | precision | coverage | size | queries | ms a case |\n|---|---|---|---|---|---|");
    for name in ["bc_logreg", "bc_gb", "bc_svm"] {
        let table = Table::corpus(&corpus, name, "breast_cancer", 10);
        let start = std::time::Instant::now();
        let evidence = table.explain(&table.cases, "anchors");
        let time = start.elapsed().as_millis() / table.cases.len() as u128;
        let of = |name: &'static str| mean(evidence.verdicts.iter().map(move |v| v.measures[name]));
        let [precision, coverage, size] = ["anchor_precision", "anchor_coverage", "anchor_size"].map(of);
        println!("| {name} | {precision:.3} | {coverage:.3} | {size:.1} | {:.0} | {time} |", of("explanation_queries"));
        println!("{}", evidence.verdicts[0].reason);
        assert!(precision > 0.75, "{name}: {precision}");
    }
}
