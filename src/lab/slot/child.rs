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
    std::panic::set_hook(Box::new(|info| {
        // But a tensor without memory is no fault of the graph's, and ends the slot as Rust's own vectors do.
        if info.payload_as_str().is_some_and(|text| text.starts_with("failed to allocate Layout")) {
            eprintln!("memory allocation of a tensor failed");
            std::process::abort();
        }
    }));
    let (mut input, mut output) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    // The cage comes first: nothing of a stranger is read before it is closed.
    match read(&mut input)?.map(|frame| rmp_serde::from_slice::<Ask>(&frame)) {
        Some(Ok(Ask::Enter(cage))) => match cage.close() {
            Ok(walls) => write(&mut output, &Tell::Entered(walls))?,
            Err(e) => return write(&mut output, &Tell::Failed(e)),
        },
        Some(_) => return Err(io::Error::other("the first order is to enter the cage")),
        None => return Ok(()),
    }
    let mut cache = Cache::default();
    while let Some(frame) = read(&mut input)? {
        let answer = match rmp_serde::from_slice::<Ask>(&frame) {
            Ok(ask) => answer(&mut cache, ask).unwrap_or_else(Tell::Failed),
            Err(e) => Tell::Failed(Error::internal("slot: reading an order", e)),
        };
        write(&mut output, &answer)?;
    }
    Ok(())
}

fn write(output: &mut impl Write, answer: &Tell) -> io::Result<()> {
    let frame = rmp_serde::to_vec_named(answer).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(&frame)?;
    output.flush()
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
        Ask::Enter(_) => Err(Error::internal("slot", "it is in its cage already")),
        Ask::Inspect { model, signature } => cache.inspect(model, &signature).map(Box::new).map(Tell::Inspected),
        Ask::Run(work) => cache.run(&work).map(Tell::Evidence),
    }
}
