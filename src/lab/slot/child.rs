//! The slot's own side: reads an order from stdin, answers on stdout, until stdin ends.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use super::{Ask, FRAME_MAX, Tell, Work};
use crate::engine::{Differentiated, Graph, Model, Wish};
use crate::error::{Error, Result};
use crate::lab::records::Inspection;
use crate::lab::suite_file;
use crate::suite::{self, Chunk, Evidence, Subject};

/// Serves orders until stdin ends, which is when the pool has gone.
pub fn main() -> io::Result<()> {
    // A slot whose server was killed must not go on computing for nobody.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // Panics inside tract are caught and become errors; their text is of no use to anyone else.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut input, mut output) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    let mut slot = Cache::default();
    while let Some(frame) = read(&mut input)? {
        let answer = match rmp_serde::from_slice::<Ask>(&frame) {
            Ok(ask) => slot.answer(ask).unwrap_or_else(Tell::Failed),
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

/// What the last shards needed, since the next ones mostly need the same.
#[derive(Default)]
struct Cache {
    model: Option<(PathBuf, String, Model)>,
    /// The model's gradient, from the first check on that wants it.
    gradient: Option<Differentiated>,
    randomised: Option<Randomised>,
    chunk: Option<(PathBuf, std::ops::Range<u64>, Chunk)>,
    background: Option<Background>,
}

/// The model with shuffled weights under a seed, and its gradient from the first check on that wants it; nothing where it
/// does not run.
struct Randomised {
    seed: u64,
    model: Option<(Model, Option<Differentiated>)>,
}

/// Reference rows, and the file and the number of rows that they were read from.
type Background = ((PathBuf, u64), Vec<Vec<f32>>);

impl Cache {
    fn answer(&mut self, ask: Ask) -> Result<Tell> {
        match ask {
            Ask::Inspect { model, signature } => self.inspect(model, &signature).map(Box::new).map(Tell::Inspected),
            Ask::Run(work) => self.run(&work).map(Tell::Evidence),
        }
    }

    fn inspect(&mut self, path: PathBuf, signature: &str) -> Result<Inspection> {
        let graph = Graph::read(&bytes(&path)?)?;
        let model = Model::of(&graph, signature)?;
        let inspection = Inspection::new(&graph, &model)?;
        (self.chunk, self.gradient, self.randomised, self.background) = (None, None, None, None);
        self.model = Some((path, model.signature().to_yaml()?, model));
        Ok(inspection)
    }

    fn run(&mut self, work: &Work) -> Result<Evidence> {
        let same =
            |(path, signature, _): &(PathBuf, String, Model)| *path == work.model && *signature == work.signature;
        if !self.model.as_ref().is_some_and(same) {
            (self.chunk, self.gradient, self.randomised, self.background) = (None, None, None, None);
            let model = Model::load(&bytes(&work.model)?, &work.signature)?;
            self.model = Some((work.model.clone(), work.signature.clone(), model));
        }
        let Some((_, _, model)) = &self.model else { return Err(Error::internal("slot", "no model")) };
        let check = work.check.read()?;
        if check.wants_gradient() && self.gradient.is_none() {
            let graph = Graph::read(&bytes(&work.model)?)?;
            let wish = Wish { batch: model.batch(), ..Wish::default() };
            self.gradient = Some(Differentiated::of(&graph, model.signature(), &wish)?);
        }
        let same =
            |(path, cases, _): &(PathBuf, std::ops::Range<u64>, Chunk)| *path == work.suite && *cases == work.cases;
        if !self.chunk.as_ref().is_some_and(same) {
            let cases = suite_file::read(&work.suite, work.cases.clone())?;
            let chunk = Chunk::new(model, &cases, work.cases.start)?;
            self.chunk = Some((work.suite.clone(), work.cases.clone(), chunk));
        }
        let Some((_, _, chunk)) = &self.chunk else { return Err(Error::internal("slot", "no chunk")) };
        if let Some(wanted) = &work.background
            && self.background.as_ref().is_none_or(|(known, _)| known != wanted)
        {
            let rows = suite::background(model, &suite_file::read(&wanted.0, 0..wanted.1)?)?;
            self.background = Some((wanted.clone(), rows));
        }
        let randomised = match check.wants_randomised() {
            true => Randomised::of(&mut self.randomised, work, model, check.wants_gradient())?,
            false => None,
        };
        let background = self.background.as_ref().filter(|_| work.background.is_some());
        let background = background.map_or(&[][..], |(_, rows)| rows);
        let gradient = self.gradient.as_ref().filter(|_| check.wants_gradient());
        let subject = Subject { model, gradient, background, randomised };
        suite::run(&subject, chunk, &check, work.position, work.seed, work.keep)
    }
}

/// A model and its gradient.
type Pair<'a> = (&'a Model, Option<&'a Differentiated>);

impl Randomised {
    /// The pair for an order, from the `last` one if that serves.
    fn of<'a>(last: &'a mut Option<Self>, work: &Work, model: &Model, gradient: bool) -> Result<Option<Pair<'a>>> {
        let serves = |known: &Self| known.seed == work.seed && (!gradient || known.has_gradient());
        let known = match last.take().filter(serves) {
            Some(known) => known,
            None => {
                let graph = Graph::read(&bytes(&work.model)?)?.randomised(work.seed);
                Self { seed: work.seed, model: Self::load(&graph, work, model, gradient).ok() }
            }
        };
        let known = last.insert(known).model.as_ref();
        Ok(known.map(|(model, own)| (model, own.as_ref().filter(|_| gradient))))
    }

    fn load(graph: &Graph, work: &Work, model: &Model, gradient: bool) -> Result<(Model, Option<Differentiated>)> {
        let wish = Wish { batch: model.batch(), ..Wish::default() };
        let gradient = gradient.then(|| Differentiated::of(graph, model.signature(), &wish)).transpose()?;
        Ok((Model::of(graph, &work.signature)?, gradient))
    }

    /// Whether it has one, or does not run at all.
    fn has_gradient(&self) -> bool {
        self.model.as_ref().is_none_or(|(_, gradient)| gradient.is_some())
    }
}

fn bytes(path: &std::path::Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::internal("slot: reading the model", e))
}
