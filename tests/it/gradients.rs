//! Gradients: of whole models against torch in float64, of each rule against finite differences.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use assay::engine::{Differentiability, Differentiated, Graph, Model, Wish};
use assay::tensor::{DType, Rng, Tensor, Tensors};
use ndarray::ArrayD;

use super::models::array;

/// Cross-entropy's gradient in the logits, in float64: from float32 probabilities it would be mostly rounding where a
/// model is sure.
fn cross_entropy(logits: &Tensor, labels: &[f64]) -> Tensor {
    let width = logits.shape()[1];
    let mut rows = Vec::new();
    for (row, &label) in logits.to_f64().chunks(width).zip(labels) {
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
        // p - 1 of the label is minus the sum of the others.
        let p: Vec<f64> = row.iter().map(|v| (v - top).exp() / sum).collect();
        let others = |label: usize| (0..width).filter(|i| *i != label).map(|i| p[i]).sum::<f64>();
        rows.extend((0..width).map(|i| if i as f64 == label { -others(i) } else { p[i] }));
    }
    Tensor::F64(ArrayD::from_shape_vec(logits.shape().to_vec(), rows).unwrap())
}

/// A model with its plain forward pass and its gradient.
struct Pair {
    plain: Model,
    differentiated: Differentiated,
}

impl Pair {
    fn load(onnx: &[u8], signature: &str, wish: &Wish) -> Self {
        let graph = Graph::read(onnx).unwrap();
        let plain = Model::of(&graph, signature).unwrap();
        let differentiated = Differentiated::of(&graph, plain.signature(), wish).unwrap();
        Self { plain, differentiated }
    }

    /// The gradient of cross-entropy in the first input; the forward outputs are those of the plain model.
    fn gradient(&self, x: &Tensor, labels: &[f64]) -> Tensor {
        let signature = self.plain.signature();
        let (input, output) = (&signature.inputs[0].name, &signature.output.name);
        let x = Tensors::from([(input.clone(), x.clone())]);
        let linearized = self.differentiated.linearize(&x).unwrap();
        let scores = self.plain.scores(&x).unwrap();
        let apart =
            apart(&linearized.outputs()[output].to_f64(), &scores.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        assert!(apart < 1e-5, "the outputs differ by {apart} of their norm");
        let seed = cross_entropy(&linearized.outputs()[output], labels);
        linearized.pull(&Tensors::from([(output.clone(), seed)])).unwrap().remove(input).unwrap()
    }
}

fn norm(a: &[f64]) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The norm of a - b over that of b.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b).max(f64::MIN_POSITIVE)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (norm(a) * norm(b)).max(f64::MIN_POSITIVE)
}

/// Largest relative error and smallest cosine over the rows.
fn worst(found: &Tensor, expected: &Tensor) -> (f64, f64) {
    let rows = found.shape()[0];
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.to_f64(), expected.to_f64());
    let width = found.len() / rows;
    let each = found.chunks(width).zip(expected.chunks(width)).map(|(f, e)| (apart(f, e), cosine(f, e)));
    each.fold((0.0, 1.0), |(error, cos), (e, c)| (f64::max(error, e), f64::min(cos, c)))
}

fn labels(file: &Path) -> Vec<f64> {
    array(file, "y").unwrap().to_f64()
}

/// The preprocessing of the photo model, and the figure that it divides by.
const PHOTOS: &str = "input: {preprocess: [{normalize: {mean: 0.4980392156862745, std: 0.5019607843137255}}]}";
const STD: f64 = 0.501_960_784_313_725_5;

#[test]
fn corpus_gradients_are_those_of_torch_in_float64() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let recorded = std::fs::read(corpus.join("golden/gradients.json")).unwrap();
    let recorded: serde_json::Value = serde_json::from_slice(&recorded).unwrap();
    println!("| model | relative error | cosine | torch's float32 |\n|---|---|---|---|");
    for name in [
        "bc_mlp",
        "digits_cnn",
        "mnist_cnn",
        "mnist_cnn_at",
        "mnist_mlp_fixed1",
        "mnist_mlp_leaky",
        "mnist_mlp_overfit",
        "efficientnet_lite0",
    ] {
        let photos = name == "efficientnet_lite0";
        let signature = if photos { PHOTOS } else { "" };
        let onnx = std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap();
        let pair = Pair::load(&onnx, signature, &Wish { batch: 4, ..Wish::default() });
        let file = corpus.join(format!("golden/gradients_{name}.npz"));
        let x = array(&file, if photos { "pixels" } else { "x" }).unwrap();
        let gradient = pair.gradient(&x, &labels(&file));
        let mut expected = array(&file, "grad64").unwrap();
        if let (true, Tensor::F32(a)) = (photos, &expected) {
            // Recorded with respect to what comes out of the preprocessing.
            expected = Tensor::F64(a.mapv(|v| f64::from(v) / STD));
        }
        let (error, cosine) = worst(&gradient, &expected);
        let torch = recorded[name]["max_rel_diff_float32_vs_float64"].as_f64().unwrap();
        println!("| {name} | {error:.1e} | {cosine:.8} | {torch:.1e} |");
        assert!(error <= torch, "{name}: {error}, torch's own {torch}");
        // On a photograph a ReLU6 within rounding of zero takes the other side, torch's float32 as ours.
        let (least, most) = if photos { (0.999, torch) } else { (0.9999, 1e-3) };
        assert!(error <= most && cosine >= least, "{name}: {error} {cosine}");
    }
}

