//! An ONNX file as a function from rows to rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayD};
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{Framework, InferenceFact, InferenceModelExt, IntoRunnable};

use super::declared::Declared;
use super::meaning::Labels;
use super::onnx::{self, Axis, Graph};
use super::ops::conv::adopt;
use super::oracle::{NO_TREES, Oracle};
use super::signature::{Input, Output, OutputKind, Signature, Task};
use super::trees::Trees;
use super::{activation, blocks, preprocess, rows, softmax};
use crate::error::{Error, Result, clipped};
use crate::tensor::{DType, Rng, Tensor, Tensors};

pub(super) type Plan = Arc<tract::RunnableModel<tract::TypedFact, Box<dyn tract::TypedOp>>>;

/// Rows that go through a graph at once, at most.
const BATCH_MAX: usize = 32;

/// Elements of a batch's inputs, about. What is larger leaves the cache between one operator and the next.
const BATCH_ELEMENTS: usize = 1 << 15;

/// Numbers of a batch that the file fixes, at most: two gigabytes of float32.
const FIXED_ELEMENTS_MAX: usize = 1 << 29;

/// Bytes that are kept of an error's words.
const WORDS_MAX: usize = 600;

/// How long the pace of a model is measured, at most, once it has run.
const PACE_TIME: Duration = Duration::from_millis(50);

/// A model that runs: probe space in, outputs out, always in batches of one fixed size.
pub struct Model {
    /// Of a model elsewhere the preprocessing alone.
    plan: Plan,
    /// Who is asked about a model elsewhere.
    oracle: Option<Box<dyn Oracle>>,
    batch: usize,
    /// Whether the file fixes the batch.
    fills: bool,
    /// Shapes of the graph's own inputs, all axes.
    shapes: Vec<Vec<usize>>,
    /// Whether the graph has a sample axis; else each sample is a run of its own.
    sample_axis: bool,
    signature: Signature,
    /// Names and types, as the file declares them.
    outputs: Vec<(String, Option<DType>)>,
    /// The tree ensemble that it is, or why it is none.
    trees: std::result::Result<Trees, String>,
}

impl Model {
    /// Loads an ONNX file from memory under the caller's signature (YAML, may be empty); sibling files are never read.
    ///
    /// Fails with [`Error::Invalid`] on the fields `model` and `signature...`; a panic inside tract becomes one too.
    pub fn load(onnx: &[u8], signature: &str) -> Result<Self> {
        Self::of(&Graph::read(onnx)?, signature)
    }

    /// The same for a file that was read before.
    pub fn of(graph: &Graph, signature: &str) -> Result<Self> {
        let declared = &Declared::parse(signature)?;
        let mut model = Self::unsettled(graph, declared.inputs(graph)?, None)?;
        model.settle(graph, declared)?;
        model.trees = Trees::of(graph, &model.plan, &model.signature);
        Ok(model)
    }

    /// A model elsewhere, of which the graph has inputs and outputs alone ([`Graph::elsewhere`]).
    pub fn elsewhere(graph: &Graph, signature: &str, oracle: Box<dyn Oracle>) -> Result<Self> {
        let declared = &Declared::parse(signature)?;
        let mut model = Self::unsettled(graph, declared.inputs(graph)?, Some(oracle))?;
        model.settle(graph, declared)?;
        model.trees = Err(NO_TREES.to_owned());
        Ok(model)
    }

    /// The graph alone, for [`Self::predict`]: inputs as the file wants them, without the signature's preprocessing, and
    /// no output that is judged.
    pub fn bare(graph: &Graph, signature: &str) -> Result<Self> {
        let mut inputs = Declared::parse(signature)?.inputs(graph)?;
        inputs.iter_mut().for_each(|input| input.preprocess.clear());
        Self::unsettled(graph, inputs, None)
    }

