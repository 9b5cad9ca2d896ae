//! The JSON schema of a `SUITE.yaml`, by which an editor completes and checks it: fields from the type, checks and their
//! parameters from the catalogue.

use schemars::{Schema, SchemaGenerator, schema_for};
use serde_json::{Map, Value, json};

use super::suite::{GateWithPolicy, SuiteFile};
use crate::probe::{Manual, manuals};

/// The schema of the whole file.
pub(super) fn suite() -> Schema {
    schema_for!(SuiteFile)
}

/// A list of checks, each as a SPEC or as a name with parameters.
pub(super) fn checks(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = manuals().map(|manual| manual.name).collect();
    let spec = json!({"type": "string", "pattern": format!("^({})(:.*)?$", names.join("|")),
        "description": "`name` or `name:key=value,key=value`"});
    let mut forms = vec![json!({"enum": names}), spec];
    forms.extend(manuals().map(check));
    list("What is done with the cases; `clean` only predicts them.", &json!({"anyOf": forms}))
}

/// A list of gates, each as an expression or with a policy of its own.
pub(super) fn gates(generator: &mut SchemaGenerator) -> Schema {
    let text = json!({"type": "string", "pattern": "(>=|<=)",
        "description": "`check.metric >= number` or `<=`, `... >= baseline - number`; `or inconclusive` behind it"});
    let long = generator.subschema_for::<GateWithPolicy>();
    list("Conditions for a release, such as `clean.accuracy >= 0.9`.", &json!({"anyOf": [text, long]}))
}

fn list(description: &str, items: &Value) -> Schema {
    schemars::json_schema!({"type": "array", "description": description, "items": items})
}

/// A check in its long form.
fn check(manual: &'static Manual) -> Value {
    let schema = (manual.schema)();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut params = Map::new();
    let mut aliases = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        params.insert(name.clone(), parameter(property));
        // Taken, but not offered.
        for alias in property.get("aliases").and_then(Value::as_array).into_iter().flatten() {
            aliases.insert(format!("^{}$", alias.as_str().unwrap_or_default()), parameter(property));
        }
    }
    let mut params = json!({"type": "object", "properties": params, "additionalProperties": false});
    if !aliases.is_empty() {
        params["patternProperties"] = Value::Object(aliases);
    }
    json!({"type": "object", "title": manual.name, "description": manual.summary(), "required": ["name"],
        "properties": {"name": {"const": manual.name}, "params": params}, "additionalProperties": false})
}

/// One value or, for a curve, a list of them; a number that need not be whole may be a fraction.
fn parameter(property: &Value) -> Value {
    let mut one = property.as_object().cloned().unwrap_or_default();
    let mut whole = Map::new();
    for key in ["description", "default"] {
        whole.extend(one.remove(key).map(|value| (key.to_owned(), value)));
    }
    one.remove("aliases");
    let mut forms = vec![Value::Object(one.clone())];
    if is_number(property) {
        forms.push(json!({"type": "string", "pattern": r"^-?[0-9.]+ ?/ ?[0-9.]+$"}));
    }
    let items = json!({"anyOf": forms});
    forms.push(json!({"type": "array", "items": items, "minItems": 1}));
    whole.insert("anyOf".to_owned(), Value::Array(forms));
    Value::Object(whole)
}

fn is_number(property: &Value) -> bool {
    let word = |value: &Value| value == "number";
    let typed = property.get("type").is_some_and(|t| word(t) || t.as_array().is_some_and(|all| all.iter().any(word)));
    let choices = property.get("anyOf").or_else(|| property.get("oneOf")).and_then(Value::as_array);
    typed || choices.is_some_and(|all| all.iter().any(is_number))
}
