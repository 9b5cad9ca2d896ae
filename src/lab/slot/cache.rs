//! What a slot keeps from one order to the next, which mostly needs the same.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Work;
use super::pipe::Pipe;
use crate::engine::{Differentiated, Graph, Layer, Model, Wish};
use crate::error::{Error, Result};
use crate::lab::records::Inspection;
use crate::lab::remote::Description;
use crate::lab::suite_file;
use crate::suite::{self, Chunk, Evidence, Subject, Survey};
use crate::tensor::{Tensor, Tensors};

/// Values by what they were made from: the last few.
struct Kept<K, V> {
    most: usize,
    values: Vec<(K, V)>,
}

impl<K: PartialEq, V> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self { most, values: Vec::new() }
    }

    /// The value of a key, made if it is not there.
    fn of(&mut self, key: K, make: impl FnOnce(&K) -> Result<V>) -> Result<&V> {
        let at = match self.values.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None => {
                let value = make(&key)?;
                if self.values.len() == self.most {
                    self.values.remove(0);
                }
                self.values.push((key, value));
                self.values.len() - 1
            }
        };
        Ok(&self.values[at].1)
    }
}

/// A file, and how many of its first cases are read.
type First = (PathBuf, u64);

/// Gradients that are kept, each of another inner tensor beside the input: checks of a job take turns.
const GRADIENTS: usize = 3;

/// A model, and its gradient if that is wanted.
type Pair = (Model, Option<Differentiated>);

/// A model, and what was made with it.
struct Loaded {
    path: PathBuf,
    signature: String,
    model: Model,
    gradients: Kept<Option<Layer>, Differentiated>,
    /// With shuffled weights: by seed, and by the gradient's inner tensor if there is a gradient. Nothing where that model
    /// does not run.
    randomised: Kept<(u64, Option<Option<Layer>>), Option<Pair>>,
    chunk: Kept<(PathBuf, Range<u64>), Chunk>,
    background: Kept<First, Vec<Vec<f32>>>,
    survey: Kept<First, Survey>,
}

impl Loaded {
    fn new(path: PathBuf, signature: String, model: Model) -> Self {
        Self {
            path,
            signature,
            model,
            gradients: Kept::new(GRADIENTS),
            randomised: Kept::new(GRADIENTS),
            chunk: Kept::new(1),
            background: Kept::new(1),
            survey: Kept::new(1),
        }
    }
}

/// The models at hand.
pub(super) struct Cache {
    /// As checks see it.
    loaded: Option<Loaded>,
    /// As the file has it, by path and signature.
    bare: Kept<(PathBuf, String), Model>,
    /// The way to models elsewhere.
    pipe: Pipe,
}

