//! The slot's own side: reads an order from stdin, answers on stdout, until stdin ends.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use super::{Ask, FRAME_MAX, Tell, Work};
use crate::engine::{Differentiated, Graph, Layer, Model, Wish};
use crate::error::{Error, Result};
use crate::lab::records::Inspection;
use crate::lab::suite_file;
use crate::suite::{self, Check, Chunk, Evidence, Subject, Survey};

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
    /// The model's gradient, from the first check on that wants it, and the inner tensor that it is taken to as well.
    gradient: Option<(Option<Layer>, Differentiated)>,
    randomised: Option<Randomised>,
    chunk: Option<(PathBuf, std::ops::Range<u64>, Chunk)>,
    background: Option<Background>,
    survey: Option<((PathBuf, u64), Survey)>,
}

/// The model with shuffled weights under a seed and its gradient; nothing where it does not run.
struct Randomised {
    seed: u64,
    /// Whether there is a gradient, and the inner tensor that it is taken to as well.
    gradient: Option<Option<Layer>>,
    pair: Option<(Model, Option<Differentiated>)>,
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

    /// Forgets what belongs to the model at hand.
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn inspect(&mut self, path: PathBuf, signature: &str) -> Result<Inspection> {
        let graph = Graph::read(&bytes(&path)?)?;
        let model = Model::of(&graph, signature)?;
        let inspection = Inspection::new(&graph, &model)?;
        self.forget();
        self.model = Some((path, model.signature().to_yaml()?, model));
        Ok(inspection)
    }

    fn run(&mut self, work: &Work) -> Result<Evidence> {
        let same =
            |(path, signature, _): &(PathBuf, String, Model)| *path == work.model && *signature == work.signature;
        if !self.model.as_ref().is_some_and(same) {
            self.forget();
            let model = Model::load(&bytes(&work.model)?, &work.signature)?;
            self.model = Some((work.model.clone(), work.signature.clone(), model));
        }
        let Some((_, _, model)) = &self.model else { return Err(Error::internal("slot", "no model")) };
        let check = work.check.read()?;
        if check.wants_gradient() && self.gradient.as_ref().is_none_or(|(layer, _)| layer.as_ref() != check.layer()) {
            let graph = Graph::read(&bytes(&work.model)?)?;
            let gradient = differentiated(&graph, model, check.layer())?;
            self.gradient = Some((check.layer().cloned(), gradient));
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
        let randomised =
            if check.wants_randomised() { Randomised::of(&mut self.randomised, work, model, &check)? } else { None };
        let background = self.background.as_ref().filter(|_| work.background.is_some());
        let background = background.map_or(&[][..], |(_, rows)| rows);
        if let Some(cases) = work.survey
            && self.survey.as_ref().is_none_or(|((suite, n), _)| *suite != work.suite || *n != cases)
        {
            self.survey = Some(((work.suite.clone(), cases), survey(model, &work.suite, cases)?));
        }
        let survey = self.survey.as_ref().filter(|_| work.survey.is_some()).map(|(_, survey)| survey);
        let gradient = self.gradient.as_ref().filter(|_| check.wants_gradient()).map(|(_, gradient)| gradient);
        let subject = Subject { model, gradient, background, survey, randomised };
        suite::run(&subject, chunk, &check, work.position, work.seed, work.keep)
    }
}

/// A model and its gradient.
type Pair<'a> = (&'a Model, Option<&'a Differentiated>);

impl Randomised {
    /// The pair for a check, from the `last` one if that serves.
    fn of<'a>(last: &'a mut Option<Self>, work: &Work, model: &Model, check: &Check) -> Result<Option<Pair<'a>>> {
        let gradient = check.wants_gradient();
        let same = |known: &Self| {
            known.seed == work.seed && (!gradient || known.gradient.as_ref() == Some(&check.layer().cloned()))
        };
        let known = match last.take().filter(same) {
            Some(known) => known,
            None => {
                let graph = Graph::read(&bytes(&work.model)?)?.randomised(work.seed);
                let gradient = gradient.then(|| check.layer().cloned());
                Self { seed: work.seed, pair: Self::load(&graph, work, model, gradient.as_ref()).ok(), gradient }
            }
        };
        let pair = last.insert(known).pair.as_ref();
        Ok(pair.map(|(model, own)| (model, own.as_ref().filter(|_| gradient))))
    }

    fn load(
        graph: &Graph,
        work: &Work,
        model: &Model,
        gradient: Option<&Option<Layer>>,
    ) -> Result<(Model, Option<Differentiated>)> {
        let of = |layer: &Option<Layer>| differentiated(graph, model, layer.as_ref());
        Ok((Model::of(graph, &work.signature)?, gradient.map(of).transpose()?))
    }
}

/// The gradient of a graph that has the model's signature, to an inner tensor as well if there is one.
fn differentiated(graph: &Graph, model: &Model, layer: Option<&Layer>) -> Result<Differentiated> {
    let wish = Wish { batch: model.batch(), ..Wish::default() }.beside(graph, model.signature(), layer)?;
    Differentiated::of(graph, model.signature(), &wish)
}

fn bytes(path: &std::path::Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::internal("slot: reading the model", e))
}

/// Cases that are read at once.
const AT_ONCE: u64 = 4096;

/// All cases of a job, as audits see them.
fn survey(model: &Model, suite: &std::path::Path, cases: u64) -> Result<Survey> {
    let mut survey = Survey::default();
    for first in (0..cases).step_by(usize::try_from(AT_ONCE).unwrap_or(usize::MAX)) {
        let some = suite_file::read(suite, first..(first + AT_ONCE).min(cases))?;
        survey.add(model, &some, first);
    }
    Ok(survey)
}
