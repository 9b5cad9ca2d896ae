//! The slot's own side: reads an order from stdin, answers on stdout, until stdin ends.

use std::io::{self, BufReader, BufWriter, Read, Write};

use super::cache::Cache;
use super::{Ask, FRAME_MAX, Tell};
use crate::error::{Error, Result};

/// Serves orders until stdin ends, which is when the pool has gone.
pub fn main() -> io::Result<()> {
    // A slot whose server was killed must not go on computing for nobody.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // Panics inside tract are caught and become errors; their text is of no use to anyone else.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut input, mut output) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    let mut cache = Cache::default();
    while let Some(frame) = read(&mut input)? {
        let answer = match rmp_serde::from_slice::<Ask>(&frame) {
            Ok(ask) => answer(&mut cache, ask).unwrap_or_else(Tell::Failed),
            Err(e) => Tell::Failed(Error::internal("slot: reading an order", e)),
        };
        let frame = rmp_serde::to_vec_named(&answer).map_err(io::Error::other)?;
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        output.write_all(&length.to_le_bytes())?;
        output.write_all(&frame)?;
        output.flush()?;
    }
    Ok(())
}

fn read(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_MAX {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn answer(cache: &mut Cache, ask: Ask) -> Result<Tell> {
    match ask {
        Ask::Inspect { model, signature } => cache.inspect(model, &signature).map(Box::new).map(Tell::Inspected),
        Ask::Run(work) => cache.run(&work).map(Tell::Evidence),
    }
}
