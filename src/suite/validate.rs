//! Everything that can be known of a job before it starts.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::check::Check;
use super::corrupt;
use super::gate::Gate;
use super::report::Place;
use super::summary::{Arrays, Summary};
use crate::engine::{Input, Output, OutputKind, Signature};
use crate::error::{Error, Result, Violations, nearest};
use crate::metric::Level;
use crate::probe::attack::Goal;
use crate::probe::explainer::Of;
use crate::probe::{Kind, Manual};
use crate::tensor::DType;

/// Slices from which on a refusal does not name them all.
const SLICES_NAMED: usize = 22;

/// A check as a request gives it: SPEC, name and parameters, of which the first or the others may be left out.
pub type Given = (String, String, Option<Map<String, Value>>);

/// What a model does not show, and why; empty if it does.
#[derive(Clone, Copy)]
pub struct Missing<'a> {
    /// Its gradient.
    pub gradient: &'a str,
    /// The trees of an ensemble.
    pub trees: &'a str,
}

/// Reads the checks of a request. Violations name `checks[i]...`.
pub fn checks(given: &[Given]) -> Result<Vec<Check>> {
    let mut violations = Violations::default();
    let mut checks: Vec<Check> = Vec::new();
    for (i, (spec, name, params)) in given.iter().enumerate() {
        let check = match params {
            None if name.is_empty() => Check::parse(spec),
            _ => {
                let params = params.clone().unwrap_or_default();
                let text = if spec.is_empty() { super::write_spec(name, &params) } else { spec.clone() };
                Check::new(&text, name, params)
            }
        };
        let field = format!("checks[{i}]");
        let Some(check) = violations.catch(check.map_err(|e| e.under(&field)))? else { continue };
        if let Some(twin) = checks.iter().position(|c| c.spec == check.spec) {
            let twin = Error::invalid(field, format!("`{}` is given twice, at {twin} too", check.spec));
            violations.catch(Err::<(), _>(twin))?;
        }
        checks.push(check);
    }
    violations.finish()?;
    if checks.is_empty() {
        return Err(Error::invalid("checks", "there is none; `clean` is the simplest"));
    }
    Ok(checks)
}

/// Refuses a job whose suite, checks or gates do not fit the model; all violations at once.
///
/// `missing` says what the model does not show.
pub fn validate(
    signature: &Signature,
    missing: Missing<'_>,
    summary: &Summary,
    checks: &[Check],
    gates: &[String],
) -> Result<Vec<Gate>> {
    judged(signature)?;
    let mut violations = Violations::default();
    violations.catch(fits(signature, summary).map_err(|e| e.under("suite")))?;
    violations.catch(answers_fit(signature, summary))?;
    let probed = signature.probed();
    for (i, check) in checks.iter().enumerate() {
        violations.catch(input_fits(check, probed, i))?;
        violations.catch(accesses_fit(check, signature, missing, i))?;
        if check.manual.kinds.contains(&Kind::Picture) && probed.is_image() && probed.range.is_none() {
            let unit = bound(signature, summary, probed).and_then(|arrays| within(arrays, probed, [0.0, 1.0]));
            let advice = "; without a declared range a corruption takes pictures to be in [0, 1]";
            violations.catch(unit.map_err(|e| Error::invalid(format!("checks[{i}]"), format!("{e}{advice}"))))?;
        }
    }
    let mut read = Vec::new();
    for (i, gate) in gates.iter().enumerate() {
        let gate = Gate::parse(gate, checks).and_then(|gate| sliced(&gate, checks, signature, summary).map(|()| gate));
        read.extend(violations.catch(gate.map_err(|e| e.under(&format!("gates[{i}]"))))?);
    }
    violations.finish()?;
    Ok(read)
}

/// Refuses a model whose judged output holds no number.
pub fn judged(signature: &Signature) -> Result<()> {
    let Output { name, size, .. } = &signature.output;
    if *size > 0 {
        return Ok(());
    }
    let message = format!("`{name}` was found, which holds no numbers; an output of scores or values was expected");
    Err(Error::invalid("signature.output.name", message))
}

/// Refuses a suite whose inputs are not the model's; all violations at once.
pub fn fits(signature: &Signature, summary: &Summary) -> Result<()> {
    let mut violations = Violations::default();
    for input in &signature.inputs {
        let arrays = bound(signature, summary, input);
        let arrays = arrays.and_then(|a| arrays_fit(a, input, summary.cases));
        violations.catch(arrays.map_err(|e| e.under(&format!("inputs.{}", input.name))))?;
    }
    violations.finish()
}

