//! Gradient evaluations a second, two threads each on its own batch: a table for tests/bench/gradient.py to set beside
//! torch's.
//!
//!     ASSAY_CORPUS=... [ASSAY_GRADIENTS=FOLDER] cargo bench --bench gradient

// A benchmark that fails may stop.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Instant;

use assay::engine::{Differentiated, Graph, Model, Wish};
use assay::tensor::{Rng, Tensor, Tensors};
use ndarray::ArrayD;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [usize; 3] = [1, 8, 32];

/// Rows that go through a graph at once; batches of more are taken in parts, which leaves more in the caches.
const PASS: usize = 8;

/// Seconds of a round, where one piece of work takes less.
const ROUND: f64 = 0.05;

fn random(shape: &[usize], name: &str) -> Tensor {
    let mut rng = Rng::new(0, "bench", name, 0);
    #[allow(clippy::cast_possible_truncation)]
    Tensor::F32(ArrayD::from_shape_fn(shape.to_vec(), |_| rng.range(0.0, 1.0) as f32))
}

/// Seconds of one piece of work, of which two threads do one each at a time: the best of several rounds, each long enough
/// that starting the threads does not count.
fn best(work: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    work();
    let times = (ROUND / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e4);
    let began = Instant::now();
    let (mut best, mut rounds) = (f64::INFINITY, 0);
    while rounds < 3 || (rounds < 15 && began.elapsed().as_secs() < 8) {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                scope.spawn(|| (0..times as usize).for_each(|_| work()));
            }
        });
        best = best.min(start.elapsed().as_secs_f64() / times);
        rounds += 1;
    }
    best
}

fn main() {
    let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let Some(corpus) = folder("ASSAY_CORPUS") else {
        eprintln!("ASSAY_CORPUS is not set");
        return;
    };
    let mut files: Vec<PathBuf> = ["mnist_cnn", "mnist_mlp_overfit", "efficientnet_lite0"]
        .iter()
        .map(|name| corpus.join(format!("models/{name}.onnx")))
        .collect();
    if let Some(folder) = folder("ASSAY_GRADIENTS") {
        files.extend(["resnet18", "mobilenet_v2", "vit_small"].map(|name| folder.join(format!("{name}.onnx"))));
    }
    // A name on the command line is the only one that is measured.
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    files.retain(|file| only.as_ref().is_none_or(|only| file.file_stem().is_some_and(|stem| *stem == **only)));
    println!("model batch forward/s gradients/s");
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let graph = Graph::read(&std::fs::read(&file).unwrap()).unwrap();
        let signature = if file.starts_with(&corpus) { "" } else { "input: {shape: [3, 224, 224]}" };
        let model = Model::of(&graph, signature).unwrap();
        let signature = model.signature();
        for batch in BATCHES {
            let model =
                Differentiated::of(&graph, signature, &Wish { batch: batch.min(PASS), ..Wish::default() }).unwrap();
            let shape = [&[batch], signature.inputs[0].shape.as_slice()].concat();
            let x = Tensors::from([(signature.inputs[0].name.clone(), random(&shape, &name))]);
            let seed = random(&[batch, signature.output.size], "seed");
            let seed = Tensors::from([(signature.output.name.clone(), seed)]);
            let forward = best(|| drop(model.linearize(&x).unwrap()));
            let both = best(|| drop(model.linearize(&x).unwrap().pull(&seed).unwrap()));
            #[allow(clippy::cast_precision_loss)]
            let rate = |seconds: f64| 2.0 * batch as f64 / seconds;
            println!("{name} {batch} {:.1} {:.1}", rate(forward), rate(both));
        }
    }
}
