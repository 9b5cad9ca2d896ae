//! The arrays of a job as `.npz` files and pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::arrays::{npz, per_case};
use super::audits::{Figures, Plot, plots};
use super::client::{Client, answer};
use super::overlay::overlay;
use super::plot::{Bars, bars, tokens};
use super::run::Cases;
use crate::api::{pb, tensor_from_bytes};
use crate::engine::{Input, Signature};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Cases of which pictures are written.
const PICTURES: u64 = 16;

/// Cases on a page.
const ON_PAGE: u64 = 6;

/// Features of a row that have bars of their own.
const BARS: usize = 10;

/// What can be seen of a case.
pub(super) enum Picture {
    /// An image's file.
    Png(Vec<u8>),
    /// Bars of a row's attributions.
    Svg(String),
    /// Words on colours.
    Html(String),
}

/// By check, case and point; point 0 of check `None` is the clean picture.
pub(super) type Pictures = BTreeMap<(Option<u32>, u64, usize), Picture>;

pub(super) fn failed(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::invalid("artifacts", format!("{}: {e}", path.display()))
}

async fn list(client: &mut Client, job: &pb::Job) -> Result<Vec<pb::Artifact>> {
    let request = pb::ListArtifactsRequest { name: job.name.clone() };
    Ok(answer(client.jobs.list_artifacts(request).await)?.artifacts)
}

pub(super) async fn fetch(client: &mut Client, artifact: &pb::Artifact) -> Result<Tensor> {
    let bytes = client.read_artifact(&artifact.name).await?;
    tensor_from_bytes(artifact.data_type, &artifact.shape, &bytes)
}

/// What the values of a case are called.
#[derive(Default)]
struct Called {
    features: Vec<String>,
    vocabulary: Vec<String>,
    tokens: bool,
}

/// What the job's model declares of the names of a case's values.
async fn called(client: &mut Client, job: &pb::Job) -> Result<Called> {
    let Some(pb::subject::Subject::Model(name)) =
        job.spec.as_ref().and_then(|spec| spec.subject.as_ref()).and_then(|subject| subject.subject.clone())
    else {
        return Ok(Called::default());
    };
    let model = answer(client.models.get_model(pb::GetModelRequest { name }).await)?;
    // Through JSON, as it was written. What a newer service writes may not be read; then there are no names.
    let value = serde_norway::from_str::<serde_json::Value>(&model.signature).ok();
    let signature = value.and_then(|value| serde_json::from_value::<Signature>(value).ok());
    let names = |input: &Input| Called {
        features: input.features.clone(),
        vocabulary: input.vocabulary.clone(),
        tokens: input.is_tokens(),
    };
    Ok(signature.map_or_else(Called::default, |signature| names(signature.probed())))
}

/// Writes `DIR/00-NAME.npz` for each check, pictures of the first cases, and of whole checks.
pub(super) async fn write(
    client: &mut Client,
    job: &pb::Job,
    report: &pb::Report,
    cases: &Cases,
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let (artifacts, called) = (list(client, job).await?, called(client, job).await?);
    let checks = job.spec.as_ref().map_or(&[][..], |s| &s.checks);
    for (index, check) in checks.iter().enumerate() {
        let name = check.spec.split(':').next().unwrap_or_default();
        let path = folder.join(format!("{index:02}-{name}.npz"));
        let own: Vec<&pb::Artifact> = artifacts.iter().filter(|a| a.check_index as usize == index).collect();
        let entry = report.checks.iter().find(|entry| entry.check == check.spec);
        npz(client, &own, cases, entry, &path).await?;
    }
    let written = |name: String, bytes: Vec<u8>| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| failed(&path, e))
    };
    for ((check, case, point), picture) in pictures_of(client, &artifacts, cases, &called, PICTURES).await? {
        let name = check.map_or("x".to_owned(), |c| format!("{c:02}"));
        let (kind, bytes) = match picture {
            Picture::Png(png) => ("png", png),
            Picture::Svg(svg) => ("svg", svg.into_bytes()),
            Picture::Html(html) => ("html", html.into_bytes()),
        };
        written(format!("{name}-case{case:05}-{point}.{kind}"), bytes)?;
    }
    for plot in plots(job, report, &figures_of(client, &artifacts).await?) {
        written(format!("{:02}-{}.svg", plot.check, plot.name), plot.svg.into_bytes())?;
    }
    eprintln!("wrote {} files of arrays to {}", checks.len(), folder.display());
    Ok(())
}