    /// Nothing is known of its outputs yet.
    fn unsettled(graph: &Graph, inputs: Vec<Input>, oracle: Option<Box<dyn Oracle>>) -> Result<Self> {
        let (batch, sample_axis) = (compute_batch(graph, &inputs)?, graph.has_sample_axis());
        let samples = if sample_axis { vec![batch] } else { Vec::new() };
        let shapes: Vec<_> = inputs.iter().map(|i| [samples.as_slice(), &i.shape].concat()).collect();
        let plan = guard("cannot be loaded", || match oracle {
            Some(_) => preprocess::alone(&inputs, &shapes),
            None => plan(graph, &inputs, &shapes),
        })?;
        let fills = graph.inputs[0].axes.first().and_then(Axis::fixed).is_some();
        let outputs = graph.outputs.iter().map(|p| (p.name.clone(), p.dtype)).collect();
        let nothing =
            Output { name: String::new(), kind: OutputKind::Value, size: 0, classes: Vec::new(), labels: Vec::new() };
        let signature = Signature { task: Task::Classification, inputs, output: nothing };
        let trees = Err(String::new());
        Ok(Self { plan, oracle, batch, fills, shapes, sample_axis, signature, outputs, trees })
    }

    /// Whether it is elsewhere, and shows its scores alone.
    pub fn is_elsewhere(&self) -> bool {
        self.oracle.is_some()
    }

    /// Whether axis 0 of inputs and outputs is that of the samples; else a sample is a run of its own.
    pub fn has_sample_axis(&self) -> bool {
        self.sample_axis
    }

    /// Whether every batch must be full.
    pub(super) fn fills(&self) -> bool {
        self.fills
    }

    /// The type of an output as declared.
    pub(super) fn output_type(&self, name: &str) -> Result<DType> {
        let found = self.outputs.iter().find(|(known, _)| known == name).and_then(|(_, dtype)| *dtype);
        let refuse = || Error::invalid("signature.output.name", format!("`{name}` has a type that is not supported"));
        found.filter(|dtype| *dtype != DType::Text).ok_or_else(refuse)
    }

    /// The tree ensemble that it is, or why it is none.
    pub fn trees(&self) -> std::result::Result<&Trees, &str> {
        self.trees.as_ref().map_err(String::as_str)
    }

    /// The signature in effect.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Rows that go through the graph at once.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// All outputs by name for rows `[n, ..]` of every input in probe space. uint8 rows of a float input stand for
    /// value / 255. A row of another shape or type is refused with what was found.
    pub fn predict(&self, x: &Tensors) -> Result<Tensors> {
        let (inputs, rows) = bind(&self.signature.inputs, x)?;
        if rows == 0 {
            return Ok(Tensors::new());
        }
        if let Some(oracle) = &self.oracle {
            return self.asked(oracle.as_ref(), &inputs, rows);
        }
        let mut columns: Vec<tract::TVec<tract::TValue>> = vec![tract::TVec::new(); self.outputs.len()];
        for start in (0..rows).step_by(self.batch) {
            let outputs = self.pass(&inputs, start)?;
            columns.iter_mut().zip(outputs).for_each(|(column, output)| column.push(output));
        }
        let named = self.outputs.iter().zip(columns);
        named.map(|((name, _), column)| Ok((name.clone(), self.column(&column, rows)?))).collect()
    }

    /// What the plan makes of the batch that begins at row `start`.
    pub(super) fn pass(&self, inputs: &[Tensor], start: usize) -> Result<tract::TVec<tract::TValue>> {
        guard("cannot be run", || {
            let batch = inputs.iter().zip(&self.shapes);
            let batch = batch.map(|(t, shape)| rows::feed(t, start, self.batch, shape));
            self.plan.run(batch.collect::<anyhow::Result<_>>()?)
        })
    }

