//! The JSON paths of printer columns: `.a.b`, `[0]`, `[*]`, `[?(@.type=='Ready')]`.

use serde_json::Value;

/// The values at a path, as text, joined by commas; empty if there are none.
pub(super) fn text(object: &Value, path: &str) -> String {
    let mut found = vec![object];
    let mut rest = path;
    while !rest.is_empty() {
        let Some((step, tail)) = step(rest) else {
            return String::new();
        };
        found = found.into_iter().flat_map(|value| apply(value, &step)).collect();
        rest = tail;
    }
    found.into_iter().map(plain).collect::<Vec<_>>().join(",")
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
    All,
    Where(&'a str, &'a str),
}

fn step(path: &str) -> Option<(Step<'_>, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (field, tail) = rest.split_at_checked(end)?;
        return Some((Step::Field(field), tail));
    }
    let (inside, tail) = path.strip_prefix('[')?.split_once(']')?;
    let step = match inside.strip_prefix("?(@.").and_then(|inside| inside.strip_suffix("')")) {
        Some(condition) => {
            let (field, value) = condition.split_once("=='")?;
            Step::Where(field, value)
        }
        None if inside == "*" => Step::All,
        None => Step::Index(inside.parse().ok()?),
    };
    Some((step, tail))
}

fn apply<'a>(value: &'a Value, step: &Step<'_>) -> Vec<&'a Value> {
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Field(field) => value.get(field).into_iter().collect(),
        Step::Index(index) => value.get(index).into_iter().collect(),
        Step::All => items().iter().collect(),
        Step::Where(field, wanted) => items()
            .iter()
            .filter(|item| item.get(field).and_then(Value::as_str) == Some(*wanted))
            .collect(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| format!("{key}={}", plain(value)))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn printer_column_paths_are_read() {
        let object = json!({
            "spec": {"parentRefs": [{"name": "a"}, {"name": "b"}], "selector": {"app": "x", "tier": "y"}},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}], "n": 4},
        });
        for (path, text) in [
            (".spec.parentRefs[0].name", "a"),
            (".spec.parentRefs[*].name", "a,b"),
            (".spec.selector", "app=x,tier=y"),
            (".status.conditions[?(@.type=='Ready')].status", "True"),
            (".status.n", "4"),
            (".status.none", ""),
            (".spec.parentRefs[7].name", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(super::text(&object, path), text, "{path}");
        }
    }
}