/// Cases whose figures are drawn.
const DRAWN: u64 = 1000;

/// What audits found in the first cases, of the first point of each check.
async fn figures_of(client: &mut Client, artifacts: &[pb::Artifact]) -> Result<Figures> {
    let mut found = Figures::default();
    let audits: BTreeSet<u32> = artifacts.iter().filter(|a| a.array == "figures").map(|a| a.check_index).collect();
    let Some(first) = audits.first() else { return Ok(found) };
    let mut own: Vec<&pb::Artifact> =
        artifacts.iter().filter(|a| a.first_case < DRAWN && audits.contains(&a.check_index)).collect();
    own.sort_by_key(|a| a.first_case);
    for artifact in own {
        let per_case = per_case(artifact);
        let into = match artifact.array.as_str() {
            "figures" => found.figures.entry(artifact.check_index).or_default(),
            "x" if artifact.check_index == *first => &mut found.x,
            _ => continue,
        };
        let rows = fetch(client, artifact).await?;
        into.extend((0..rows.shape()[0]).step_by(per_case).map(|row| rows.row(row).to_f64()));
    }
    Ok(found)
}

/// Pictures of a job's audits, for a page.
pub(super) async fn plots_of(client: &mut Client, job: &pb::Job, report: &pb::Report) -> Result<Vec<Plot>> {
    let artifacts = list(client, job).await?;
    Ok(plots(job, report, &figures_of(client, &artifacts).await?))
}

/// Pictures for a page: the first cases under every check.
pub(super) async fn pictures(client: &mut Client, job: &pb::Job, cases: &Cases) -> Result<Pictures> {
    let (artifacts, called) = (list(client, job).await?, called(client, job).await?);
    pictures_of(client, &artifacts, cases, &called, ON_PAGE).await
}

async fn pictures_of(
    client: &mut Client,
    artifacts: &[pb::Artifact],
    cases: &Cases,
    called: &Called,
    most: u64,
) -> Result<Pictures> {
    let mut pictures = Pictures::new();
    let (mut clean, mut attributions) = (BTreeMap::new(), BTreeMap::new());
    let names = ["x", "x_corrupted", "x_adv", "attribution"];
    for artifact in artifacts.iter().filter(|a| a.first_case < most && names.contains(&a.array.as_str())) {
        let per_case = per_case(artifact);
        let rows = fetch(client, artifact).await?;
        for row in 0..rows.shape()[0] {
            let (case, point) = (artifact.first_case + (row / per_case) as u64, row % per_case);
            let (check, row) = (artifact.check_index, rows.row(row));
            if case >= most {
                break;
            }
            match artifact.array.as_str() {
                "x" => {
                    pictures.extend(png(&row).map(|png| ((None, case, 0), png)));
                    clean.insert(case, row);
                }
                "attribution" => attributions.extend([((check, case, point), row)]),
                _ => pictures.extend(png(&row).map(|png| ((Some(check), case, point), png))),
            }
        }
    }
    for ((check, case, point), row) in attributions {
        let Some(x) = clean.get(&case) else { continue };
        let title = cases.get(&case).map_or_else(String::new, |id| format!("case {id}"));
        let over = overlay(x, &row).and_then(|picture| png(&picture));
        let picture = over.or_else(|| attributed(&title, called, x, &row));
        pictures.extend(picture.map(|picture| ((Some(check), case, point), picture)));
    }
    Ok(pictures)
}