    /// One output of all batches as rows.
    fn column(&self, parts: &[tract::TValue], rows: usize) -> Result<Tensor> {
        let whole = parts[0].shape();
        let refuse = |what: String| Error::invalid("model", format!("an output has shape {whole:?}, {what}"));
        if parts.iter().any(|part| part.shape() != whole) {
            return Err(refuse("and another one for other values".to_owned()));
        }
        let shape = if self.sample_axis { whole.get(1..) } else { Some(whole) };
        let shape = shape.filter(|_| !self.sample_axis || whole[0] == self.batch);
        let shape = shape.ok_or_else(|| refuse(format!("{} rows were expected", self.batch)))?;
        guard("cannot be read", || rows::gather(parts, rows, shape))
    }

    /// The judged output for rows of every input, `[n, size]`.
    pub fn scores(&self, x: &Tensors) -> Result<Array2<f32>> {
        let outputs = self.predict(x)?;
        let name = &self.signature.output.name;
        let output = outputs.get(name).ok_or_else(|| Error::internal("judged output", format!("{name} is missing")))?;
        let rows = output.shape().first().copied().unwrap_or(0);
        let values = output.to_f32();
        let (width, size) = (values.len() / rows.max(1), self.signature.output.size);
        // Before the model is settled nothing is known of its output.
        if size > 0 && rows > 0 && width != size {
            let message = format!("gives {width} scores for these values, {size} for others");
            return Err(Error::invalid("model", message));
        }
        Array2::from_shape_vec((rows, width), values).map_err(|e| Error::internal("scores", e))
    }

    /// Names the judged output and finds out what it is, by running two batches through the model.
    fn settle(&mut self, graph: &Graph, declared: &Declared) -> Result<()> {
        let own = &declared.output;
        if let Some(name) = own.name.as_ref().filter(|n| self.outputs.iter().all(|(known, _)| known != *n)) {
            let known: Vec<&str> = self.outputs.iter().map(|(known, _)| known.as_str()).collect();
            let message = format!("`{name}` was found, the graph has the outputs {}", known.join(", "));
            return Err(Error::invalid("signature.output.name", message));
        }
        let float = graph.outputs.iter().find(|p| matches!(p.dtype, Some(DType::F32 | DType::F64)));
        let default = float.unwrap_or(&graph.outputs[0]).name.clone();
        self.signature.output.name = own.name.clone().unwrap_or(default);
        let scores = self.scores(&self.sample())?;
        let size = scores.ncols();
        if let Some(wrong) = own.size.filter(|s| *s != size) {
            return Err(Error::invalid(
                "signature.output.size",
                format!("{wrong} was declared, the model gives {size}"),
            ));
        }
        if !own.classes.is_empty() && own.classes.len() != size {
            let message = format!("{} names were found, the model gives {size} scores", own.classes.len());
            return Err(Error::invalid("signature.output.classes", message));
        }
        let looks = looks_like(graph.kind_of(&self.signature.output.name), &scores, declared.task);
        let kind = own.kind.unwrap_or(looks);
        let (classes, labels) = self.classes(graph, declared, size)?;
        let contradiction = matches!(
            (kind, looks),
            (OutputKind::Logits, OutputKind::Probabilities) | (OutputKind::Probabilities, OutputKind::Logits)
        );
        if contradiction {
            let message = format!("{kind:?} was declared, but the output looks like {looks:?}: {:?}", scores.row(0));
            return Err(Error::invalid("signature.output.kind", message.chars().take(300).collect::<String>()));
        }
        let task = if kind == OutputKind::Value { Task::Regression } else { Task::Classification };
        self.signature.task = declared.task.unwrap_or(task);
        self.signature.output = Output { kind, size, classes, labels, ..self.signature.output.clone() };
        Ok(())
    }

