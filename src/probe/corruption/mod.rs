//! Corruptions: what happens to inputs in the world, mostly at severities 1 to 5.
//!
//! To add one: a file with its struct, [`Probe`] and [`Corruption`], and its line in [`CORRUPTIONS`].

mod brightness;
mod contrast;
mod defocus_blur;
mod edges;
mod elastic_transform;
mod filter;
mod fog;
mod frost;
mod gaussian_blur;
mod gaussian_noise;
mod glass_blur;
mod hsv;
mod impulse_noise;
mod jpeg_compression;
mod motion_blur;
mod pixelate;
mod sample;
mod saturate;
mod severity;
mod shot_noise;
mod snow;
mod spatter;
mod speckle_noise;
mod texture;
mod zoom;
mod zoom_blur;

pub use sample::{Row, Sample, Sequence};
pub use severity::Severity;

use sample::Input;
use schemars::Schema;
use serde_json::{Map, Value, json};
use severity::{Variant, to_uint8};

use super::{Access, Manual, Probe, schema};
use crate::error::{Error, Result};
use crate::tensor::Rng;

/// All corruptions, in alphabetical order.
pub static CORRUPTIONS: &[Entry] = &[
    corruption::<brightness::Brightness>(),
    corruption::<contrast::Contrast>(),
    corruption::<defocus_blur::DefocusBlur>(),
    corruption::<elastic_transform::ElasticTransform>(),
    corruption::<fog::Fog>(),
    corruption::<frost::Frost>(),
    corruption::<gaussian_blur::GaussianBlur>(),
    corruption::<gaussian_noise::GaussianNoise>(),
    corruption::<glass_blur::GlassBlur>(),
    corruption::<impulse_noise::ImpulseNoise>(),
    corruption::<jpeg_compression::JpegCompression>(),
    corruption::<motion_blur::MotionBlur>(),
    corruption::<pixelate::Pixelate>(),
    corruption::<saturate::Saturate>(),
    corruption::<shot_noise::ShotNoise>(),
    corruption::<snow::Snow>(),
    corruption::<spatter::Spatter>(),
    corruption::<speckle_noise::SpeckleNoise>(),
    corruption::<zoom_blur::ZoomBlur>(),
];

/// The source of most corruptions of pictures.
const IMAGENET_C: &str = "Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and \
                          Perturbations, 2019 (arXiv:1903.12261)";

/// A corruption is a probe that changes a sample without asking the model.
trait Corruption: Probe {
    /// The kind of sample that it takes.
    type Input: Input;

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
    let manual = Manual {
        name: C::NAME,
        family: "corruption",
        paper: C::PAPER,
        accesses: &[Access::Label],
        kinds: const { &[C::Input::KIND] },
        cost: "1 a point: five where the severity is left out",
        schema: severities::<C>,
    };
    Entry { manual, read: read::<C> }
}

/// The schema of a corruption: without a severity it is run at all five.
fn severities<C: Corruption>() -> Schema {
    let mut schema = schema::<C>();
    if let Some(severity) = schema.pointer_mut("/properties/severity/default") {
        *severity = json!([1, 2, 3, 4, 5]);
    }
    schema
}

fn read<C: Corruption>(params: &Map<String, Value>) -> Result<Corrupter> {
    let corruption =
        C::deserialize(Value::Object(params.clone())).map_err(|e| Error::invalid("params", e.to_string()))?;
    Ok(Box::new(move |sample, rng| {
        let wrong = || Error::invalid("", format!("{} takes {}", C::NAME, C::Input::KIND.name()));
        corruption.corrupt(C::Input::of(sample).ok_or_else(wrong)?, rng)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn every_corruption_is_deterministic_at_any_size() {
        for entry in CORRUPTIONS {
            for (side, channels) in [(1, 1), (8, 1), (32, 3), (100, 3)] {
                let clean = Pixels::new(side, side, channels, vec![128; side * side * channels]).unwrap();
                let run = |seed| {
                    let mut sample = Sample::Picture(clean.clone());
                    let corrupter = (entry.read)(&Map::from_iter([("severity".to_owned(), json!(3))])).unwrap();
                    corrupter(&mut sample, &mut Rng::new(seed, entry.manual.name, "0", 0)).unwrap();
                    sample
                };
                assert_eq!(run(1), run(1), "{}", entry.manual.name);
            }
        }
    }
}