/// A network that torch exported, with its gradient in float64: tests/golden/gradients.py.
struct Golden {
    name: String,
    onnx: Vec<u8>,
    x: Tensor,
    /// Cotangent of the output.
    seed: Tensor,
    y: Tensor,
    grad64: Tensor,
    /// Relative error of torch's own float32 gradient.
    error32: f64,
}

impl Golden {
    fn read(name: String, onnx: Vec<u8>, npz: &Path) -> Self {
        let get = |key: &str| array(npz, key).unwrap_or_else(|| panic!("{name}: {key}"));
        let error32 = get("error32").to_f64()[0];
        let x = match get("x") {
            Tensor::F32(x) if name.ends_with("_f64") => Tensor::F64(x.mapv(f64::from)),
            x => x,
        };
        Self { onnx, x, seed: get("seed"), y: get("y"), grad64: get("grad64"), error32, name }
    }

    /// The small ones of each family.
    fn small() -> Vec<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/gradients.zip");
        let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        let names: Vec<String> = archive.file_names().map(|n| n.unwrap().into_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut read = |file: String| {
            let mut bytes = Vec::new();
            archive.by_name(&file).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let golden = |name: &str| {
            let figures = name.trim_end_matches("_20").trim_end_matches("_f64");
            let npz = folder.path().join("figures.npz");
            std::fs::write(&npz, read(format!("{figures}.npz"))).unwrap();
            Self::read(name.to_owned(), read(format!("{name}.onnx")), &npz)
        };
        names.iter().filter_map(|n| n.strip_suffix(".onnx")).map(golden).collect()
    }

    /// Tokens are differentiated to the output of their embedding.
    fn tokens(&self) -> bool {
        self.x.dtype() == DType::I64
    }

    fn signature(&self) -> String {
        let shape = &self.x.shape()[1..];
        format!("{{task: regression, input: {{name: x, shape: {shape:?}}}, output: {{name: y}}}}")
    }

    fn differentiate(&self, batch: usize) -> assay::Result<Differentiated> {
        let graph = Graph::read(&self.onnx)?;
        let plain = Model::of(&graph, &self.signature())?;
        let wrt = if self.tokens() { vec!["embedded".to_owned()] } else { Vec::new() };
        Differentiated::of(&graph, plain.signature(), &Wish { batch, wrt, of: vec!["y".to_owned()] })
    }

    fn gradient(&self, model: &Differentiated, x: &Tensor, seed: &Tensor) -> assay::Result<(Tensor, Tensor)> {
        let linearized = model.linearize(&Tensors::from([("x".to_owned(), x.clone())]))?;
        let gradients = linearized.pull(&Tensors::from([("y".to_owned(), seed.clone())]))?;
        let gradient = gradients.into_values().next().unwrap();
        Ok((linearized.outputs()["y"].clone(), gradient))
    }

    /// Relative errors of output and gradient.
    fn errors(&self) -> assay::Result<(f64, f64)> {
        let model = self.differentiate(2)?;
        let (y, gradient) = self.gradient(&model, &self.x, &self.seed)?;
        assert_eq!(gradient.shape(), self.grad64.shape(), "{}", self.name);
        Ok((apart(&y.to_f64(), &self.y.to_f64()), apart(&gradient.to_f64(), &self.grad64.to_f64())))
    }
}

/// A row for each network, and those that are wrong.
fn table(networks: &[Golden], limit: impl Fn(&Golden) -> f64) -> Vec<String> {
    println!("| network | output | gradient | torch's float32 |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    for network in networks {
        match network.errors() {
            Ok((output, gradient)) => {
                println!("| {} | {output:.1e} | {gradient:.1e} | {:.1e} |", network.name, network.error32);
                if !(output < 1e-5 && gradient <= limit(network)) {
                    wrong.push(format!("{}: {output:.1e} {gradient:.1e}", network.name));
                }
            }
            Err(e) => wrong.push(format!("{}: {e}", network.name)),
        }
    }
    wrong
}

#[test]
fn gradients_of_small_networks_are_those_of_torch_in_float64() {
    let wrong = table(&Golden::small(), |network| if network.name.ends_with("_f64") { 1e-7 } else { 1e-5 });
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Networks of the usual sizes, where `ASSAY_GRADIENTS` names the folder that tests/golden/gradients.py --large wrote.
#[test]
fn gradients_of_large_networks_are_those_of_torch_in_float64() {
    let Some(folder) = std::env::var_os("ASSAY_GRADIENTS").map(PathBuf::from) else {
        eprintln!("skipped: ASSAY_GRADIENTS is not set");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    let name = |f: &Path| f.file_stem().unwrap().to_string_lossy().into_owned();
    let figures = |f: &Path| folder.join(format!("{}.npz", name(f).trim_end_matches("_f64")));
    let read = |f: &PathBuf| Golden::read(name(f), std::fs::read(f).unwrap(), &figures(f));
    let networks: Vec<_> = files.iter().map(read).collect();
    // A ReLU whose input is within rounding of zero takes either side in float32, torch's as well as ours; in float64 the
    // same networks agree.
    let wrong = table(&networks, |network| if network.name.ends_with("_f64") { 1e-6 } else { 1e-2 });
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// The gradient along a random direction, against what the outputs do there.
#[test]
fn gradients_agree_with_finite_differences() {
    let mut wrong = Vec::new();
    for network in Golden::small().iter().filter(|network| network.name.ends_with("_f64")) {
        let model = network.differentiate(3).unwrap();
        let Tensor::F64(x) = &network.x else { panic!("{}", network.name) };
        let (_, gradient) = network.gradient(&model, &network.x, &network.seed).unwrap();
        let mut rng = Rng::new(7, "finite differences", &network.name, 0);
        let direction: Vec<f64> = (0..x.len()).map(|_| rng.range(-1.0, 1.0)).collect();
        let along = |step: f64| {
            let moved = x.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let moved = Tensor::F64(ArrayD::from_shape_vec(x.raw_dim(), moved).unwrap());
            let (y, _) = network.gradient(&model, &moved, &network.seed).unwrap();
            y.to_f64().iter().zip(network.seed.to_f64()).map(|(y, s)| y * s).sum::<f64>()
        };
        // tract computes parts of some in float32 (resampling, means of squares): there the step is larger.
        let (y, _) = network.gradient(&model, &network.x, &network.seed).unwrap();
        let double = apart(&y.to_f64(), &network.y.to_f64()) < 1e-12;
        let (step, tolerance) = if double { (1e-6, 1e-7) } else { (1e-3, 1e-3) };
        let expected = (along(step) - along(-step)) / (2.0 * step);
        let found: f64 = gradient.to_f64().iter().zip(&direction).map(|(g, d)| g * d).sum();
        let error = (found - expected).abs() / norm(&gradient.to_f64());
        println!("{}: {error:.1e}, {tolerance:.0e} allowed", network.name);
        if error.is_nan() || error > tolerance {
            wrong.push(format!("{}: {found} was found, {expected} expected", network.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A row's output and gradient are the same bits at any place of the batch and beside any other rows.
#[test]
fn a_row_has_the_same_bits_wherever_it_is_in_the_batch() {
    let mut differ: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for network in Golden::small() {
        let Ok(model) = network.differentiate(5) else { continue };
        let rows = network.x.shape()[0];
        let places: Vec<usize> = (0..5).map(|i| (i * 2 + 1) % rows).collect();
        let again: Vec<usize> = (0..5).map(|i| if i == 3 { places[1] } else { (i + 2) % rows }).collect();
        let run = |places: &[usize]| {
            let (y, g) = network.gradient(&model, &network.x.select(places), &network.seed.select(places)).unwrap();
            (y, g)
        };
        let ((y, g), (y_again, g_again)) = (run(&places), run(&again));
        if y.row(1) != y_again.row(3) || g.row(1) != g_again.row(3) {
            let apart = |a: &Tensor, b: &Tensor| apart(&a.row(1).to_f64(), &b.row(3).to_f64());
            differ.insert(network.name.clone(), (apart(&y, &y_again), apart(&g, &g_again)));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

fn differentiability(onnx: &[u8], signature: &str) -> Differentiability {
    let graph = Graph::read(onnx).unwrap();
    let model = Model::of(&graph, signature).unwrap();
    Differentiability::of(&graph, model.signature(), &Wish::default()).unwrap()
}

/// What the small models of every operator say of their gradients: those that cannot be passed are named.
#[test]
fn operators_without_a_gradient_are_named() {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut differentiable = 0;
    for specimen in super::zoo::zoo().iter().filter(|s| s.name != "qoperator") {
        let report = differentiability(&specimen.onnx, "");
        differentiable += usize::from(report.differentiable());
        for node in report.missing {
            missing.entry(node.to_string()).or_default().push(specimen.name.clone());
        }
    }
    println!("{differentiable} are differentiable; {missing:#?}");
    assert!(missing.keys().any(|operator| operator.starts_with("TreeEnsemble")));
}

#[test]
fn what_rounds_is_passed_straight_through_and_named() {
    let zoo = super::zoo::zoo();
    let specimen = zoo.iter().find(|s| s.name == "qdq_int8").unwrap();
    let report = differentiability(&specimen.onnx, "");
    assert!(report.differentiable() && !report.straight_through.is_empty(), "{report:?}");
    let plain = differentiability(include_bytes!("../models/mnist_cnn.onnx"), "");
    assert!(plain.differentiable() && plain.straight_through.is_empty(), "{plain:?}");
}

/// Of the MNIST network, layer by layer: outputs times what each sums over.
#[test]
fn operations_are_counted() {
    let report = differentiability(include_bytes!("../models/mnist_cnn.onnx"), "");
    let convolutions = 28 * 28 * 16 * 25 + 14 * 14 * 32 * 16 * 25;
    let products = 1568 * 100 + 100 * 10;
    assert_eq!(report.flops, 2 * (convolutions + products));
}

#[test]
fn trees_are_refused_by_name() {
    let zoo = super::zoo::zoo();
    let specimen = zoo.iter().find(|s| s.name == "sk_forest_regressor").unwrap();
    let graph = Graph::read(&specimen.onnx).unwrap();
    let model = Model::of(&graph, "").unwrap();
    let error = Differentiated::of(&graph, model.signature(), &Wish::default()).err().unwrap().to_string();
    assert!(error.contains("operators without a gradient: TreeEnsembleRegressor ("), "{error}");
}

/// The loss of each small model along the gradient in float32; kinks and rounding set the tolerance.
#[test]
fn small_models_agree_with_finite_differences() {
    let mut wrong = Vec::new();
    for specimen in super::zoo::zoo().iter().filter(|s| s.name != "qoperator") {
        let graph = Graph::read(&specimen.onnx).unwrap();
        let plain = Model::of(&graph, "").unwrap();
        let report = Differentiability::of(&graph, plain.signature(), &Wish::default()).unwrap();
        if !report.differentiable() || !report.straight_through.is_empty() {
            continue;
        }
        let model = Differentiated::of(&graph, plain.signature(), &Wish { batch: 3, ..Wish::default() }).unwrap();
        let output = &plain.signature().output.name;
        let mut rng = Rng::new(3, "finite differences", &specimen.name, 0);
        let linearized = model.linearize(&specimen.inputs).unwrap();
        let y = &linearized.outputs()[output];
        let seed: Vec<f64> = (0..y.len()).map(|_| rng.range(-1.0, 1.0)).collect();
        let seed = Tensor::F64(ArrayD::from_shape_vec(y.shape().to_vec(), seed).unwrap());
        let gradients = linearized.pull(&Tensors::from([(output.clone(), seed.clone())])).unwrap();
        let mut slope = 0.0;
        let directions: BTreeMap<&String, Vec<f64>> = gradients
            .iter()
            .map(|(name, g)| {
                let direction: Vec<f64> = (0..g.len()).map(|_| rng.range(-1.0, 1.0)).collect();
                slope += g.to_f64().iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>();
                (name, direction)
            })
            .collect();
        let at = |step: f64| {
            let mut moved = specimen.inputs.clone();
            for (name, direction) in &directions {
                let x = &specimen.inputs[*name];
                let values: Vec<f32> = x.to_f64().iter().zip(direction).map(|(x, d)| (x + step * d) as f32).collect();
                let shape = x.shape().to_vec();
                moved.insert((*name).clone(), Tensor::F32(ArrayD::from_shape_vec(shape, values).unwrap()));
            }
            let y = model.linearize(&moved).unwrap().outputs()[output].to_f64();
            y.iter().zip(seed.to_f64()).map(|(y, s)| y * s).sum::<f64>()
        };
        let all: Vec<f64> = gradients.values().flat_map(Tensor::to_f64).collect();
        // Of several steps, the one that neither rounding nor a kink spoils.
        let differences = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4].map(|step| (at(step) - at(-step)) / (2.0 * step));
        let expected = differences.into_iter().min_by(|a, b| (a - slope).abs().total_cmp(&(b - slope).abs())).unwrap();
        let error = (slope - expected).abs() / (norm(&all) + 1e-3);
        // libsvm's coupling of probabilities stops at a tolerance, so that they move in small steps.
        let allowed = if specimen.name.contains("platt") { 1e-1 } else { 3e-2 };
        if error.is_nan() || error > allowed {
            wrong.push(format!("{}: {slope} was found, {expected} expected, norm {}", specimen.name, norm(&all)));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
