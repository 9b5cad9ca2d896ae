//! Blobs against their digests and against the records that name them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Sign, size};
use crate::error::Result;
use crate::lab::engines::digest as blob_digest;
use crate::lab::engines::sqlite::View;
use crate::lab::records::{Line, ModelRecord, SuiteRecord, decode};

/// Digests that are named in the report; more are only counted.
const NAMED: usize = 3;

/// Blobs by digest with their sizes, as the folder has them.
pub(super) fn list(dir: &Path) -> BTreeMap<String, u64> {
    let folders = fs::read_dir(dir.join("blobs")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.filter_map(|file| Some((file.file_name().into_string().ok()?, file.metadata().ok()?.len()))).collect()
}

/// Missing, torn and orphaned blobs. `in_use` says that a server may be in the middle of an upload.
pub(super) fn signs(dir: &Path, view: &View, files: BTreeMap<String, u64>, in_use: bool) -> Vec<Sign> {
    let wanted = match wanted(view) {
        Ok(wanted) => wanted,
        Err(e) => return vec![Sign::fail("records", e.to_string(), "restore the folder from a copy")],
    };
    let path = |digest: &str| path(dir, digest);
    let missing: Vec<&String> = wanted.iter().filter(|d| !files.contains_key(*d) && !path(d).exists()).collect();
    // A blob that a server deletes meanwhile is not torn.
    let torn = |digest: &&String| blob_digest(&path(digest)).map_or(path(digest).exists(), |found| found != **digest);
    let torn: Vec<&String> = files.keys().filter(torn).collect();
    let orphans: Vec<&String> = files.keys().filter(|digest| !wanted.contains(*digest)).collect();
    let lost: u64 = orphans.iter().map(|digest| files[*digest]).sum();
    let mut signs = vec![Sign::ok("blobs", format!("{} files, {}", files.len(), size(files.values().sum())))];
    if !missing.is_empty() {
        let found = format!("{} named by a record and not there: {}", missing.len(), some(&missing));
        signs.push(Sign::fail("missing", found, "jobs that need them fail; upload their models and suites again"));
    }
    if !torn.is_empty() {
        let found = format!("{} with other bytes than their digest: {}", torn.len(), some(&torn));
        signs.push(Sign::fail(
            "torn",
            found,
            "upload what they belong to again, or set them aside with --repair; see to the disk",
        ));
    }
    if !orphans.is_empty() {
        let found = format!("{}, {}, named by no record: {}", orphans.len(), size(lost), some(&orphans));
        let advice = if in_use {
            "they may be uploads under way; look again"
        } else {
            "they only take space; --repair deletes them"
        };
        signs.push(Sign::warn("orphans", found, advice));
    }
    signs
}

/// Where a blob lies.
pub(super) fn path(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs").join(digest.get(..2).unwrap_or_default()).join(digest)
}

/// Digests that records name.
pub(super) fn wanted(view: &View) -> Result<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    view.records("model/", |bytes| {
        wanted.insert(decode::<ModelRecord>(bytes)?.sha256);
        Ok(())
    })?;
    view.records("suite/", |bytes| {
        wanted.insert(decode::<SuiteRecord>(bytes)?.sha256);
        Ok(())
    })?;
    view.lines(|bytes| {
        if let Line::Shard(line) = decode(bytes)? {
            wanted.extend(line.artifacts.into_iter().map(|artifact| artifact.digest));
        }
        Ok(())
    })?;
    Ok(wanted)
}

/// The first few, in short.
fn some(digests: &[&String]) -> String {
    let more = if digests.len() > NAMED { ", ..." } else { "" };
    let named: Vec<&str> = digests.iter().take(NAMED).map(|d| d.get(..12).unwrap_or(d)).collect();
    format!("{}{more}", named.join(", "))
}