    /// Class names and integer labels: the caller's, else the file's. Integers other than 0, 1, 2... also name the
    /// classes where nobody else does.
    fn classes(&self, graph: &Graph, declared: &Declared, size: usize) -> Result<(Vec<String>, Vec<i64>)> {
        let own = &declared.output;
        let (names, mut labels) = match graph.labels(&self.signature.output.name, size) {
            Some(Labels::Names(names)) => (names, Vec::new()),
            Some(Labels::Ints(labels)) if (0i64..).zip(&labels).any(|(i, label)| i != *label) => {
                (labels.iter().map(i64::to_string).collect(), labels)
            }
            _ => Default::default(),
        };
        if !own.labels.is_empty() {
            labels.clone_from(&own.labels);
        }
        if !labels.is_empty() && labels.len() != size {
            let message = format!("{} labels were found, the model gives {size} scores", labels.len());
            return Err(Error::invalid("signature.output.labels", message));
        }
        Ok((if own.classes.is_empty() { names } else { own.classes.clone() }, labels))
    }

    /// Seconds that one row takes on this machine now, from a few runs of the made-up rows that inspection uses.
    pub fn pace(&self) -> Result<f64> {
        let sample = self.sample();
        let rows = bind(&self.signature.inputs, &sample)?.1.next_multiple_of(self.batch);
        let (began, mut runs) = (Instant::now(), 0u32);
        while runs == 0 || (runs < 10 && began.elapsed() < PACE_TIME) {
            self.predict(&sample)?;
            runs += 1;
        }
        #[allow(clippy::cast_precision_loss)]
        let all = (rows.max(1) as f64) * f64::from(runs);
        Ok(began.elapsed().as_secs_f64() / all)
    }

    /// Four rows inside the declared ranges, the same for every model of these inputs.
    fn sample(&self) -> Tensors {
        let draw = |input: &Input| {
            let mut rng = Rng::new(0, "inspect", &input.name, 0);
            let [low, high] = input.range.unwrap_or([0.0, 1.0]);
            let shape: Vec<usize> = std::iter::once(4).chain(input.shape.iter().copied()).collect();
            // Integers stay 0: an index of any vocabulary, a value of any range that starts there.
            #[allow(clippy::cast_possible_truncation)]
            match input.dtype {
                DType::F32 => Tensor::F32(ArrayD::from_shape_fn(shape, |_| rng.range(low, high) as f32)),
                DType::F64 => Tensor::F64(ArrayD::from_shape_fn(shape, |_| rng.range(low, high))),
                DType::I32 => Tensor::I32(ArrayD::zeros(shape)),
                DType::I64 => Tensor::I64(ArrayD::zeros(shape)),
                DType::Bool => Tensor::Bool(ArrayD::from_elem(shape, false)),
                DType::U8 => Tensor::U8(ArrayD::zeros(shape)),
                DType::Text => Tensor::Text(ArrayD::from_elem(shape, String::new())),
            }
        };
        self.signature.inputs.iter().map(|input| (input.name.clone(), draw(input))).collect()
    }
}

/// The tensors in the graph's order and type, and their number of rows.
pub(super) fn bind(inputs: &[Input], x: &Tensors) -> Result<(Vec<Tensor>, usize)> {
    let mut bound = Vec::new();
    for input in inputs {
        let tensor = x.get(&input.name).ok_or_else(|| {
            let found = x.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Error::invalid(format!("inputs.{}", input.name), format!("is missing; {found} were found"))
        })?;
        let field = format!("inputs.{}", input.name);
        if tensor.shape().get(1..) != Some(input.shape.as_slice()) {
            let message = format!("shape {:?} was found, rows of {:?} were expected", tensor.shape(), input.shape);
            return Err(Error::invalid(field, message));
        }
        bound.push(convert(tensor, input.dtype).map_err(|e| e.under(&field))?);
    }
    let rows = bound.first().map_or(0, |t| t.shape()[0]);
    if bound.iter().any(|t| t.shape()[0] != rows) {
        return Err(Error::invalid("inputs", "the inputs have different numbers of rows"));
    }
    Ok((bound, rows))
}

