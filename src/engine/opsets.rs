//! The versions that a file states for its operators.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;

use super::ml;
use super::onnx::refuse;
use crate::error::Result;

/// Nodes by domain and operator.
pub(super) type Operators = BTreeMap<(String, String), u32>;

/// Versions of ONNX's own operators whose answers were compared with onnxruntime's, which begins at 7 too. An operator
/// of an earlier version may mean something else (its broadcasting did), and one of a later version may come to.
const VERSIONS: RangeInclusive<i64> = 7..=24;

/// The same of `ai.onnx.ml`, of which 5 is the newest that there is.
const ML_VERSIONS: RangeInclusive<i64> = 1..=5;

/// Longest list of operators in a message.
const NAMED: usize = 50;

/// Opset versions by domain. Refuses operators that do not run, and versions under which those of the file may mean
/// something else than is known.
pub(super) fn read(model: &ModelProto, reader: &Onnx, operators: &Operators) -> Result<BTreeMap<String, i64>> {
    let mut versions = BTreeMap::new();
    for import in &model.opset_import {
        let (domain, version) = (&import.domain, import.version);
        if let Some(other) = versions.insert(domain.clone(), version).filter(|other| *other != version) {
            let name = domain_name(domain);
            return Err(refuse(&format!("states the opsets {other} and {version} of {name}; one was expected")));
        }
    }
    let unknown = unknown(reader, operators, &versions);
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} others") } else { String::new() };
        let named = unknown.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(refuse(&format!("uses operators that cannot be run: {named}{more}")));
    }
    let used = |domains: &[&str]| operators.keys().any(|(domain, _)| domains.contains(&domain.as_str()));
    for (domains, known) in [(&["", "ai.onnx"][..], VERSIONS), (&[ml::DOMAIN], ML_VERSIONS)] {
        let mut stated = domains.iter().filter_map(|domain| versions.get(*domain)).peekable();
        let name = domain_name(domains[0]);
        let expected = format!("{} to {} were expected", known.start(), known.end());
        if used(domains) && stated.peek().is_none() {
            return Err(refuse(&format!("states no opset of {name}, whose operators it uses; {expected}")));
        }
        if let Some(version) = stated.find(|version| used(domains) && !known.contains(version)) {
            return Err(refuse(&format!("states opset {version} of {name}; {expected}: convert the model")));
        }
    }
    Ok(versions)
}

fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// Operators that do not run, with the opset (or the domain) that they come from.
fn unknown(reader: &Onnx, operators: &Operators, versions: &BTreeMap<String, i64>) -> Vec<String> {
    let opset = |domain: &str| versions.get(domain).copied().unwrap_or(0);
    let name = |(domain, operator): &(String, String)| match domain.as_str() {
        // Operators of the domain ai.onnx.ml are not ONNX's own, whatever a file says.
        "" | "ai.onnx" if reader.op_register.0.contains_key(operator) && !ml::knows(operator) => None,
        "" | "ai.onnx" => Some(format!("{operator} (opset {})", opset("").max(opset("ai.onnx")))),
        ml::DOMAIN if ml::knows(operator) => None,
        domain => Some(format!("{domain}.{operator} (opset {})", opset(domain))),
    };
    operators.keys().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::OperatorSetIdProto;

    use super::*;
    use crate::engine::onnx::reader;

    fn answer(imports: &[(&str, i64)], operators: &[(&str, &str)]) -> String {
        let import =
            |(domain, version): &(&str, i64)| OperatorSetIdProto { domain: (*domain).into(), version: *version };
        let model = ModelProto { opset_import: imports.iter().map(import).collect(), ..Default::default() };
        let operators = operators.iter().map(|(domain, name)| (((*domain).into(), (*name).into()), 1)).collect();
        read(&model, &reader(), &operators).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn versions_that_are_not_known_are_refused_where_they_are_used() {
        let add = [("", "Add")];
        assert_eq!(answer(&[("", 17), ("com.example", 99)], &add), "");
        assert_eq!(answer(&[("ai.onnx", 17)], &add), "");
        assert_eq!(answer(&[("ai.onnx.ml", 3), ("", 99)], &[("ai.onnx.ml", "Scaler")]), "");
        for (imports, operators, words) in [
            (&[("", 6)][..], &add, "states opset 6 of ai.onnx; 7 to 24 were expected"),
            (&[("", i64::MAX)], &add, "states opset 9223372036854775807 of ai.onnx"),
            (&[], &add, "states no opset of ai.onnx, whose operators it uses"),
            (&[("", 17), ("", 12)], &add, "states the opsets 17 and 12 of ai.onnx"),
            (&[("ai.onnx.ml", 9)], &[("ai.onnx.ml", "Scaler")], "states opset 9 of ai.onnx.ml; 1 to 5 were expected"),
            (&[("", 17)], &[("com.example", "Add")], "cannot be run: com.example.Add (opset 0)"),
        ] {
            let found = answer(imports, operators);
            assert!(found.contains(words), "{found}");
        }
    }
}
