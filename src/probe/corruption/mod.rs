//! Corruptions: what happens to inputs in the world, mostly at severities 1 to 5.
//!
//! To add one: a file with its struct, [`Probe`] and [`Corruption`], and its line in [`CORRUPTIONS`].

mod additive_noise;
mod brightness;
mod case_change;
mod contrast;
mod dct;
mod defocus_blur;
mod edges;
mod elastic_transform;
mod feature_drift;
mod filter;
mod fog;
mod frost;
mod gain;
mod gaussian_blur;
mod gaussian_noise;
mod glass_blur;
mod hsv;
mod impulse_noise;
mod jpeg_compression;
mod lookalikes;
mod missing_values;
mod motion_blur;
mod noise_snr;
mod outliers;
mod pixelate;
mod sample;
mod saturate;
mod sequence_dropout;
mod severity;
mod shot_noise;
mod snow;
mod spatter;
mod speckle_noise;
mod swaps;
mod texture;
mod typos;
mod whitespace;
mod zoom;
mod zoom_blur;

pub use sample::{Row, Sample, Sequence};
pub use severity::Severity;

use sample::Input;
use schemars::Schema;
use serde_json::{Map, Value, json};
use severity::{Variant, to_uint8};

use super::{Manual, Probe, schema};
use crate::error::{Error, Result};
use crate::tensor::Rng;

/// All corruptions, in alphabetical order.
pub static CORRUPTIONS: &[Entry] = &[
    corruption::<additive_noise::AdditiveNoise>(),
    corruption::<brightness::Brightness>(),
    corruption::<case_change::CaseChange>(),
    corruption::<contrast::Contrast>(),
    corruption::<defocus_blur::DefocusBlur>(),
    corruption::<elastic_transform::ElasticTransform>(),
    corruption::<feature_drift::FeatureDrift>(),
    corruption::<fog::Fog>(),
    corruption::<frost::Frost>(),
    corruption::<gain::Gain>(),
    corruption::<gaussian_blur::GaussianBlur>(),
    corruption::<gaussian_noise::GaussianNoise>(),
    corruption::<glass_blur::GlassBlur>(),
    corruption::<impulse_noise::ImpulseNoise>(),
    corruption::<jpeg_compression::JpegCompression>(),
    corruption::<lookalikes::Lookalikes>(),
    corruption::<missing_values::MissingValues>(),
    corruption::<motion_blur::MotionBlur>(),
    corruption::<noise_snr::NoiseSnr>(),
    corruption::<outliers::Outliers>(),
    corruption::<pixelate::Pixelate>(),
    corruption::<saturate::Saturate>(),
    corruption::<sequence_dropout::SequenceDropout>(),
    corruption::<shot_noise::ShotNoise>(),
    corruption::<snow::Snow>(),
    corruption::<spatter::Spatter>(),
    corruption::<speckle_noise::SpeckleNoise>(),
    corruption::<swaps::Swaps>(),
    corruption::<typos::Typos>(),
    corruption::<whitespace::Whitespace>(),
    corruption::<zoom_blur::ZoomBlur>(),
];

/// The source of most corruptions of pictures.
const IMAGENET_C: &str = "Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and \
                          Perturbations, 2019 (arXiv:1903.12261)";

/// A corruption is a probe that changes a sample without asking the model.
trait Corruption: Probe {
    /// The kind of sample that it takes.
    type Input: Input;
    /// The parameter that makes a curve where it is left out, and the curve's points.
    const CURVE: (&'static str, [f64; 5]) = ("severity", [1.0, 2.0, 3.0, 4.0, 5.0]);

    /// Changes the input; equal random numbers give equal results. Values stay in the declared range.
    fn corrupt(&self, input: &mut Self::Input, rng: &mut Rng) -> Result<()>;
}

/// A corruption with its parameters read: changes a sample.
pub type Corrupter = Box<dyn Fn(&mut Sample, &mut Rng) -> Result<()> + Send + Sync>;

/// A member of the family.
pub struct Entry {
    pub manual: Manual,
    /// The corruption of these parameters, which fit the manual's schema.
    pub read: fn(&Map<String, Value>) -> Result<Corrupter>,
}

/// The corruption of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CORRUPTIONS.iter().find(|entry| entry.manual.name == name)
}

const fn corruption<C: Corruption>() -> Entry {
    let own = Manual::of::<C>("corruption");
    let manual = Manual { kinds: const { &[C::Input::KIND] }, cost: "1 a point", schema: curved::<C>, ..own };
    Entry { manual, read: read::<C> }
}

/// The schema of a corruption, where the default of the one parameter is its curve.
fn curved<C: Corruption>() -> Schema {
    let (parameter, points) = C::CURVE;
    let mut schema = schema::<C>();
    if let Some(default) = schema.pointer_mut(&format!("/properties/{parameter}/default")) {
        *default = json!(points);
    }
    schema
}

