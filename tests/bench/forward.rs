//! Forward passes of corpus models, two threads, a table for tests/bench/forward.py to set beside onnxruntime's.
//!
//!     ASSAY_CORPUS=... cargo bench --bench forward

// A benchmark that fails may stop.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Instant;

use assay::engine::Model;
use assay::tensor::{Rng, Tensor, Tensors};
use ndarray::ArrayD;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Models, the signature that each needs, rows of one measurement.
const MODELS: &[(&str, &str, usize)] = &[
    ("efficientnet_lite0", "", 32),
    ("mnist_cnn", "", 512),
    ("mnist_mlp_overfit", "", 8192),
    ("ppocr_angle_cls", "input: {shape: [3, 48, 192]}", 128),
    ("bc_rf", "", 16384),
    ("bc_gb", "", 16384),
    ("bc_svm", "", 16384),
    ("diabetes_gbr", "", 32768),
];

fn main() {
    let Some(corpus) = std::env::var_os("ASSAY_CORPUS").map(PathBuf::from) else {
        eprintln!("ASSAY_CORPUS is not set");
        return;
    };
    for (name, signature, rows) in MODELS {
        let onnx = std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap();
        let model = Model::load(&onnx, signature).unwrap();
        let input = &model.signature().inputs[0];
        let mut rng = Rng::new(0, "bench", name, 0);
        let shape: Vec<usize> = std::iter::once(rows / 2).chain(input.shape.iter().copied()).collect();
        #[allow(clippy::cast_possible_truncation)]
        let half = Tensor::F32(ArrayD::from_shape_fn(shape, |_| rng.range(0.0, 1.0) as f32));
        let half = Tensors::from([(input.name.clone(), half)]);
        // Two threads, each on its half, as two slots would work.
        let once = || {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| model.predict(&half).unwrap());
                }
            });
            start.elapsed().as_secs_f64()
        };
        once();
        let best = (0..7).map(|_| once()).fold(f64::INFINITY, f64::min);
        println!("{name} {} {:.1}", model.batch(), *rows as f64 / best);
    }
}
