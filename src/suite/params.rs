//! Parameters as given, against a probe's schema: defaults filled in, lists spread into points, mistakes named.

use serde_json::{Map, Value};

use crate::error::{Error, Result, Violations, nearest};
use crate::probe::Manual;

/// Most points of one check, so that a few lists cannot ask for millions of verdicts a case.
const POINTS_MAX: usize = 100;

/// The parameters of each point, complete and in the schema's order.
///
/// Any parameter may be given as a list, which makes a curve; several lists are crossed, the last varying fastest.
/// Aliases are taken for the name that they stand for. Errors name `params.KEY`.
pub(super) fn points(manual: &Manual, given: Map<String, Value>) -> Result<Vec<Map<String, Value>>> {
    let properties = properties(manual);
    let mut given = named(manual, &properties, given)?;
    let mut violations = Violations::default();
    let mut points = vec![Map::new()];
    for (key, property) in &properties {
        let default = || property.get("default").cloned().map(whole);
        let value = given.remove(key).or_else(default).unwrap_or(Value::Null);
        let values = violations.catch(spread(property, value).map_err(|e| e.under(&format!("params.{key}"))))?;
        points = cross(points, key, &values.unwrap_or_default());
        if points.len() > POINTS_MAX {
            let message = format!("its lists make more than {POINTS_MAX} points, the limit for one check");
            violations.catch(Err::<(), _>(Error::invalid(format!("params.{key}"), message)))?;
            break;
        }
    }
    violations.finish()?;
    Ok(points)
}

/// The parameters that differ from the defaults: what tells this setting of the probe from its others.
pub(super) fn telling(manual: &Manual, params: &Map<String, Value>) -> Map<String, Value> {
    let properties = properties(manual);
    let default = |key: &String| properties.get(key).and_then(|p| p.get("default")).map(|d| whole(d.clone()));
    params
        .iter()
        .filter(|(key, value)| default(key).as_ref() != Some(value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn properties(manual: &Manual) -> Map<String, Value> {
    (manual.schema)().get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The given parameters under their own names; unknown ones are refused with the nearest known.
fn named(manual: &Manual, properties: &Map<String, Value>, given: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut violations = Violations::default();
    let mut known = Map::new();
    for (key, value) in given {
        let alias =
            |p: &Value| p.get("aliases").and_then(Value::as_array).is_some_and(|a| a.contains(&key.clone().into()));
        let name = if properties.contains_key(&key) {
            Some(&key)
        } else {
            properties.iter().find(|(_, p)| alias(p)).map(|(k, _)| k)
        };
        let refused = match name {
            Some(name) if known.contains_key(name) => format!("{name} is given twice"),
            Some(name) => {
                known.insert(name.clone(), whole(value));
                continue;
            }
            None => {
                let names = || properties.keys().map(String::as_str);
                let hint = match nearest(&key, names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None if properties.is_empty() => "it has no parameters".to_owned(),
                    None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
                };
                format!("{} has no parameter `{key}`; {hint}", manual.name)
            }
        };
        violations.catch(Err::<(), _>(Error::invalid(format!("params.{key}"), refused)))?;
    }
    violations.finish()?;
    Ok(known)
}

/// The values of one parameter: one, or those of a list where the parameter is not a list itself.
fn spread(property: &Value, value: Value) -> Result<Vec<Value>> {
    let values = match value {
        Value::Array(items) if !fits(property, &Value::Array(items.clone())) => items,
        one => vec![one],
    };
    if values.is_empty() {
        return Err(Error::invalid("", format!("an empty list was found, {} was expected", expected(property))));
    }
    for (i, value) in values.iter().enumerate() {
        if !fits(property, value) {
            return Err(Error::invalid("", format!("{value} was found, {} was expected", expected(property))));
        }
        if values[..i].contains(value) {
            return Err(Error::invalid("", format!("{value} was found twice in one list")));
        }
    }
    Ok(values)
}

/// Every point with every value; no value (null) leaves the parameter out.
fn cross(points: Vec<Map<String, Value>>, key: &str, values: &[Value]) -> Vec<Map<String, Value>> {
    let mut crossed = Vec::new();
    for point in points {
        for value in values {
            let mut point = point.clone();
            if !value.is_null() {
                point.insert(key.to_owned(), value.clone());
            }
            crossed.push(point);
        }
    }
    crossed
}

/// The alternatives of a property, where it has some.
fn choices(property: &Value) -> Option<&Vec<Value>> {
    property.get("anyOf").or_else(|| property.get("oneOf")).and_then(Value::as_array)
}

/// Whether a value is what the schema says: its type, its bounds, its choices.
fn fits(property: &Value, value: &Value) -> bool {
    if let Some(choices) = choices(property) {
        return choices.iter().any(|choice| fits(choice, value));
    }
    let number = |bound: &str| property.get(bound).and_then(Value::as_f64);
    let of_type = |name: &str| match name {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value
            .as_array()
            .is_some_and(|items| property.get("items").is_none_or(|item| items.iter().all(|v| fits(item, v)))),
        _ => false,
    };
    let typed = match property.get("type") {
        Some(Value::String(name)) => of_type(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(of_type),
        _ => true,
    };
    let bounded = value.as_f64().is_none_or(|v| {
        number("minimum").is_none_or(|low| v >= low)
            && number("maximum").is_none_or(|high| v <= high)
            && number("exclusiveMinimum").is_none_or(|low| v > low)
            && number("exclusiveMaximum").is_none_or(|high| v < high)
    });
    let chosen = property.get("enum").and_then(Value::as_array).is_none_or(|all| all.contains(value))
        && property.get("const").is_none_or(|only| only == value);
    typed && bounded && chosen
}

/// What a property takes, in words.
fn expected(property: &Value) -> String {
    let words = |values: Vec<String>| values.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" or ");
    if let Some(choices) = choices(property) {
        return words(choices.iter().map(expected).collect());
    }
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    if let Some(only) = property.get("const") {
        return text(only);
    }
    if let Some(all) = property.get("enum").and_then(Value::as_array) {
        return words(all.iter().filter(|v| !v.is_null()).map(text).collect());
    }
    let name = |name: &str| match name {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "",
    };
    let types = match property.get("type") {
        Some(Value::Array(names)) => {
            words(names.iter().filter_map(Value::as_str).map(|n| name(n).to_owned()).collect())
        }
        Some(Value::String(one)) => name(one).to_owned(),
        _ => String::new(),
    };
    let number = |bound: &str| property.get(bound).and_then(Value::as_f64);
    let bounds = match (number("minimum"), number("maximum")) {
        (Some(low), Some(high)) => format!(" from {low} to {high}"),
        (Some(low), None) => format!(" of at least {low}"),
        (None, Some(high)) => format!(" up to {high}"),
        (None, None) => number("exclusiveMinimum").map_or(String::new(), |low| format!(" above {low}")),
    };
    types + &bounds
}

/// Floats without a fraction as integers, and integers that no float tells apart as floats: a Struct has floats alone, and
/// a check is the same however it came.
fn whole(value: Value) -> Value {
    match value {
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => Value::from(f as i64),
            Some(f) => Value::from(f),
            None => Value::Number(n),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(whole).collect()),
        other => other,
    }
}
