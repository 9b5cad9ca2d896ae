//! Arrays as `.npz` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::artifacts::{failed, fetch};
use super::client::Client;
use super::run::Cases;
use crate::api::pb;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// An array of a report: text, or numbers.
enum Column {
    Names(Vec<String>),
    Numbers(Vec<f64>),
}

/// What an audit reports, as arrays: `feature` with each of its metrics, and of curve `i` the `grid_i` (of a pair
/// `grid_i_0` and `grid_i_1`), `mean_i`, `low_i`, `high_i`.
fn columns(entry: &pb::CheckReport) -> Vec<(String, Column)> {
    let own: Vec<&pb::Metric> = entry.metrics.iter().filter(|m| m.slice.starts_with("feature=")).collect();
    let Some(first) = own.first() else { return Vec::new() };
    let names = own.iter().map(|m| m.slice["feature=".len()..].to_owned()).collect();
    let numbers = |of: fn(&pb::Metric) -> f64| Column::Numbers(own.iter().map(|m| of(m)).collect());
    let mut columns = vec![
        ("feature".to_owned(), Column::Names(names)),
        (first.name.clone(), numbers(|m| m.value)),
        (format!("{}_low", first.name), numbers(|m| m.low)),
        (format!("{}_high", first.name), numbers(|m| m.high)),
    ];
    for (i, curve) in entry.curves.iter().enumerate() {
        for (axis, grid) in curve.axes.iter().enumerate() {
            let name = if curve.axes.len() == 1 { format!("grid_{i}") } else { format!("grid_{i}_{axis}") };
            columns.push((name, Column::Numbers(grid.values.clone())));
        }
        for (name, values) in [("mean", &curve.mean), ("low", &curve.low), ("high", &curve.high)] {
            columns.push((format!("{name}_{i}"), Column::Numbers(values.clone())));
        }
    }
    columns
}

/// An array of text, as numpy keeps it: four bytes a letter, all of one width.
fn names<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Vec<u8> {
    let width = names.clone().map(|name| name.chars().count()).max().unwrap_or(1).max(1);
    let mut bytes = header(&format!("<U{width}"), &[names.clone().count()]);
    for name in names {
        let letters = name.chars().map(|c| c as u32).chain(std::iter::repeat(0)).take(width);
        bytes.extend(letters.flat_map(u32::to_le_bytes));
    }
    bytes
}

/// One file: the ids of all cases, and each array with a row for each of them.
pub(super) async fn npz(
    client: &mut Client,
    artifacts: &[&pb::Artifact],
    cases: &Cases,
    entry: Option<&pb::CheckReport>,
    path: &Path,
) -> Result<()> {
    let file = BufWriter::new(File::create(path).map_err(|e| failed(path, e))?);
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let begin = |archive: &mut ZipWriter<_>, name: &str| {
        archive.start_file(format!("{name}.npy"), options).map_err(|e| failed(path, e))
    };
    begin(&mut archive, "case")?;
    archive.write_all(&names(cases.values())).map_err(|e| failed(path, e))?;
    for (name, column) in entry.map_or_else(Vec::new, columns) {
        begin(&mut archive, &name)?;
        let bytes = match &column {
            Column::Names(text) => names(text.iter()),
            Column::Numbers(numbers) => {
                let numbers_bytes = numbers.iter().flat_map(|v| v.to_le_bytes());
                header("<f8", &[numbers.len()]).into_iter().chain(numbers_bytes).collect()
            }
        };
        archive.write_all(&bytes).map_err(|e| failed(path, e))?;
    }
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
pub(super) fn per_case(artifact: &pb::Artifact) -> usize {
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
