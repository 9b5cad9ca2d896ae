//! The slot's own side: reads an order from stdin, answers on stdout, until stdin ends.

use std::io;

use super::cache::Cache;
use super::pipe::Pipe;
use super::{Ask, Tell};
use crate::error::{Error, Result};

/// Serves orders until stdin ends, which is when the pool has gone.
pub fn main() -> io::Result<()> {
    // A slot whose server was killed must not go on computing for nobody.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // Panics inside tract are caught and become errors; their text is of no use to anyone else.
    std::panic::set_hook(Box::new(|info| {
        // But a tensor without memory is no fault of the graph's, and ends the slot as Rust's own vectors do.
        if info.payload_as_str().is_some_and(|text| text.starts_with("failed to allocate Layout")) {
            eprintln!("memory allocation of a tensor failed");
            std::process::abort();
        }
    }));
    let pipe = Pipe::new();
    // The cage comes first: nothing of a stranger is read before it is closed.
    match pipe.read()? {
        Some(Ok(Ask::Enter(cage))) => match cage.close() {
            Ok(walls) => pipe.write(&Tell::Entered(walls))?,
            Err(e) => return pipe.write(&Tell::Failed(e)),
        },
        Some(_) => return Err(io::Error::other("the first order is to enter the cage")),
        None => return Ok(()),
    }
    let mut cache = Cache::new(pipe.clone());
    while let Some(ask) = pipe.read()? {
        pipe.write(&ask.and_then(|ask| answer(&mut cache, ask)).unwrap_or_else(Tell::Failed))?;
    }
    Ok(())
}

fn answer(cache: &mut Cache, ask: Ask) -> Result<Tell> {
    match ask {
        Ask::Enter(_) => Err(Error::internal("slot", "it is in its cage already")),
        Ask::Answer(_) => Err(Error::internal("slot", "it has asked nothing")),
        Ask::Inspect { model, remote, signature } => {
            cache.inspect(model, remote, &signature).map(Box::new).map(Tell::Inspected)
        }
        Ask::Run(work) => cache.run(&work).map(Tell::Evidence),
        Ask::Infer { model, signature, inputs } => cache.infer(model, signature, &inputs).map(Tell::Outputs),
    }
}
