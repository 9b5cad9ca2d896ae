//! Whether a slot starts and answers.

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
            vec![Sign::ok("slot", format!("read and ran a model in {} ms", began.elapsed().as_millis())), cage(&walls)]
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
    let inspected = slots.inspect(&model, signature, PATIENCE).await;
    inspected.map(|(_, slot)| slot.walls().to_vec()).map_err(|e| e.to_string())
}

/// Which walls stood around the slot.
fn cage(walls: &[Standing]) -> Sign {
    let walls = walls.iter().filter(|wall| wall.wall != Wall::Cgroup);
    let (standing, missing): (Vec<_>, Vec<_>) = walls.partition(|wall| wall.missing.is_empty());
    let names: Vec<&str> = standing.iter().map(|wall| wall.wall.name()).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let missing: Vec<String> = missing.iter().map(|wall| format!("{} ({})", wall.wall.name(), wall.missing)).collect();
    if missing.is_empty() {
        return Sign::ok("cage", format!("slots are shut in by {names}"));
    }
    Sign::warn("cage", format!("slots are shut in by {names}; not by {}", missing.join(", ")), UNCAGED)
}