/// Refuses a gate on a part of the suite that there is not, which nothing would ever decide.
fn sliced(gate: &Gate, checks: &[Check], signature: &Signature, summary: &Summary) -> Result<()> {
    let (slice, output) = (gate.slice(), &signature.output);
    let names = if gate.metric().level == Level::Class {
        let name = |class: usize| output.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        (0..output.size).map(|class| format!("class={}", name(class))).collect()
    } else if gate.metric().level == Level::Feature {
        return part_of(gate, checks, signature);
    } else {
        summary.slices.names()
    };
    if slice.is_empty() || names.iter().any(|name| name == slice) {
        return Ok(());
    }
    let tag = |name: &str| name.split('=').next().unwrap_or_default().to_owned();
    let same: Vec<&str> = names.iter().map(String::as_str).filter(|name| tag(name) == tag(slice)).collect();
    let tags: BTreeSet<String> = names.iter().map(|name| tag(name)).collect();
    let known = match (nearest(slice, same.iter().copied()), same.len()) {
        (Some(near), SLICES_NAMED..) => format!("did you mean {near}?"),
        (None, SLICES_NAMED..) => format!("it has {}, ... and {}", same[0], same[same.len() - 1]),
        (_, 1..) => format!("it has {}", same.join(", ")),
        (_, 0) if tags.is_empty() => "no tag of its cases has several values".to_owned(),
        (_, 0) => format!("its cases have the tags {}", tags.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Err(Error::invalid("", format!("the suite has no slice `{slice}`; {known}")))
}

/// Refuses a gate on a feature that its check does not look at.
fn part_of(gate: &Gate, checks: &[Check], signature: &Signature) -> Result<()> {
    let Place::Point(check, point) = gate.place else { return Ok(()) };
    let Some(auditor) = checks[check].auditor(point) else { return Ok(()) };
    // Features that there are not are the check's own mistake.
    let parts = auditor.parts(signature.probed()).unwrap_or_default();
    let wanted = gate.slice().strip_prefix("feature=").unwrap_or_default();
    if parts.is_empty() || parts.iter().any(|part| part == wanted) {
        return Ok(());
    }
    let hint = nearest(wanted, parts.iter().map(String::as_str));
    let all = || match parts.len() {
        SLICES_NAMED.. => format!("it has {}, ... and {}", parts[0], parts[parts.len() - 1]),
        _ => format!("it has {}", parts.join(", ")),
    };
    let hint = hint.map_or_else(all, |near| format!("did you mean {near}?"));
    Err(Error::invalid("", format!("{} has no feature `{wanted}`; {hint}", checks[check].spec)))
}

/// Refuses a check on an input that is not of a kind that its probe takes, and the one that it is compared with.
fn input_fits(check: &Check, probed: &Input, index: usize) -> Result<()> {
    let fits = |kind: &Kind| match kind {
        Kind::Floats => probed.dtype.is_float(),
        Kind::Tokens => probed.is_tokens(),
        kind => corrupt::kind(probed) == Some(*kind),
    };
    let unfit = |manual: &&Manual| !manual.kinds.is_empty() && !manual.kinds.iter().any(fits);
    let Some(Manual { name: probe, kinds, .. }) = check.manuals().find(unfit) else { return Ok(()) };
    let part = if *probe == check.manual.name { "name" } else { "params.agrees_with" };
    let wanted = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
    let (name, shape) = (&probed.name, &probed.shape);
    let found = format!("the input `{name}` is {:?} {shape:?} of {}", probed.layout, probed.dtype.name());
    Err(Error::invalid(format!("checks[{index}].{part}"), format!("{probe} wants {wanted}; {found}")))
}

/// Refuses a check that wants more of the model than it shows, and an attack on what is no classifier.
fn accesses_fit(check: &Check, signature: &Signature, missing: Missing<'_>, index: usize) -> Result<()> {
    let (name, output) = (check.manual.name, &signature.output);
    let refuse = |message: String| Err(Error::invalid(format!("checks[{index}].name"), message));
    if check.wants_gradient() && !missing.gradient.is_empty() {
        let why = missing.gradient;
        return refuse(format!(
            "{name} wants gradients; {why}; probes of scores, such as square and occlusion, still run"
        ));
    }
    if check.wants_trees() && !missing.trees.is_empty() {
        return refuse(format!("{name} wants a model that is one tree ensemble; {}", missing.trees));
    }
    if check.manual.family == "attack" && output.kind == OutputKind::Value {
        return refuse(format!("{name} wants a classifier, the model gives a value"));
    }
    let mut attributors = (0..check.len()).filter_map(|point| check.attributor(point));
    if output.kind == OutputKind::Value && attributors.any(|attributor| attributor.wants_classes()) {
        return refuse(format!("{name} has `target` or `output` of a classifier, the model gives a value"));
    }
    let classes = (0..check.len()).filter_map(|point| check.attributor(point));
    let explained =
        classes.filter_map(|attributor| if let Of::Class(class) = attributor.of() { Some(class) } else { None });
    let goals = (0..check.len()).filter_map(|point| Some(check.attacker(point)?.threat.goal));
    for auditor in (0..check.len()).filter_map(|point| check.auditor(point)) {
        let fits = auditor.parts(signature.probed()).and_then(|_| auditor.fits(output));
        fits.map_err(|e| e.under(&format!("checks[{index}]")))?;
    }
    check.fits(signature).map_err(|e| e.under(&format!("checks[{index}]")))?;
    let aimed = goals.filter_map(|goal| if let Goal::Class(class) = goal { Some(class) } else { None });
    if let Some(class) = aimed.chain(explained).find(|class| *class >= output.size) {
        let message = format!("class {class} was found, the model has classes 0 to {}", output.size - 1);
        return Err(Error::invalid(format!("checks[{index}].params.target"), message));
    }
    Ok(())
}

/// The suite's arrays for an input: by name, or the lone one.
fn bound<'a>(signature: &Signature, summary: &'a Summary, input: &Input) -> Result<&'a Arrays> {
    let others = summary.inputs.len().saturating_sub(1);
    let mut inputs = summary.inputs.iter().filter(|(name, _)| !signature.is_mask(name, others));
    let lone = signature.inputs.len() == 1 && inputs.clone().count() == 1;
    let arrays = if lone { inputs.next() } else { inputs.find(|(name, _)| **name == input.name) };
    arrays.map(|(_, arrays)| arrays).ok_or_else(|| {
        let found: Vec<&str> = summary.inputs.keys().map(String::as_str).collect();
        Error::invalid("", format!("the model wants it, the suite has {}", found.join(", ")))
    })
}

