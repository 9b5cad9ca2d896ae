//! Damaged models, each by a number.

use assay::tensor::Rng;
use proptest::strategy::{Strategy, ValueTree};
use prost::Message;
use tract_onnx::pb::ModelProto;

use super::graphs::{CHANGES, Change};
use super::{SEED, edits, runner};
use crate::corpus::corpus;
use crate::server::MODEL;
use crate::zoo::zoo;

/// Size above which a model of the corpus is left aside: it would only take longer.
const BYTES_MAX: u64 = 2 << 20;

/// One damaged model in so many is damaged byte by byte; in the others a part of the graph is another.
const BYTEWISE: usize = 4;

/// Changes that are tried before the bytes are damaged instead.
const TRIES: usize = 50;

/// A model that is well.
pub(super) struct Sample {
    pub(super) name: String,
    onnx: Vec<u8>,
}

/// One that is not, perhaps.
pub(super) struct Mutant {
    pub(super) kind: &'static str,
    pub(super) onnx: Vec<u8>,
}

pub(super) fn samples() -> Vec<Sample> {
    let mut samples: Vec<_> = zoo().into_iter().map(|s| Sample { name: s.name, onnx: s.onnx }).collect();
    samples.push(Sample { name: "mnist_cnn".to_owned(), onnx: MODEL.to_vec() });
    samples.push(Sample { name: "masked".to_owned(), onnx: include_bytes!("../../models/masked.onnx").to_vec() });
    for entry in corpus().into_iter().flat_map(|folder| std::fs::read_dir(folder.join("models")).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "onnx") && path.metadata().unwrap().len() < BYTES_MAX {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            samples.push(Sample { name, onnx: std::fs::read(&path).unwrap() });
        }
    }
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

impl Mutant {
    /// The same for the same number and sample.
    pub(super) fn new(number: usize, sample: &Sample) -> Self {
        let mut rng = Rng::new(SEED, "models", &sample.name, number as u64);
        if rng.below(BYTEWISE) > 0 {
            let mut model = ModelProto::decode(sample.onnx.as_slice()).unwrap();
            // A change may have nothing to change in this model.
            for _ in 0..TRIES {
                let (kind, change) = drawn(&mut rng);
                if change(&mut model, &mut rng).is_some() {
                    return Self { kind, onnx: model.encode_to_vec() };
                }
            }
        }
        let mut onnx = sample.onnx.clone();
        let mut runner = runner(number as u64, 1);
        let (kind, edits) = match rng.below(2) {
            0 => ("bytes", edits::edits().new_tree(&mut runner).unwrap().current()),
            _ => ("bytes in place", edits::in_place().new_tree(&mut runner).unwrap().current()),
        };
        edits.iter().for_each(|edit| edit.apply(&mut onnx));
        Self { kind, onnx }
    }
}

/// One of the changes, each as often as it says.
fn drawn(rng: &mut Rng) -> (&'static str, Change) {
    let mut at = rng.below(CHANGES.iter().map(|(_, often, _)| often).sum());
    for (kind, often, change) in CHANGES {
        if at < often {
            return (kind, change);
        }
        at -= often;
    }
    unreachable!("the number is below the sum")
}