/// What the judged output seems to hold: what the operator behind it says, else what its values look like.
fn looks_like(said: Option<OutputKind>, scores: &Array2<f32>, task: Option<Task>) -> OutputKind {
    match (task, scores.ncols(), said) {
        (Some(Task::Regression), ..) | (None, 1, _) => OutputKind::Value,
        (_, _, Some(kind)) => kind,
        _ => {
            let sums = scores.rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-3);
            let bounded = scores.iter().all(|v| (-1e-6..=1.0 + 1e-6).contains(v));
            if sums && bounded { OutputKind::Probabilities } else { OutputKind::Logits }
        }
    }
}

/// The batch that the file fixes, or about the fastest one.
pub(super) fn compute_batch(graph: &Graph, inputs: &[Input]) -> Result<usize> {
    let first = graph.inputs[0].axes.first();
    let row: usize = inputs.iter().map(|input| input.shape.iter().product::<usize>()).sum();
    match first.and_then(Axis::fixed) {
        _ if !graph.has_sample_axis() => Ok(1),
        Some(0) => Err(Error::invalid("model", "the inputs fix a batch of 0 rows")),
        Some(n) if n.saturating_mul(row) > FIXED_ELEMENTS_MAX => {
            let message = format!("the inputs fix a batch of {n} rows with {row} numbers each");
            Err(Error::invalid("model", format!("{message}; {FIXED_ELEMENTS_MAX} numbers are the most in all")))
        }
        Some(n) => Ok(n),
        None => Ok((BATCH_ELEMENTS / row.max(1)).clamp(1, BATCH_MAX)),
    }
}

fn plan(graph: &Graph, inputs: &[Input], shapes: &[Vec<usize>]) -> anyhow::Result<Plan> {
    let typed = settled(typed(graph, inputs, shapes, &[])?)?;
    blocks::lay(&typed, &[], usize::MAX)?.graph.into_optimized()?.into_runnable()
}

/// The graph decluttered, with operators of assay's own where tract's will not do.
pub(super) fn settled(mut typed: tract::TypedModel) -> anyhow::Result<tract::TypedModel> {
    adopt::convolutions(&mut typed)?;
    let mut typed = typed.into_decluttered()?;
    softmax::settle(&mut typed)?;
    activation::settle(&mut typed)?;
    Ok(typed)
}

/// The graph from probe space on, with the tensors `inner` as further outputs.
pub(super) fn typed(
    graph: &Graph,
    inputs: &[Input],
    shapes: &[Vec<usize>],
    inner: &[String],
) -> anyhow::Result<tract::TypedModel> {
    let mut model = onnx::reader().model_for_proto_model(&graph.proto)?;
    for (i, (input, shape)) in inputs.iter().zip(shapes).enumerate() {
        model = model.with_input_fact(i, InferenceFact::dt_shape(rows::datum_type(input.dtype), shape))?;
    }
    // Output shapes that the file states for another batch would contradict this one.
    for i in 0..graph.outputs.len() {
        model = model.with_output_fact(i, InferenceFact::default())?;
    }
    for name in inner {
        let outlet = model.find_outlet_label(name);
        model.outputs.push(outlet.ok_or_else(|| anyhow::anyhow!("no tensor is called `{name}`"))?);
    }
    let mut typed = model.into_typed()?;
    preprocess::prepend(&mut typed, inputs)?;
    Ok(typed)
}

/// The tensor as `dtype`: uint8 pictures become floats in [0, 1]; otherwise only what loses nothing.
fn convert(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    #[allow(clippy::cast_possible_truncation)]
    match (tensor, dtype) {
        (same, _) if same.dtype() == dtype => Ok(same.clone()),
        (Tensor::U8(a), DType::F32) => Ok(Tensor::F32(a.mapv(|v| f32::from(v) / 255.0))),
        (Tensor::U8(a), DType::F64) => Ok(Tensor::F64(a.mapv(|v| f64::from(v) / 255.0))),
        (Tensor::F64(a), DType::F32) => Ok(Tensor::F32(a.mapv(|v| v as f32))),
        (Tensor::F32(a), DType::F64) => Ok(Tensor::F64(a.mapv(f64::from))),
        (Tensor::I32(a), DType::I64) => Ok(Tensor::I64(a.mapv(i64::from))),
        (other, _) => {
            let message = format!("{} was found, {} was expected", other.dtype().name(), dtype.name());
            Err(Error::invalid("", message))
        }
    }
}

