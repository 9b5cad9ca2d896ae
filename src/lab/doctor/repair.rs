//! Puts a data folder in order that nobody holds: what no record names is deleted, what is torn is set aside.

use std::fs;
use std::path::Path;

use super::{Sign, blobs, size};
use crate::error::{Error, Result};
use crate::lab::engines::files::hold;
use crate::lab::engines::sqlite::View;
use crate::lab::engines::{KEPT, digest as blob_digest};

/// Where torn blobs go, in the data folder.
const QUARANTINE: &str = "quarantine";

/// Every action as a sign. Where the records cannot be relied on, nothing is touched.
pub(super) fn signs(dir: &Path) -> Vec<Sign> {
    let mut done = Vec::new();
    if let Err(e) = repair(dir, &mut done) {
        done.push(Sign::fail("repair", e.to_string(), "what is not listed as done was left as it is"));
    } else if done.is_empty() {
        done.push(Sign::ok("repair", "there was nothing to do"));
    }
    done
}

fn repair(dir: &Path, done: &mut Vec<Sign>) -> Result<()> {
    if !dir.join("assay.db").exists() {
        return Err(Error::Precondition(format!("{} has no database that says what belongs to it", dir.display())));
    }
    let _lock = hold(dir)?;
    let view = View::open(dir)?;
    let (version, known) = view.version()?;
    if version > known {
        return Err(Error::Precondition(format!("the database has version {version}, this assay knows {known}")));
    }
    if let Some(damage) = view.damage()? {
        return Err(Error::DataLoss(format!("the database is damaged: {damage}")));
    }
    let wanted = blobs::wanted(&view)?;
    for (digest, bytes) in blobs::list(dir) {
        let path = blobs::path(dir, &digest);
        if !wanted.contains(&digest) {
            fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
            done.push(Sign::ok("repair", format!("deleted blob {digest}, {}: no record names it", size(bytes))));
        } else if blob_digest(&path).map_err(|e| failed(&path, &e))? != digest {
            let folder = dir.join(QUARANTINE);
            let aside = fs::create_dir_all(&folder).and_then(|()| fs::rename(&path, folder.join(&digest)));
            aside.map_err(|e| failed(&path, &e))?;
            done.push(Sign::ok("repair", format!("moved blob {digest} to {QUARANTINE}/: it is torn")));
        }
    }
    sweep(dir, done)
}

/// Deletes what processes that are gone had under way.
fn sweep(dir: &Path, done: &mut Vec<Sign>) -> Result<()> {
    for (folder, all) in [("staging", true), ("slots", true), ("partial", false), ("", false)] {
        for entry in fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            let stale = match folder {
                // What may be gone on with is kept as long as a server keeps it; a doctor's trial may be one of now.
                "" => name.starts_with("doctor-") && age.is_some_and(|age| age > KEPT),
                _ => all || age.is_some_and(|age| age > KEPT),
            };
            if stale {
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(|e| failed(&path, &e))?;
                let place = Path::new(folder).join(name);
                done.push(Sign::ok("repair", format!("deleted {}: left behind", place.display())));
            }
        }
    }
    Ok(())
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::internal(&format!("repairing {}", path.display()), e)
}
