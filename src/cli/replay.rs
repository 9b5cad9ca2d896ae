//! `assay job replay`: one case of a job again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::arrays::{as_numpy, header, kind};
use super::artifacts::failed;
use super::client::{Client, answer};
use super::{Ended, output};
use crate::api::{pb, tensor_from_bytes};
use crate::error::{Error, Result};

/// Judges the case again, prints its verdicts, and says whether they are the job's to the bit.
pub(super) async fn replay(server: &str, request: pb::ReplayCaseRequest, folder: Option<&Path>) -> Result<Ended> {
    let mut client = Client::connect(Some(server), 0).await?;
    let name = request.case_id.clone();
    let replayed = answer(client.jobs.replay_case(request).await)?;
    output::verdicts(replayed.verdicts)?;
    if let Some(folder) = folder {
        write(&replayed.arrays, &name, folder)?;
    }
    if replayed.identical {
        eprintln!("identical to the job's verdicts");
        return Ok(Ended::Passed);
    }
    eprintln!("NOT the job's verdicts: another version or machine type judged then, or the model is not deterministic");
    Ok(Ended::Incomplete)
}

/// `DIR/replay.npz`: the case's id and each array, rows by point.
fn write(arrays: &BTreeMap<String, pb::Tensor>, case: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let path = folder.join("replay.npz");
    let mut archive = ZipWriter::new(BufWriter::new(File::create(&path).map_err(|e| failed(&path, e))?));
    let mut add = |name: &str, head: Vec<u8>, body: Vec<u8>| -> Result<()> {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).map_err(|e| failed(&path, e))?;
        archive.write_all(&[head, body].concat()).map_err(|e| failed(&path, e))
    };
    let letters: Vec<u8> = case.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    add("case", header(&format!("<U{}", (letters.len() / 4).max(1)), &[1]), letters)?;
    for (name, tensor) in arrays {
        let array = as_numpy(tensor_from_bytes(tensor.data_type, &tensor.shape, &tensor.data)?);
        add(name, header(kind(&array), array.shape()), array.to_bytes())?;
    }
    archive.finish().map_err(|e| Error::internal("writing the arrays", e))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
