//! The slot's way to the pool: orders come in and answers go out, and in the middle of an order a question goes out and its
//! answer comes in.

use std::io::{self, BufReader, BufWriter, Read, Stdin, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Ask, FRAME_MAX, Tell};
use crate::engine::{Oracle, Question};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Both ends, stdin and stdout. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pipe(Arc<Mutex<Ends>>);

struct Ends {
    input: BufReader<Stdin>,
    output: BufWriter<Stdout>,
}

impl Pipe {
    pub(super) fn new() -> Self {
        let ends = Ends { input: BufReader::new(io::stdin()), output: BufWriter::new(io::stdout()) };
        Self(Arc::new(Mutex::new(ends)))
    }

    /// The next order; `None` when the pool has gone.
    pub(super) fn read(&self) -> io::Result<Option<Result<Ask>>> {
        let input = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).input;
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
        Ok(Some(rmp_serde::from_slice(&frame).map_err(|e| Error::internal("slot: reading an order", e))))
    }

    pub(super) fn write(&self, answer: &Tell) -> io::Result<()> {
        let output = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).output;
        let frame = rmp_serde::to_vec_named(answer).map_err(io::Error::other)?;
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        output.write_all(&length.to_le_bytes())?;
        output.write_all(&frame)?;
        output.flush()
    }
}

impl Oracle for Pipe {
    fn ask(&self, question: Question) -> Result<Tensor> {
        let broken = |e: &dyn std::fmt::Display| Error::internal("slot: asking a model elsewhere", e);
        self.write(&Tell::Ask(question)).map_err(|e| broken(&e))?;
        match self.read().map_err(|e| broken(&e))? {
            Some(Ok(Ask::Answer(answer))) => answer,
            _ => Err(broken(&"an answer was expected")),
        }
    }
}
