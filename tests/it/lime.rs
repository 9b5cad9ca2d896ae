//! Local surrogates and random masks: against lime, on words, and on a model whose weights are known.

use std::collections::BTreeMap;

use assay::data::{Case, Expected, Value};
use assay::engine::Model;
use assay::tensor::Tensor;
use ndarray::ArrayD;

use super::explainers::{Pair, digits, rank, tensors};
use super::models::array;
use super::tables::{Tabular, explained, onnx, table, train};

const MNIST: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

/// Pearson's correlation.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
    product(&|a, b| a * b) / (product(&|a, _| a * a) * product(&|_, b| b * b)).sqrt()
}

/// Spearman's: that of the ranks.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |v: &[f64]| {
        let mut order: Vec<usize> = (0..v.len()).collect();
        order.sort_by(|i, j| v[*i].total_cmp(&v[*j]));
        let mut ranks = vec![0.0; v.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank as f64);
        ranks
    };
    correlation(&ranks(a), &ranks(b))
}

#[test]
fn weights_of_rows_are_those_of_lime() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!(
        "| model | top five in common | Spearman | largest difference | relative residual |\n|---|---|---|---|---|"
    );
    for name in ["bc_gb", "bc_logreg", "bc_rf", "bc_skmlp", "bc_svm"] {
        let subject = Tabular::new(&onnx(&corpus, name), &train(&corpus, "breast_cancer"));
        let cases = table(&explained(&corpus, name, "x"));
        let spec = "lime:target=1,output=probability,discretize=false";
        let evidence = subject.explain(&cases, spec);
        let (own, golden) = (evidence.arrays["attribution"].to_f64(), explained(&corpus, name, "lime_label1").to_f64());
        assert_eq!(own.len(), golden.len());
        let rows = || own.chunks(30).zip(golden.chunks(30));
        let n = cases.len() as f64;
        let common = |(a, b): (&[f64], &[f64])| rank(a)[..5].iter().filter(|i| rank(b)[..5].contains(i)).count();
        let top = rows().map(common).sum::<usize>() as f64 / 5.0 / n;
        let spearman = rows().map(|(a, b)| rank_correlation(a, b)).sum::<f64>() / n;
        let most = golden.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let apart = own.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / most;
        let residual = evidence.verdicts.iter().map(|v| v.measures["residual_relative"]).sum::<f64>() / n;
        println!("| {name} | {top:.2} | {spearman:.2} | {apart:.3} | {residual:.2} |");
        // Both draw 5000 samples of their own.
        assert!(top >= 0.8 && spearman > 0.7 && apart < 0.15, "{name}: {top}, {spearman}, {apart}");
        // The same bits alone.
        let alone = subject.explain(&cases[2..3], spec);
        assert_eq!(alone.arrays["attribution"].to_f64(), own[60..90], "{name}");
        assert_eq!(alone.verdicts[0].measures, evidence.verdicts[2].measures, "{name}");
        let binned = subject.explain(&cases, "lime:target=1,output=probability");
        assert!(binned.verdicts.iter().all(|v| (0.0..1.0).contains(&v.measures["residual_relative"])), "{name}");
    }
}