/// Bars of a row's attributions, or words on colours; `None` for what has more axes than one.
fn attributed(title: &str, called: &Called, x: &Tensor, attribution: &Tensor) -> Option<Picture> {
    let (own, values) = (x.to_f64(), attribution.to_f64());
    // An explanation of zeros stands for a case that has none.
    if x.shape().iter().filter(|length| **length > 1).count() > 1 || values.iter().all(|v| *v == 0.0) {
        return None;
    }
    if called.tokens {
        return Some(Picture::Html(tokens(&words(&own, &called.vocabulary), &values)));
    }
    let (names, label) = (&called.features, "adds to the score");
    let shown = Bars { title, label, names, own: &own, values: &values, intervals: &[], most: BARS };
    Some(Picture::Svg(bars(&shown)))
}

/// The words of tokens, or their numbers; what fills the sequence up at its end is left out.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn words(tokens: &[f64], vocabulary: &[String]) -> Vec<String> {
    let filled = tokens.last().map_or(0, |last| tokens.iter().rev().take_while(|token| *token == last).count());
    let kept = if filled > 1 { tokens.len() - filled } else { tokens.len() };
    let word = |token: &f64| vocabulary.get(*token as usize).cloned().unwrap_or_else(|| format!("{token}"));
    tokens[..kept].iter().map(word).collect()
}

/// A picture with 1 or 3 channels, first or last, as PNG; `None` for anything else.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn png(row: &Tensor) -> Option<Picture> {
    let order = match row.shape() {
        [1 | 3, _, _] => [1, 2, 0],
        [_, _, 1 | 3] => [0, 1, 2],
        _ => return None,
    };
    let bytes = match row {
        Tensor::U8(a) => a.clone(),
        Tensor::F32(a) => a.mapv(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8),
        _ => return None,
    };
    let view = bytes.view().permuted_axes(order.to_vec());
    let (height, width) = (u32::try_from(view.shape()[0]).ok()?, u32::try_from(view.shape()[1]).ok()?);
    let colour = if view.shape()[2] == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let samples: Vec<u8> = view.iter().copied().collect();
    let mut file = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut file);
    image::ImageEncoder::write_image(encoder, &samples, width, height, colour).ok()?;
    Some(Picture::Png(file))
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::F32(ArrayD::from_shape_vec(shape.to_vec(), values.to_vec()).unwrap())
    }

    #[test]
    fn a_row_has_bars_and_what_has_more_axes_or_no_explanation_has_none() {
        let (x, attribution) = (tensor(&[2], &[36.1, 2.0]), tensor(&[2], &[-0.5, 1.0]));
        let named = Called { features: vec!["bmi".to_owned()], ..Called::default() };
        let Some(Picture::Svg(svg)) = attributed("case 7", &named, &x, &attribution) else { panic!("bars") };
        assert!(["case 7", ">bmi = 36.1<", ">x1 = 2<", ">+1<"].iter().all(|part| svg.contains(part)), "{svg}");
        assert!(attributed("", &Called::default(), &x, &tensor(&[2], &[0.0, 0.0])).is_none());
        assert!(attributed("", &Called::default(), &tensor(&[2, 2], &[1.0; 4]), &tensor(&[2, 2], &[1.0; 4])).is_none());
        assert!(attributed("", &Called::default(), &tensor(&[1, 2], &[1.0; 2]), &tensor(&[1, 2], &[1.0; 2])).is_some());
    }

    #[test]
    fn tokens_are_words_without_what_fills_them_up() {
        let vocabulary = ["<pad>", "<unk>", "good"].map(str::to_owned);
        assert_eq!(words(&[2.0, 7.0, 1.0, 0.0, 0.0], &vocabulary), ["good", "7", "<unk>"]);
        assert_eq!(words(&[2.0, 1.0], &vocabulary), ["good", "<unk>"]);
        assert!(words(&[], &vocabulary).is_empty());
    }
}
