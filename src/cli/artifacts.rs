//! The arrays of a job as `.npz` files and pictures.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::client::{Client, answer};
use super::overlay::overlay;
use super::plot::{Bars, bars};
use super::run::Cases;
use crate::api::{pb, tensor_from_bytes};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

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

async fn fetch(client: &mut Client, artifact: &pb::Artifact) -> Result<Tensor> {
    let bytes = client.read_artifact(&artifact.name).await?;
    tensor_from_bytes(artifact.data_type, &artifact.shape, &bytes)
}

/// Writes `DIR/00-NAME.npz` for each check, and pictures of the first cases; `features` are names of a row's values, as
/// far as they are known.
pub(super) async fn write(
    client: &mut Client,
    job: &pb::Job,
    cases: &Cases,
    features: &[String],
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let artifacts = list(client, job).await?;
    let checks = job.spec.as_ref().map_or(&[][..], |s| &s.checks);
    for (index, check) in checks.iter().enumerate() {
        let name = check.spec.split(':').next().unwrap_or_default();
        let path = folder.join(format!("{index:02}-{name}.npz"));
        let own: Vec<&pb::Artifact> = artifacts.iter().filter(|a| a.check_index as usize == index).collect();
        npz(client, &own, cases, &path).await?;
    }
    for ((check, case, point), picture) in pictures_of(client, &artifacts, cases, features, PICTURES).await? {
        let name = check.map_or("x".to_owned(), |c| format!("{c:02}"));
        let (kind, bytes) = match picture {
            Picture::Png(png) => ("png", png),
            Picture::Svg(svg) => ("svg", svg.into_bytes()),
        };
        let path = folder.join(format!("{name}-case{case:05}-{point}.{kind}"));
        fs::write(&path, bytes).map_err(|e| failed(&path, e))?;
    }
    eprintln!("wrote {} files of arrays to {}", checks.len(), folder.display());
    Ok(())
}

/// One file: the ids of all cases, and each array with a row for each of them.
async fn npz(client: &mut Client, artifacts: &[&pb::Artifact], cases: &Cases, path: &Path) -> Result<()> {
    let file = BufWriter::new(File::create(path).map_err(|e| failed(path, e))?);
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let begin = |archive: &mut ZipWriter<_>, name: &str| {
        archive.start_file(format!("{name}.npy"), options).map_err(|e| failed(path, e))
    };
    begin(&mut archive, "case")?;
    let width = cases.values().map(|id| id.chars().count()).max().unwrap_or(1).max(1);
    let mut bytes = header(&format!("<U{width}"), &[cases.len()]);
    for id in cases.values() {
        let letters = id.chars().map(|c| c as u32).chain(std::iter::repeat(0)).take(width);
        bytes.extend(letters.flat_map(u32::to_le_bytes));
    }
    archive.write_all(&bytes).map_err(|e| failed(path, e))?;
    let mut arrays: BTreeMap<&str, Vec<&pb::Artifact>> = BTreeMap::new();
    artifacts.iter().for_each(|a| arrays.entry(&a.array).or_default().push(a));
    for (name, mut parts) in arrays {
        parts.sort_by_key(|a| a.first_case);
        begin(&mut archive, name)?;
        rows(client, &parts, cases, &mut archive).await.map_err(|e| e.under("artifacts"))?;
    }
    archive.finish().map_err(|e| failed(path, e))?;
    Ok(())
}

/// Writes an array part by part; cases without a part get zeros.
async fn rows(client: &mut Client, parts: &[&pb::Artifact], cases: &Cases, out: &mut impl Write) -> Result<()> {
    let written = |e: std::io::Error| Error::internal("writing an array", e);
    let (mut next, mut begun) = (0u64, false);
    let mut row = 0;
    for part in parts {
        let chunk = as_numpy(fetch(client, part).await?);
        let per_case = per_case(part);
        if !begun {
            let mut shape = vec![cases.len()];
            shape.extend((per_case > 1).then_some(per_case));
            shape.extend(&chunk.shape()[1..]);
            out.write_all(&header(kind(&chunk), &shape)).map_err(written)?;
            row = per_case * chunk.shape()[1..].iter().product::<usize>() * chunk.dtype().size();
            begun = true;
        }
        for _ in next..part.first_case {
            out.write_all(&vec![0; row]).map_err(written)?;
        }
        out.write_all(&chunk.to_bytes()).map_err(written)?;
        next = part.first_case + (chunk.shape()[0] / per_case) as u64;
    }
    for _ in next..cases.len() as u64 {
        out.write_all(&vec![0; row]).map_err(written)?;
    }
    Ok(())
}

/// Rows of an array that one case has.
fn per_case(artifact: &pb::Artifact) -> usize {
    usize::try_from(artifact.rows_per_case).unwrap_or(1).max(1)
}

/// Probe space: uint8 pictures as value / 255.
pub(super) fn as_numpy(tensor: Tensor) -> Tensor {
    if let Tensor::U8(a) = tensor { Tensor::F32(a.mapv(|v| f32::from(v) / 255.0)) } else { tensor }
}

/// numpy's word for a tensor's type.
pub(super) fn kind(tensor: &Tensor) -> &'static str {
    match tensor.dtype() {
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        _ => "<f4",
    }
}

/// The start of an `.npy` file (numpy's NEP 1, version 1).
pub(super) fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let lengths: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({lengths}), }}");
    // Ten bytes stand before the text; the data begin at a multiple of 64.
    let padded = (10 + text.len() + 1).div_ceil(64) * 64 - 10;
    text.extend(std::iter::repeat_n(' ', padded - text.len() - 1));
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat()
}

/// Pictures for a page: the first cases under every check.
pub(super) async fn pictures(
    client: &mut Client,
    job: &pb::Job,
    cases: &Cases,
    features: &[String],
) -> Result<Pictures> {
    let artifacts = list(client, job).await?;
    pictures_of(client, &artifacts, cases, features, ON_PAGE).await
}

async fn pictures_of(
    client: &mut Client,
    artifacts: &[pb::Artifact],
    cases: &Cases,
    features: &[String],
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
        let picture = over.or_else(|| attributed(&title, features, x, &row));
        pictures.extend(picture.map(|picture| ((Some(check), case, point), picture)));
    }
    Ok(pictures)
}

/// Bars of a row's attributions; `None` for what has more axes than one.
fn attributed(title: &str, features: &[String], x: &Tensor, attribution: &Tensor) -> Option<Picture> {
    let (own, values) = (x.to_f64(), attribution.to_f64());
    // An explanation of zeros stands for a case that has none.
    if x.shape().iter().filter(|length| **length > 1).count() > 1 || values.iter().all(|v| *v == 0.0) {
        return None;
    }
    let label = "adds to the score";
    let shown = Bars { title, label, names: features, own: &own, values: &values, intervals: &[], most: BARS };
    Some(Picture::Svg(bars(&shown)))
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
        let Some(Picture::Svg(svg)) = attributed("case 7", &["bmi".to_owned()], &x, &attribution) else {
            panic!("bars")
        };
        assert!(["case 7", ">bmi = 36.1<", ">x1 = 2<", ">+1<"].iter().all(|part| svg.contains(part)), "{svg}");
        assert!(attributed("", &[], &x, &tensor(&[2], &[0.0, 0.0])).is_none());
        assert!(attributed("", &[], &tensor(&[2, 2], &[1.0; 4]), &tensor(&[2, 2], &[1.0; 4])).is_none());
        assert!(attributed("", &[], &tensor(&[1, 2], &[1.0; 2]), &tensor(&[1, 2], &[1.0; 2])).is_some());
    }
}
