//! Whether a slot starts and answers.

use std::time::{Duration, Instant};

use super::Sign;
use crate::lab::slot;

/// A tiny network needs some milliseconds; a machine under load more.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn sign(onnx: &[u8], signature: &str) -> Sign {
    let began = Instant::now();
    match ask(onnx, signature).await {
        Ok(()) => Sign::ok("slot", format!("read and ran a model in {} ms", began.elapsed().as_millis())),
        Err(why) => {
            Sign::fail("slot", why, "no job can run: see whether this program may start itself (noexec, limits)")
        }
    }
}

async fn ask(onnx: &[u8], signature: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("a folder for its model: {e}"))?;
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, onnx).map_err(|e| format!("writing its model: {e}"))?;
    slot::inspect(model, signature, PATIENCE).await.map(|_| ()).map_err(|e| e.to_string())
}
