//! Bodies for what people write: signatures, checks, parameters, gates. Each says whether the bytes were taken, and what
//! was taken is the same after it was written and read again.

use std::sync::LazyLock;

use assay::api::{map_to_struct, struct_to_map};
use assay::engine::{Graph, Model, Signature};
use assay::probe::manuals;
use assay::suite::{Check, Gate, write_spec};
use serde_json::{Map, Value};

use crate::server::MODEL;
use crate::zoo::zoo;

/// Rows of a table into classes, which is quick to load.
static TABLE: LazyLock<Graph> = LazyLock::new(|| {
    let specimen = zoo().into_iter().find(|s| s.name == "sk_logistic").unwrap();
    Graph::read(&specimen.onnx).unwrap()
});

/// A picture's signature and a row's, which checks are held against.
static SIGNATURES: LazyLock<[Signature; 2]> =
    LazyLock::new(|| [Model::load(MODEL, ""), Model::of(&TABLE, "")].map(|model| model.unwrap().signature().clone()));

/// The part of a request that is a model's signature.
pub(super) fn signature_yaml(bytes: &[u8]) -> bool {
    let Ok(model) = Model::of(&TABLE, &String::from_utf8_lossy(bytes)) else { return false };
    let written = model.signature().to_yaml().unwrap();
    assert_eq!(Model::of(&TABLE, &written).unwrap().signature(), model.signature(), "{written}");
    true
}

pub(super) fn signatures() -> Vec<Vec<u8>> {
    let own = Model::of(&TABLE, "").unwrap().signature().to_yaml().unwrap();
    let texts = [
        own.as_str(),
        "",
        "task: classification\ninput: {range: [0, 1], preprocess: [{normalize: {mean: 0.5, std: [2]}}, {scale: 255}]}",
        "input: {features: [a, b, c, d]}\noutput: {kind: probabilities, classes: [x, y, z]}",
        "output: {labels: [3, 5, 9], size: 3}\ntask: &t classification",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A check in its text form.
pub(super) fn check_spec(bytes: &[u8]) -> bool {
    let Ok(check) = Check::parse(&String::from_utf8_lossy(bytes)) else { return false };
    judge(&check);
    true
}

/// All that is asked of a check before its job begins; its points written and read again.
fn judge(check: &Check) {
    for signature in SIGNATURES.iter() {
        let _ = (check.fits(signature).is_ok(), check.wants_background(signature));
        let _ = (check.cost(signature, u64::MAX), check.cost(signature, 0), check.figures(signature));
    }
    for point in 0..check.len() {
        let again = Check::parse(check.canonical(point));
        let again = again.unwrap_or_else(|e| panic!("{} is refused: {e}", check.canonical(point)));
        assert_eq!((again.canonical(0), again.len()), (check.canonical(point), 1));
        assert_eq!(again.params(0), check.params(point));
    }
}

pub(super) fn specs() -> Vec<Vec<u8>> {
    let longer = ["pgd:norm=l2,eps=[1/255,0.5],steps=4,random_start=true", "gaussian_noise:severity=[1,3]"];
    let spelled = manuals().map(|m| write_spec(m.name, &Check::parse(m.name).unwrap().all_params()));
    spelled.chain(longer.map(str::to_owned)).map(String::into_bytes).collect()
}

/// A check as a name and parameters: the first byte chooses the probe, the others are a JSON object.
pub(super) fn parameters(bytes: &[u8]) -> bool {
    let Some((first, json)) = bytes.split_first() else { return false };
    let manuals: Vec<_> = manuals().collect();
    let name = manuals[usize::from(*first) % manuals.len()].name;
    let Ok(params) = serde_json::from_slice::<Map<String, Value>>(json) else { return false };
    let check = Check::new(&write_spec(name, &params), name, params.clone());
    // On the wire the parameters are a Struct, which has floats alone.
    let sent = Check::new("", name, struct_to_map(&map_to_struct(&params)));
    let Ok(check) = check else { return false };
    judge(&check);
    let sent = sent.unwrap_or_else(|e| panic!("{params:?} is refused as a Struct: {e}"));
    for point in 0..check.len() {
        assert_eq!(sent.canonical(point), check.canonical(point));
    }
    true
}

/// Every probe with its defaults.
pub(super) fn parameter_samples() -> Vec<Vec<u8>> {
    let sample = |(i, name): (u8, &str)| {
        let params = Value::Object(Check::parse(name).unwrap().all_params());
        [&[i], params.to_string().as_bytes()].concat()
    };
    (0u8..).zip(manuals().map(|manual| manual.name)).map(sample).collect()
}

/// A gate of a job with a few checks.
pub(super) fn gate_expression(bytes: &[u8]) -> bool {
    let specs = ["clean", "gaussian_noise", "jpeg_compression:severity=2", "fgsm", "saliency"];
    let checks: Vec<_> = specs.iter().map(|spec| Check::parse(spec).unwrap()).collect();
    let Ok(gate) = Gate::parse(&String::from_utf8_lossy(bytes), &checks) else { return false };
    let again = Gate::parse(&gate.text, &checks).unwrap();
    assert_eq!(format!("{again:?}"), format!("{gate:?}"));
    assert_eq!(gate.decide(&[]).gate, gate.text);
    true
}

pub(super) fn gates() -> Vec<Vec<u8>> {
    let texts = [
        "clean.accuracy >= 0.9",
        "gaussian_noise:severity=3.accuracy >= 0 or inconclusive",
        "gaussian_noise.corruption_error <= 1",
        "clean.recall[class=a.b[0]] >= .5",
        "clean.accuracy[age>=3] >= 0.5",
        "mce <= 0.8",
        "clean.nll <= baseline + 0.1",
        "fgsm.accuracy >= 1e-3",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