fn read<C: Corruption>(params: &Map<String, Value>) -> Result<Corrupter> {
    let corruption: C = super::read(params)?;
    Ok(Box::new(move |sample, rng| {
        let wrong = || Error::invalid("", format!("{} takes {}", C::NAME, C::Input::KIND.name()));
        corruption.corrupt(C::Input::of(sample).ok_or_else(wrong)?, rng)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Kind;
    use crate::tensor::Pixels;

    #[test]
    fn the_registry_is_in_order_and_has_manuals() {
        assert!(CORRUPTIONS.is_sorted_by(|a, b| a.manual.name < b.manual.name));
        for entry in CORRUPTIONS {
            let summary = entry.manual.summary();
            assert!(summary.ends_with('.') && summary.len() < 100, "{}: {summary}", entry.manual.name);
            assert!(!entry.manual.text().is_empty(), "{}", entry.manual.name);
        }
    }

    /// A sample of each size of the entry's kind.
    fn samples(kind: Kind) -> Vec<Sample> {
        let value = |i: usize| (i * 7919 % 256) as u8;
        let picture = |height, width, channels| {
            let data = (0..height * width * channels).map(value).collect();
            Sample::Picture(Pixels::new(height, width, channels, data).unwrap())
        };
        let numbers = |n: usize| (0..n).map(|i| f64::from(value(i)) / 255.0).collect::<Vec<_>>();
        let range = Some([0.0, 1.0]);
        match kind {
            Kind::Picture => [(1, 1), (1, 7), (5, 2), (8, 8), (32, 32), (40, 64), (70, 100)]
                .into_iter()
                .flat_map(|(height, width)| [picture(height, width, 1), picture(height, width, 3)])
                .collect(),
            Kind::Row => [1, 4, 30].map(|n| Sample::Row(Row { values: numbers(n), range })).into(),
            Kind::Sequence => [(1, 1), (2, 3), (50, 2)]
                .map(|(steps, features)| {
                    Sample::Sequence(Sequence { values: numbers(steps * features), features, range })
                })
                .into(),
            Kind::Floats | Kind::Tokens => Vec::new(),
            Kind::Text => ["", "a", "?!", "Ein Wort; two words, naïve Ω."].map(|t| Sample::Text(t.to_owned())).into(),
        }
    }

    fn run(entry: &Entry, params: &Map<String, Value>, sample: &Sample, seed: u64) -> Sample {
        let mut sample = sample.clone();
        (entry.read)(params).unwrap()(&mut sample, &mut Rng::new(seed, entry.manual.name, "0", 0)).unwrap();
        sample
    }

    /// Every point of the entry's curve, in every variant.
    fn points(entry: &Entry) -> Vec<Map<String, Value>> {
        let schema = (entry.manual.schema)();
        let properties = schema.get("properties").unwrap().as_object().unwrap();
        let (curve, levels) = properties.iter().find(|(_, p)| p["default"].is_array()).unwrap();
        let mut points = Vec::new();
        for level in levels["default"].as_array().unwrap() {
            // A whole number where the schema wants one.
            let level = if curve == "severity" { json!(level.as_f64().unwrap() as u64) } else { level.clone() };
            let point = Map::from_iter([(curve.clone(), level)]);
            if properties.contains_key("variant") {
                points.push(point.clone().into_iter().chain([("variant".to_owned(), json!("imagenet_c"))]).collect());
            }
            points.push(point);
        }
        points
    }

    fn in_range(before: &Sample, after: &Sample) -> bool {
        let within = |values: &[f64]| values.iter().all(|v| v.is_nan() || (0.0..=1.0).contains(v));
        match (before, after) {
            (Sample::Picture(a), Sample::Picture(b)) => {
                (a.height, a.width, a.channels, a.data.len()) == (b.height, b.width, b.channels, b.data.len())
            }
            (Sample::Row(a), Sample::Row(b)) => a.values.len() == b.values.len() && within(&b.values),
            (Sample::Sequence(a), Sample::Sequence(b)) => a.values.len() == b.values.len() && within(&b.values),
            (Sample::Text(_), Sample::Text(_)) => true,
            _ => false,
        }
    }

    #[test]
    fn every_corruption_is_deterministic_and_keeps_shape_and_range_at_any_size() {
        for entry in CORRUPTIONS {
            for (params, sample) in
                points(entry).iter().flat_map(|p| samples(entry.manual.kinds[0]).into_iter().map(move |s| (p, s)))
            {
                let (name, once) = (entry.manual.name, run(entry, params, &sample, 1));
                // As text, in which NaN is equal to itself.
                assert_eq!(format!("{once:?}"), format!("{:?}", run(entry, params, &sample, 1)), "{name} {params:?}");
                assert!(in_range(&sample, &once), "{name} {params:?} {sample:?}");
            }
        }
    }

    /// The mean absolute difference grows with the severity, but for those that change in kind (saturate, spatter) or
    /// in several ways at once, which the references' tables do not order.
    #[test]
    fn stronger_corruptions_change_pictures_more() {
        let smooth = |i: usize| (128.0 + 60.0 * (i as f64 / 3.0 / 9.0).sin() + 60.0 * (i as f64 / 700.0).cos()) as u8;
        let clean = Pixels::new(96, 96, 3, (0..96 * 96 * 3).map(smooth).collect()).unwrap();
        // Defocus blur's own package moves this picture further at severity 1 than at 2, too.
        let unordered = ["saturate", "spatter", "glass_blur", "snow", "frost", "fog", "defocus_blur"];
        let of_pictures = CORRUPTIONS.iter().filter(|e| e.manual.kinds == [Kind::Picture]);
        for entry in of_pictures.filter(|e| !unordered.contains(&e.manual.name)) {
            let distance = |severity: u64| {
                let params = Map::from_iter([("severity".to_owned(), json!(severity))]);
                let changed = |seed| match run(entry, &params, &Sample::Picture(clean.clone()), seed) {
                    Sample::Picture(p) => {
                        p.data.iter().zip(&clean.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
                    }
                    other => panic!("{other:?}"),
                };
                (0..5).map(changed).sum::<u64>()
            };
            let distances: Vec<u64> = (1..=5).map(distance).collect();
            assert!(distances.is_sorted() && distances[0] > 0, "{}: {distances:?}", entry.manual.name);
        }
    }
}
