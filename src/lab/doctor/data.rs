//! The folder of the engine `sqlite:DIR`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::{Sign, blobs, size};
use crate::lab::engines;
use crate::lab::engines::sqlite::View;

/// Free bytes below which uploads will soon be refused.
const FREE_MIN: u64 = 1 << 30;

/// What is written to see how fast the disk takes it.
const TRIAL: usize = 4 << 20;

pub(super) fn signs(dir: &Path) -> Vec<Sign> {
    if !dir.exists() {
        return vec![Sign::ok("data", format!("{} is not there yet; `assay serve` makes it", dir.display()))];
    }
    let holder = holder(dir);
    let mut signs = vec![whose(dir, holder), space(dir), trial(dir)];
    if !dir.join("assay.db").exists() {
        signs.push(Sign::ok("database", "is not there yet; `assay serve` makes it"));
        return signs;
    }
    // The files first: what a server publishes from now on can only be missing here, not seem left over.
    let files = blobs::list(dir);
    match View::open(dir) {
        Err(e) => signs.push(Sign::fail("database", e.to_string(), "restore the folder from a copy")),
        Ok(view) => {
            signs.push(database(&view));
            signs.extend(blobs::signs(dir, &view, files, holder.is_some()));
        }
    }
    signs
}

fn whose(dir: &Path, holder: Option<u32>) -> Sign {
    let use_of = holder.map_or("not in use".to_owned(), |process| format!("in use by process {process}"));
    Sign::ok("data", format!("{}, {use_of}", dir.display()))
}

/// The process that holds the folder, from the kernel's list: trying the lock would be in the way of a server's start.
fn holder(dir: &Path) -> Option<u32> {
    let inode = fs::metadata(dir.join("lock")).ok()?.ino();
    let list = fs::read_to_string("/proc/locks").ok()?;
    list.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 708 00:2c:1234 0 EOF`: process, then device and inode.
        let words: Vec<&str> = line.split_whitespace().collect();
        let same = words.get(5)?.rsplit(':').next()?.parse() == Ok(inode);
        (same && words.get(1) == Some(&"FLOCK")).then(|| words[4].parse().ok())?
    })
}

fn space(dir: &Path) -> Sign {
    match engines::free(dir) {
        Err(e) => Sign::warn("disk space", format!("unknown: {e}"), ""),
        Ok(free @ 0..FREE_MIN) => {
            Sign::warn("disk space", format!("{} free", size(free)), "delete jobs, or give it more")
        }
        Ok(free) => Sign::ok("disk space", format!("{} free", size(free))),
    }
}

/// Writes a file in a folder of its own, syncs it, and removes both.
fn trial(dir: &Path) -> Sign {
    let write = || -> std::io::Result<u128> {
        let folder = tempfile::Builder::new().prefix("doctor-").tempdir_in(dir)?;
        let mut file = fs::File::create(folder.path().join("trial"))?;
        let began = Instant::now();
        file.write_all(&vec![0x5a; TRIAL])?;
        file.sync_all()?;
        let took = began.elapsed().as_millis();
        folder.close()?;
        Ok(took)
    };
    match write() {
        Ok(took) => Sign::ok("writing", format!("{} written and synced in {took} ms", size(TRIAL as u64))),
        Err(e) => Sign::fail("writing", e.to_string(), "the service cannot store anything; see who owns the folder"),
    }
}

fn database(view: &View) -> Sign {
    match view.version().and_then(|version| Ok((version, view.damage()?))) {
        Err(e) => Sign::fail("database", e.to_string(), "restore the folder from a copy"),
        Ok((_, Some(damage))) => Sign::fail("database", damage, "restore the folder from a copy"),
        Ok(((version, known), None)) if version > known => {
            let found = format!("schema version {version}, this assay knows {known}");
            Sign::fail("database", found, "use the newer assay that wrote it")
        }
        Ok(((version, known), None)) if version < known => {
            let found = format!("sound, schema version {version}");
            Sign::warn("database", found, &format!("the next start brings it to version {known}"))
        }
        Ok(((version, _), None)) => Sign::ok("database", format!("sound, schema version {version}")),
    }
}