fn arrays_fit(arrays: &Arrays, input: &Input, cases: u64) -> Result<()> {
    if arrays.count != cases {
        return Err(Error::invalid("", format!("{} of {cases} cases have it", arrays.count)));
    }
    if let Some(id) = arrays.picture.as_ref().filter(|_| !input.is_image()) {
        return Err(Error::invalid("", format!("case {id} gives a picture file, the model's input is none")));
    }
    for (dtype, shape, id) in &arrays.kinds {
        let resized = *dtype == DType::U8 && input.is_image() && !input.geometry.is_empty() && shape.len() == 3;
        if *shape != input.shape && !resized {
            let message = format!("case {id} has shape {shape:?}, the model wants {:?}", input.shape);
            return Err(Error::invalid("", message));
        }
        let float = matches!(input.dtype, DType::F32 | DType::F64);
        let fits = *dtype == input.dtype
            || (float && matches!(dtype, DType::F32 | DType::F64 | DType::U8))
            || (*dtype == DType::I32 && input.dtype == DType::I64);
        if !fits {
            let message = format!("case {id} is {}, the model wants {}", dtype.name(), input.dtype.name());
            return Err(Error::invalid("", message));
        }
    }
    if let Some(id) = &arrays.odd {
        return Err(Error::invalid("", format!("case {id} has a value that is not finite (NaN or infinity)")));
    }
    input.range.map_or(Ok(()), |range| within(arrays, input, range))
}

/// Whether all values are in the range, uint8 read as value / 255 where the graph wants floats.
fn within(arrays: &Arrays, input: &Input, [low, high]: [f64; 2]) -> Result<()> {
    for (bounds, wrong) in [(&arrays.low, -1.0), (&arrays.high, 1.0)] {
        for (dtype, (value, id)) in bounds {
            let unit = if dtype == DType::U8.name() && input.dtype != DType::U8 { 255.0 } else { 1.0 };
            let value = value / unit;
            let beyond = if wrong < 0.0 { low - value } else { value - high };
            if beyond > 1e-6 {
                let message = format!("case {id} has the value {value}, the range is [{low}, {high}]");
                return Err(Error::invalid("", message));
            }
        }
    }
    Ok(())
}

fn answers_fit(signature: &Signature, summary: &Summary) -> Result<()> {
    let (output, answers) = (&signature.output, &summary.answers);
    let refuse = |message: String| Err(Error::invalid("suite.expected", message));
    if output.kind == OutputKind::Value {
        let named = !answers.names.is_empty();
        return if named { refuse("the suite has class names, the model gives a value".to_owned()) } else { Ok(()) };
    }
    if answers.values > 0 {
        return refuse("the suite expects values, the model gives classes; are the labels floats?".to_owned());
    }
    let beyond = |index: u64| output.labels.is_empty() && index >= output.size as u64;
    if let Some((index, id)) = answers.largest.as_ref().filter(|(index, _)| beyond(*index)) {
        return refuse(format!("case {id} has the label {index}, the model has classes 0 to {}", output.size - 1));
    }
    if let Some((name, id)) = answers.names.iter().find(|(name, _)| !output.classes.contains(name)) {
        let hint = match nearest(name, output.classes.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if output.classes.is_empty() => "the signature declares no class names".to_owned(),
            None => "the signature does not have it".to_owned(),
        };
        return refuse(format!("case {id} has the label `{name}`; {hint}"));
    }
    Ok(())
}
