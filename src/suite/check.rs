//! `name` or `name:key=value,...`: a probe with parameters.

use serde::Serialize;

use crate::error::{Error, Result, nearest};
use crate::probe::corruption::{CORRUPTIONS, Entry, Severity, find};

/// A check as asked for, understood.
pub struct Check {
    /// As given, byte for byte.
    pub spec: String,
    pub(super) kind: Kind,
}

/// What a check does to the cases.
pub(super) enum Kind {
    Clean,
    Corruption(&'static Entry, Vec<Severity>),
}

/// Canonical parameters of one point of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Params {
    /// Of a corruption, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
}

impl Check {
    /// Reads a SPEC. Unknown names and parameters are refused with the nearest known one.
    pub fn parse(spec: &str) -> Result<Self> {
        let (name, params) = spec.split_once(':').unwrap_or((spec, ""));
        let mut severities = None;
        for param in split(params) {
            let (key, value) = param
                .split_once('=')
                .ok_or_else(|| Error::invalid("params", format!("`{param}` was found, `key=value` was expected")))?;
            match (name, key) {
                ("clean", _) => return Err(Error::invalid(format!("params.{key}"), "clean has no parameters")),
                (_, "severity") => severities = Some(severity(value)?),
                _ => {
                    let hint = nearest(key, ["severity"]).map_or(String::new(), |n| format!("; did you mean {n}?"));
                    return Err(Error::invalid(format!("params.{key}"), format!("{name} has no {key}{hint}")));
                }
            }
        }
        let kind = match (name, find(name)) {
            ("clean", _) => Kind::Clean,
            (_, Some(entry)) => Kind::Corruption(entry, severities.unwrap_or_else(|| Severity::ALL.to_vec())),
            (_, None) => {
                let known = CORRUPTIONS.iter().map(|entry| entry.name).chain(["clean"]);
                let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n}?"));
                return Err(Error::invalid("name", format!("there is no probe `{name}`{hint}")));
            }
        };
        Ok(Self { spec: spec.to_owned(), kind })
    }

    /// Name of the probe.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Clean => "clean",
            Kind::Corruption(entry, _) => entry.name,
        }
    }
}

/// `3` or `[1,3]`.
fn severity(value: &str) -> Result<Vec<Severity>> {
    let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    list.split(',')
        .map(|level| {
            level
                .trim()
                .parse()
                .ok()
                .and_then(Severity::new)
                .ok_or_else(|| Error::invalid("params.severity", format!("`{level}` was found, 1 to 5 was expected")))
        })
        .collect()
}

/// Parts between commas that stand outside brackets; nothing for an empty text.
fn split(params: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0i32, 0, Vec::new());
    for (at, c) in params.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&params[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !params.is_empty() {
        parts.push(&params[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(spec: &str) -> Vec<u8> {
        match Check::parse(spec).unwrap().kind {
            Kind::Clean => Vec::new(),
            Kind::Corruption(_, severities) => severities.into_iter().map(Severity::level).collect(),
        }
    }

    #[test]
    fn specs_are_read() {
        assert_eq!(levels("gaussian_noise"), [1, 2, 3, 4, 5]);
        assert_eq!(levels("gaussian_noise:severity=3"), [3]);
        assert_eq!(levels("gaussian_noise:severity=[1,3]"), [1, 3]);
        assert!(levels("clean").is_empty());
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (spec, expect) in [
            ("gausian_noise", "did you mean gaussian_noise?"),
            ("gaussian_noise:severty=3", "did you mean severity?"),
            ("gaussian_noise:severity=6", "1 to 5 was expected"),
            ("gaussian_noise:3", "`key=value` was expected"),
            ("clean:severity=1", "clean has no parameters"),
            ("", "there is no probe"),
        ] {
            let error = Check::parse(spec).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expect), "{spec}: {error}");
        }
    }
}
