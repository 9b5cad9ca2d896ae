//! A check as a job asks for it, understood.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::spec;
use crate::error::{Error, Result, nearest};
use crate::probe::corruption::{self, Entry, Parameters, Severity};
use crate::probe::{Manual, Nothing, manual, manuals};

/// A probe with parameters.
pub struct Check {
    /// As given, byte for byte.
    pub spec: String,
    pub manual: &'static Manual,
    /// What it does at each of its points: one, or several where a parameter is a list (a curve).
    pub(super) points: Vec<Point>,
}

/// One setting of a check.
pub(super) struct Point {
    pub(super) action: Action,
    /// Canonical parameters, defaults filled in.
    pub(super) params: Map<String, Value>,
    /// `name:key=value`, the key of the random numbers.
    pub(super) canonical: String,
}

/// What is done to a case before the model is asked.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Nothing,
    Corrupt(&'static Entry, Severity),
}

impl Action {
    /// Name of the array that is kept of it.
    pub(super) fn array(self) -> &'static str {
        match self {
            Self::Nothing => "scores",
            Self::Corrupt(..) => "x_corrupted",
        }
    }
}

impl Check {
    /// Reads a SPEC. Unknown names and parameters are refused with the nearest known one.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, params) = spec::read(text)?;
        Self::new(text, &name, params)
    }

    /// A check from its name and parameters; `text` is echoed in all output.
    pub fn new(text: &str, name: &str, params: Map<String, Value>) -> Result<Self> {
        let Some(manual) = manual(name) else {
            let hint =
                nearest(name, manuals().map(|m| m.name)).map_or(String::new(), |n| format!("; did you mean {n}?"));
            return Err(Error::invalid("name", format!("there is no probe `{name}`{hint}")));
        };
        known(manual, &params)?;
        let points = match corruption::find(name) {
            None => {
                let Nothing {} = typed(params)?;
                vec![point(manual, Map::new(), Action::Nothing)]
            }
            Some(entry) => {
                let parameters: Parameters = typed(params)?;
                let levels = parameters.severity.levels();
                if levels.is_empty() || (1..levels.len()).any(|i| levels[..i].contains(&levels[i])) {
                    return Err(Error::invalid("params.severity", "an empty list or a repeated severity was found"));
                }
                let at = |&level: &Severity| {
                    let params = Map::from_iter([("severity".to_owned(), level.level().into())]);
                    point(manual, params, Action::Corrupt(entry, level))
                };
                levels.iter().map(at).collect()
            }
        };
        Ok(Self { spec: text.to_owned(), manual, points })
    }

    /// Number of points: verdicts that each case gets.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point; never so for a check that was read.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Canonical parameters of a point.
    pub fn params(&self, point: usize) -> &Map<String, Value> {
        &self.points[point].params
    }

    /// The SPEC of one point alone.
    pub fn canonical(&self, point: usize) -> &str {
        &self.points[point].canonical
    }

    /// Parameters of the whole check: those that differ between points as lists.
    pub fn all_params(&self) -> Map<String, Value> {
        let keys = self.points.iter().flat_map(|p| p.params.keys()).collect::<std::collections::BTreeSet<_>>();
        let all = |key: &String| Value::Array(self.points.iter().filter_map(|p| p.params.get(key).cloned()).collect());
        keys.into_iter().map(|key| (key.clone(), all(key))).collect()
    }
}

fn point(manual: &Manual, params: Map<String, Value>, action: Action) -> Point {
    Point { action, canonical: spec::write(manual.name, &params), params }
}

/// Refuses parameters that the probe's schema does not name.
fn known(manual: &Manual, params: &Map<String, Value>) -> Result<()> {
    let schema = (manual.schema)();
    let names: Vec<String> =
        schema.get("properties").and_then(Value::as_object).map_or(Vec::new(), |p| p.keys().cloned().collect());
    if let Some(key) = params.keys().find(|key| !names.contains(key)) {
        let hint = match nearest(key, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if names.is_empty() => "it has no parameters".to_owned(),
            None => format!("it has {}", names.join(", ")),
        };
        return Err(Error::invalid(
            format!("params.{key}"),
            format!("{} has no parameter `{key}`; {hint}", manual.name),
        ));
    }
    Ok(())
}

/// The parameters as the probe's own struct, one by one, so that an error names its field.
fn typed<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T> {
    for (key, value) in &params {
        let alone = Map::from_iter([(key.clone(), whole(value.clone()))]);
        if let Err(e) = serde_json::from_value::<T>(Value::Object(alone)) {
            let found = value.to_string();
            let expected = e.to_string().replace(
                "data did not match any variant of untagged enum Severities",
                "1 to 5, or a list, was expected",
            );
            return Err(Error::invalid(format!("params.{key}"), format!("{found} was found: {expected}")));
        }
    }
    let whole = params.into_iter().map(|(k, v)| (k, whole(v))).collect();
    serde_json::from_value(Value::Object(whole)).map_err(|e| Error::invalid("params", e.to_string()))
}

/// Floats without a fraction as integers: a Struct has floats alone.
fn whole(value: Value) -> Value {
    match value {
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => Value::from(f as i64),
            _ => Value::Number(n),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(whole).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_makes_points_and_defaults_are_filled_in() {
        let levels =
            |spec: &str| Check::parse(spec).unwrap().points.iter().map(|p| p.canonical.clone()).collect::<Vec<_>>();
        assert_eq!(levels("gaussian_noise").len(), 5);
        assert_eq!(levels("gaussian_noise:severity=3"), ["gaussian_noise:severity=3"]);
        assert_eq!(levels("gaussian_noise:severity=[1,3]").len(), 2);
        assert_eq!(levels("clean"), ["clean"]);
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (spec, expect) in [
            ("gausian_noise", "did you mean gaussian_noise?"),
            (
                "gaussian_noise:severty=3",
                "params.severty: gaussian_noise has no parameter `severty`; did you mean severity?",
            ),
            ("gaussian_noise:severity=6", "params.severity: 6 was found: 1 to 5"),
            ("gaussian_noise:severity=[1,1]", "repeated"),
            ("clean:severity=1", "no parameters"),
            ("", "there is no probe"),
        ] {
            let error = Check::parse(spec).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expect), "{spec}: {error}");
        }
    }
}