#[test]
fn weights_of_a_linear_model_are_its_own() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let subject = Tabular::new(&onnx(&corpus, "diabetes_ridge"), &train(&corpus, "diabetes"));
    let cases = table(&explained(&corpus, "diabetes_ridge", "x"));
    let evidence = subject.explain(&cases, "lime:discretize=false");
    let n = subject.background.len() as f64;
    // The model's weight of a feature is what its score rises from one row to another, over the way between them.
    let row = |change: usize, by: f32| {
        let mut row = subject.background[0].clone();
        row[change] += by;
        row
    };
    let deviations: Vec<f64> = (0..10)
        .map(|i| {
            let values: Vec<f64> = subject.background.iter().map(|row| f64::from(row[i])).collect();
            let mean = values.iter().sum::<f64>() / n;
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
        })
        .collect();
    let rows: Vec<Vec<f32>> =
        std::iter::once(row(0, 0.0)).chain((0..10).map(|i| row(i, deviations[i] as f32))).collect();
    let rows = ArrayD::from_shape_vec(vec![11, 10], rows.concat()).unwrap();
    let scores = subject.model.scores(&tensors(&table(&Tensor::F32(rows)))).unwrap();
    let expected: Vec<f64> = (0..10).map(|i| f64::from(scores[[i + 1, 0]] - scores[[0, 0]])).collect();
    let most = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    for (case, own) in evidence.arrays["attribution"].to_f64().chunks(10).enumerate() {
        // The ridge makes them a little smaller.
        let apart = own.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / most;
        let residual = evidence.verdicts[case].measures["residual_relative"];
        println!("case {case}: {apart:.1e} apart, residual {residual:.1e}");
        assert!(apart < 0.02 && residual < 0.02, "{own:?} for {expected:?}");
    }
}

/// Sentences as the model of sentiments reads them.
struct Words(Vec<String>);

impl Words {
    fn case(&self, text: &str) -> Case {
        let place = |word: &str| self.0.iter().position(|known| known == word).unwrap() as i64;
        let mut ids: Vec<i64> = text.split(' ').map(place).collect();
        ids.resize(48, 0);
        let tensor = Tensor::I64(ArrayD::from_shape_vec(vec![48], ids).unwrap());
        let inputs = BTreeMap::from([("ids".to_owned(), Value::Tensor(tensor))]);
        Case { id: text.to_owned(), inputs, expected: Expected::Nothing, tags: BTreeMap::new() }
    }
}

#[test]
fn the_words_that_tell_are_found() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let words = std::fs::read_to_string(corpus.join("models/sentiment_vocab.txt")).unwrap();
    let words = Words(words.lines().map(str::to_owned).collect());
    let model = Model::load(&std::fs::read(corpus.join("models/sentiment_meanemb.onnx")).unwrap(), "").unwrap();
    let subject = Tabular { model, background: Vec::new() };
    for (class, text, telling) in [
        (1, "a wonderful and funny film that i love", ["wonderful", "funny", "love"]),
        (0, "this is a boring and awful film the worst", ["boring", "awful", "worst"]),
        (0, "a dull film with terrible and bad", ["dull", "terrible", "bad"]),
    ] {
        let cases = [words.case(text)];
        for name in ["lime:n_samples=5000", "rise:n_samples=2000"] {
            let evidence = subject.explain(&cases, &format!("{name},target={class}"));
            let weights = evidence.arrays["attribution"].to_f64();
            let spoken: Vec<&str> = text.split(' ').collect();
            let mut order: Vec<usize> = (0..spoken.len()).collect();
            order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
            let top: Vec<String> = order.iter().map(|i| format!("{} {:.2}", spoken[*i], weights[*i])).collect();
            println!("{name}, class {class}: {} (residual {:?})", top.join(", "), evidence.verdicts[0].measures);
            let found = order[..3].iter().filter(|i| telling.contains(&spoken[**i])).count();
            assert!(found >= 2 && telling.contains(&spoken[order[0]]), "{name}: {top:?}");
            if name.starts_with("lime") {
                assert!(weights[spoken.len()..].iter().all(|weight| *weight == 0.0), "what pads weighs nothing");
            }
        }
    }
}

/// A digit as it is, and with the pixels blank that `blank` names.
fn without(case: &Case, blank: impl Fn(usize) -> bool) -> Case {
    let mut case = case.clone();
    for input in case.inputs.values_mut() {
        let Value::Tensor(Tensor::U8(digit)) = input else { panic!("no digit") };
        digit.iter_mut().enumerate().filter(|(at, _)| blank(*at)).for_each(|(_, value)| *value = 0);
    }
    case
}