impl Cache {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self { loaded: None, bare: Kept::new(1), pipe }
    }

    /// Loads a model and says what it is.
    pub(super) fn inspect(&mut self, path: PathBuf, remote: bool, signature: &str) -> Result<Inspection> {
        let (graph, model) = self.load(&path, remote, signature)?;
        let inspection = Inspection::new(&graph, &model)?;
        self.loaded = Some(Loaded::new(path, model.signature().to_yaml()?, model));
        Ok(inspection)
    }

    fn load(&self, path: &Path, remote: bool, signature: &str) -> Result<(Graph, Model)> {
        let bytes = bytes(path)?;
        if remote {
            let graph = Description::read(&bytes)?.graph()?;
            let model = Model::elsewhere(&graph, signature, Box::new(self.pipe.clone()))?;
            return Ok((graph, model));
        }
        let graph = Graph::read(&bytes)?;
        let model = Model::of(&graph, signature)?;
        Ok((graph, model))
    }

    /// All outputs of the file's own graph for a batch, in which axis 0 is that of the samples if the graph has one.
    pub(super) fn infer(&mut self, path: PathBuf, signature: String, inputs: &Tensors) -> Result<Tensors> {
        let load = |(path, signature): &(PathBuf, String)| Model::bare(&Graph::read(&bytes(path)?)?, signature);
        let model = self.bare.of((path, signature), load)?;
        if model.has_sample_axis() {
            return model.predict(inputs);
        }
        let row = inputs.iter().map(|(name, tensor)| Ok((name.clone(), Tensor::stack(&[tensor])?)));
        let outputs = model.predict(&row.collect::<Result<_>>()?)?;
        Ok(outputs.into_iter().map(|(name, tensor)| (name, tensor.row(0))).collect())
    }

    /// Carries out an order.
    pub(super) fn run(&mut self, work: &Work) -> Result<Evidence> {
        let same = |known: &Loaded| known.path == work.model && known.signature == work.signature;
        let loaded = match self.loaded.take().filter(same) {
            Some(known) => known,
            None => {
                let (_, model) = self.load(&work.model, work.remote, &work.signature)?;
                Loaded::new(work.model.clone(), work.signature.clone(), model)
            }
        };
        let Loaded { model, gradients, randomised, chunk, background, survey, .. } = self.loaded.insert(loaded);
        let check = work.check.read()?;
        let graph = || Graph::read(&bytes(&work.model)?);
        let chunk = chunk.of((work.suite.clone(), work.cases.clone()), |(suite, cases)| {
            Chunk::new(model, &suite_file::read(suite, cases.clone())?, cases.start)
        })?;
        let mut subject = Subject::new(model);
        if check.wants_gradient() {
            subject.gradient =
                Some(gradients.of(check.layer(), |layer| differentiated(&graph()?, model, layer.as_ref()))?);
        }
        if check.wants_randomised() {
            let key = (work.seed, check.wants_gradient().then(|| check.layer()));
            let pair = randomised.of(key, |(seed, gradient)| {
                // What shuffled weights make of a model need not run; then nothing is said of it. A model elsewhere
                // shows no weights.
                if work.remote {
                    return Ok(None);
                }
                Ok(shuffled(&graph()?.randomised(*seed), work, gradient.as_ref()).ok())
            })?;
            subject.randomised = pair.as_ref().map(|(model, gradient)| (model, gradient.as_ref()));
        }
        if let Some(first) = &work.background {
            let rows = |first: &First| suite::background(model, &suite_file::read(&first.0, 0..first.1)?);
            subject.background = background.of(first.clone(), rows)?;
        }
        if let Some(cases) = work.survey {
            let all = |first: &First| surveyed(model, &first.0, first.1);
            subject.survey = Some(survey.of((work.suite.clone(), cases), all)?);
        }
        suite::run(&subject, chunk, &check, work.position, work.seed, work.keep)
    }
}

/// A graph with shuffled weights under the order's signature, and its gradient if one is wanted.
fn shuffled(graph: &Graph, work: &Work, gradient: Option<&Option<Layer>>) -> Result<Pair> {
    let model = Model::of(graph, &work.signature)?;
    let gradient = gradient.map(|layer| differentiated(graph, &model, layer.as_ref())).transpose()?;
    Ok((model, gradient))
}

/// The gradient of a graph that has the model's signature, to an inner tensor as well if there is one.
fn differentiated(graph: &Graph, model: &Model, layer: Option<&Layer>) -> Result<Differentiated> {
    let wish = Wish { batch: model.batch(), ..Wish::default() }.beside(graph, model.signature(), layer)?;
    Differentiated::of(graph, model.signature(), &wish)
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::internal("slot: reading the model", e))
}

/// Cases that are read at once.
const AT_ONCE: u64 = 4096;

/// All cases of a job, as audits see them.
fn surveyed(model: &Model, suite: &Path, cases: u64) -> Result<Survey> {
    let mut survey = Survey::default();
    let mut first = 0;
    while first < cases {
        let next = cases.min(first + AT_ONCE);
        survey.add(model, &suite_file::read(suite, first..next)?, first);
        first = next;
    }
    Ok(survey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_while_it_is_among_the_last() {
        let (mut kept, mut made) = (Kept::new(2), 0);
        for (key, expected) in [(1, 1), (1, 1), (2, 2), (1, 2), (3, 3), (1, 4), (3, 4)] {
            let value = *kept
                .of(key, |key| {
                    made += 1;
                    Ok(key * 10)
                })
                .unwrap();
            assert_eq!((value, made), (key * 10, expected), "{key}");
        }
        assert!(kept.of(4, |_| Err::<i32, _>(Error::internal("test", "nothing"))).is_err());
        assert_eq!(kept.of(4, |_| Ok(7)).unwrap(), &7, "what failed is not kept");
    }
}
