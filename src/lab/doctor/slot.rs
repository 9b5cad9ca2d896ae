//! Whether a slot starts and answers.

use std::iter;
use std::time::{Duration, Instant};

use super::Sign;
use super::machine::UNCAGED;
use crate::lab::Limits;
use crate::lab::slot::{Slots, Standing, Wall};

/// A tiny network needs some milliseconds; a machine under load more.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn signs(onnx: &[u8], signature: &str) -> Vec<Sign> {
    let began = Instant::now();
    match ask(onnx, signature).await {
        Ok(walls) => {
            let slot = Sign::ok("slot", format!("read and ran a model in {} ms", began.elapsed().as_millis()));
            iter::once(slot).chain(walls.iter().filter_map(wall)).collect()
        }
        Err(why) => {
            vec![Sign::fail("slot", why, "no job can run: see whether this program may start itself (noexec, limits)")]
        }
    }
}

async fn ask(onnx: &[u8], signature: &str) -> Result<Vec<Standing>, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("a folder for its model: {e}"))?;
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, onnx).map_err(|e| format!("writing its model: {e}"))?;
    // Doctor changes nothing, so it moves no process into another cgroup.
    let slots = Slots {
        scratch: folder.path().to_owned(),
        memory: Limits::default().slot_memory_bytes,
        require: Vec::new(),
        groups: Err("the service puts it up".to_owned()),
    };
    let inspected = slots.inspect(&model, None, signature, PATIENCE).await;
    inspected.map(|(_, slot)| slot.walls().to_vec()).map_err(|e| e.to_string())
}

/// A wall as the slot found it; the service alone puts a cgroup up.
fn wall(wall: &Standing) -> Option<Sign> {
    let name = wall.wall.name();
    match wall.missing.as_str() {
        _ if wall.wall == Wall::Cgroup => None,
        "" => Some(Sign::ok(name, "stands around slots")),
        missing => Some(Sign::warn(name, missing, UNCAGED)),
    }
}