#[test]
fn pixels_that_count_cost_more_than_those_that_do_not() {
    let (pair, cases) = (Pair::load(MNIST), digits(12));
    let clean = pair.model.scores(&tensors(&cases)).unwrap();
    for spec in ["lime:baseline=0", "lime:groups=patches,segments=49,baseline=0", "rise"] {
        let evidence = pair.explain(&cases, spec);
        let attributions = evidence.arrays["attribution"].to_f64();
        // A third of the bright pixels is blanked: those that count most, or those that count least.
        let blanked = |most: bool| -> Vec<f64> {
            let changed: Vec<Case> = cases
                .iter()
                .zip(attributions.chunks(784))
                .map(|(case, weights)| {
                    let Some(Value::Tensor(digit)) = case.inputs.values().next() else { panic!("no digit") };
                    let digit = digit.to_f64();
                    let mut bright: Vec<usize> = (0..784).filter(|i| digit[*i] > 0.0).collect();
                    bright.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
                    if !most {
                        bright.reverse();
                    }
                    bright.truncate(bright.len() / 3);
                    without(case, |at| bright.contains(&at))
                })
                .collect();
            let scores = pair.model.scores(&tensors(&changed)).unwrap();
            (0..cases.len())
                .map(|i| {
                    let best = assay::tensor::argmax(&clean.row(i).to_vec());
                    f64::from(clean[[i, best]] - scores[[i, best]])
                })
                .collect()
        };
        let (high, low) = (blanked(true), blanked(false));
        let right = high.iter().zip(&low).filter(|(high, low)| high > low).count();
        let mean = |falls: &[f64]| falls.iter().sum::<f64>() / falls.len() as f64;
        let residual = evidence.verdicts.iter().map(|v| v.measures["residual_relative"]).sum::<f64>() / 12.0;
        println!("{spec}: {right} of 12; {:.1} against {:.1}; residual {residual:.2}", mean(&high), mean(&low));
        assert!(right >= 10 && mean(&high) > 1.5 * mean(&low), "{spec}: {high:?} {low:?}");
    }
}

#[test]
fn a_photograph_is_explained_as_by_lime() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let file = corpus.join("golden/explain_lime_image_efficientnet_lite0.npz");
    let (image, segments) = (array(&file, "image").unwrap().to_f64(), array(&file, "segments").unwrap().to_f64());
    let weights = array(&file, "weights").unwrap().to_f64();
    // As the model takes it: planes, normalised.
    let scaled = |v: f64| ((v / 255.0 - 0.498_039_215_686) / 0.501_960_784_314) as f32;
    let x = (0..3 * 224 * 224).map(|i| scaled(image[i % (224 * 224) * 3 + i / (224 * 224)])).collect();
    let x = Tensor::F32(ArrayD::from_shape_vec(vec![3, 224, 224], x).unwrap());
    let inputs = BTreeMap::from([("input".to_owned(), Value::Tensor(x))]);
    let case = Case { id: "0".to_owned(), inputs, expected: Expected::Nothing, tags: BTreeMap::new() };
    let model = Model::load(&std::fs::read(corpus.join("models/efficientnet_lite0.onnx")).unwrap(), "").unwrap();
    let subject = Tabular { model, background: Vec::new() };
    // The file's class, and black.
    let spec = "lime:target=131,output=probability,n_samples=300,baseline=-0.9921875";
    let evidence = subject.explain(&[case], spec);
    let own = evidence.arrays["attribution"].to_f64();
    // Parts differ: blocks of 16 pixels are compared.
    let blocks = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; 196];
        (0..224 * 224).for_each(|p| sums[p / 224 / 16 * 14 + p % 224 / 16] += value(p));
        sums
    };
    let near = correlation(&blocks(&|p| own[p]), &blocks(&|p| weights[segments[p] as usize]));
    let measures = &evidence.verdicts[0].measures;
    println!("correlation of blocks with lime's {near:.2}, {measures:?}");
    assert!(near > 0.3, "{near}");
}