/// Runs `work`; failures and panics of tract become one clear error of the field `model`. Their words may print whole
/// tensors, so they are cut.
pub(super) fn guard<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> Result<T> {
    let words = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(e)) => format!("{e:#}"),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing is known of it");
            format!("the graph is malformed: {text}")
        }
    };
    Err(Error::invalid("model", format!("{what}: {}", clipped(&words, WORDS_MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &[u8] = include_bytes!("../../tests/models/mnist_cnn.onnx");

    fn refused(signature: &str) -> String {
        Model::load(DIGITS, signature).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn the_effective_signature_is_read_back_to_itself() {
        let yaml = "input: {range: [0, 1], geometry: [{resize: {shorter: 30}}, {crop: {center: 28}}], preprocess: \
                    [{normalize: {mean: 0.1, std: [0.3]}}, {scale: 2}]}";
        let first = Model::load(DIGITS, yaml).unwrap();
        let again = Model::load(DIGITS, &first.signature().to_yaml().unwrap()).unwrap();
        assert_eq!(first.signature(), again.signature());
        assert_eq!(first.signature().probed().image(), Some([1, 28, 28]));
    }

    #[test]
    fn preprocessing_is_part_of_the_graph() {
        let plain = Model::load(DIGITS, "").unwrap();
        let scaled =
            Model::load(DIGITS, "input: {preprocess: [{normalize: {mean: 0.5, std: 2}}, {scale: 4}]}").unwrap();
        let x = |v: f32| Tensors::from([("input".to_owned(), Tensor::F32(ArrayD::from_elem(vec![1, 1, 28, 28], v)))]);
        // (0.75 - 0.5) / 2 * 4 = 0.5, exactly.
        assert_eq!(scaled.scores(&x(0.75)).unwrap(), plain.scores(&x(0.5)).unwrap());
    }

    #[test]
    fn contradictions_name_their_field() {
        for (signature, expect) in [
            ("input: {name: pixels}", "signature.input[0].name: `pixels` was found, the graph has the inputs input"),
            ("input: {shape: [3, 28, 28]}", "shape: axis 1 was declared Some(3), the graph says 1"),
            ("input: {layout: NF}", "layout"),
            ("input: {range: [1, 0]}", "range"),
            ("input: {preprocess: [{normalize: {mean: [0, 0], std: 1}}]}", "preprocess[0].mean: 2 numbers"),
            ("output: {name: scores}", "signature.output.name"),
            ("output: {kind: probabilities}", "signature.output.kind"),
            ("output: {classes: [a, b]}", "signature.output.classes: 2 names"),
            ("ouput: {}", "unknown field `ouput`"),
        ] {
            let error = refused(signature);
            assert!(error.contains(expect), "{signature}: {error}");
        }
    }

    #[test]
    fn rubbish_is_refused_without_a_panic() {
        for bytes in [&b""[..], b"not a model", &[0xff; 64]] {
            assert!(matches!(Model::load(bytes, ""), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn wrong_rows_are_named() {
        let model = Model::load(DIGITS, "").unwrap();
        let x = Tensors::from([("input".to_owned(), Tensor::F32(ArrayD::zeros(vec![2, 5])))]);
        let error = model.predict(&x).unwrap_err().to_string();
        assert!(error.contains("[2, 5]") && error.contains("[1, 28, 28]"), "{error}");
    }
}
