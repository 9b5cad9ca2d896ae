//! The text form of a check: `name` or `name:key=value,key=value`.

use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// Name and parameters of a SPEC. Fractions (`8/255`) become numbers, `[a,b]` lists, other words text.
pub(super) fn read(spec: &str) -> Result<(String, Map<String, Value>)> {
    let (name, params) = spec.split_once(':').unwrap_or((spec, ""));
    let mut map = Map::new();
    for param in split(params)? {
        let Some((key, text)) = param.split_once('=') else {
            return Err(Error::invalid("params", format!("`{param}` was found, `key=value` was expected")));
        };
        let key = key.trim();
        if map.insert(key.to_owned(), value(text.trim())?).is_some() {
            return Err(Error::invalid(format!("params.{key}"), "is given twice"));
        }
    }
    Ok((name.trim().to_owned(), map))
}

/// The SPEC of a name and parameters, which [`read`] reads back to the same.
pub fn write(name: &str, params: &Map<String, Value>) -> String {
    let parts: Vec<String> = params.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    if parts.is_empty() { name.to_owned() } else { format!("{name}:{}", parts.join(",")) }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        // A whole number looks the same whether it came as text or through a Struct, where all numbers are floats.
        other => other.as_f64().map_or_else(|| other.to_string(), |v| v.to_string()),
    }
}

fn value(text: &str) -> Result<Value> {
    if let Some(list) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return Ok(Value::Array(split(list)?.into_iter().map(|t| value(t.trim())).collect::<Result<_>>()?));
    }
    Ok(match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

/// An integer, a float, or a fraction of two of them.
fn number(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let float = match text.split_once('/') {
        Some((over, under)) => over.trim().parse::<f64>().ok()? / under.trim().parse::<f64>().ok()?,
        None => text.parse::<f64>().ok()?,
    };
    Number::from_f64(float)
}

/// Parts between commas that stand outside brackets; nothing for an empty text.
fn split(params: &str) -> Result<Vec<&str>> {
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
        if !(0..=1).contains(&depth) {
            return Err(Error::invalid("params", format!("`{params}` has brackets that do not match")));
        }
    }
    if depth != 0 {
        return Err(Error::invalid("params", format!("`{params}` has brackets that do not match")));
    }
    if !params.is_empty() {
        parts.push(&params[start..]);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fractions_lists_and_words_are_read() {
        let (name, params) = read("pgd:norm=linf,eps=[1/255,0.5],steps=40,random_start=true").unwrap();
        assert_eq!(name, "pgd");
        assert_eq!(params["norm"], "linf");
        assert_eq!(params["eps"][0], 1.0 / 255.0);
        assert_eq!(params["steps"], 40);
        assert_eq!(params["random_start"], true);
        assert_eq!(read(&write(&name, &params)).unwrap().1["eps"][1], 0.5);
    }

    #[test]
    fn torn_specs_are_refused() {
        for (spec, expect) in
            [("a:3", "`key=value`"), ("a:b=[1", "brackets"), ("a:b=1,b=2", "twice"), ("a:b=[[1]]", "brackets")]
        {
            let error = read(spec).unwrap_err().to_string();
            assert!(error.contains(expect), "{spec}: {error}");
        }
    }
}
