//! A difference made small: objects, rules and the parts of rules are left out as long as the mesh and the evaluator still
//! differ about the question. Each try is a world of its own on the running mesh; their number is limited.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::prober::Does;
use super::question::Question;
use super::session::{Ask, Difference, Session};

/// So many worlds are tried at most.
const TRIES: usize = 60;
/// Fields that may go, with all they hold.
const OPTIONAL: [&str; 14] = [
    "mtls",
    "normalization",
    "mode",
    "http",
    "grpc",
    "ports",
    "headers",
    "queryParams",
    "path",
    "method",
    "filters",
    "weight",
    "match",
    "sectionName",
];

/// Makes it small.
pub fn minimise(session: &mut Session, difference: Difference) -> Result<Difference> {
    // Most tries differ, and it has been told already for how long.
    let patience = std::mem::replace(&mut session.patience, Duration::ZERO);
    let small = shrink(session, difference);
    session.patience = patience;
    small
}

fn shrink(session: &mut Session, difference: Difference) -> Result<Difference> {
    let mut best = difference;
    let mut tries = 0;
    let mut shrunk = true;
    while shrunk {
        shrunk = false;
        for (objects, question) in smaller(&best) {
            tries += 1;
            if tries > TRIES {
                best.small = true;
                return Ok(best);
            }
            let numbered = numbered(objects, tries);
            if let Some(found) = still_differs(session, numbered, question, best.in_log)? {
                best = found;
                shrunk = true;
                break;
            }
        }
    }
    best.small = true;
    Ok(best)
}

fn still_differs(
    session: &mut Session,
    objects: Vec<Value>,
    question: Question,
    in_log: bool,
) -> Result<Option<Difference>> {
    let asks = vec![Ask::plain(question.clone()), Ask::plain(question)];
    // A world that cannot be applied is no smaller form of this difference.
    let played = session
        .stage(objects)
        .and_then(|stage| Ok((session.play(&stage, asks)?, stage)));
    let Ok((played, stage)) = played else {
        return Ok(None);
    };
    let mut found = played.differences;
    if in_log && found.is_empty() {
        session.finish_logs()?;
        found = session.ledger.sweep();
        found.extend(session.connections.sweep());
        found.retain(|difference| difference.objects == stage.objects);
    }
    Ok(found.pop())
}

/// Every world must be another file than the one before.
fn numbered(mut objects: Vec<Value>, number: usize) -> Vec<Value> {
    if let Some(world) = objects
        .first_mut()
        .and_then(|mesh| mesh.pointer_mut("/metadata/annotations/world"))
    {
        *world = format!("smaller-{number}").into();
    }
    objects
}

/// Everything that is one part smaller, whole objects first.
fn smaller(difference: &Difference) -> Vec<(Vec<Value>, Question)> {
    let mut all = Vec::new();
    let objects = &*difference.objects;
    for at in 1..objects.len() {
        let mut fewer = objects.clone();
        fewer.remove(at);
        all.push((fewer, difference.question.clone()));
    }
    for at in 0..objects.len() {
        let Some(object) = objects.get(at) else { continue };
        for spec in object.get("spec").map(parts).unwrap_or_default() {
            let mut changed = objects.clone();
            if let Some(place) = changed.get_mut(at).and_then(|object| object.get_mut("spec")) {
                *place = spec;
            }
            all.push((changed, difference.question.clone()));
        }
    }
    all.extend(
        simpler(&difference.question)
            .into_iter()
            .map(|question| (objects.clone(), question)),
    );
    all
}

/// The value without one element of a list, or without one optional field.
fn parts(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => {
            let without = (0..list.len()).map(|at| {
                let mut fewer = list.clone();
                fewer.remove(at);
                Value::Array(fewer)
            });
            let inside = list.iter().enumerate().flat_map(|(at, element)| {
                parts(element).into_iter().map(move |part| {
                    let mut changed = list.clone();
                    if let Some(place) = changed.get_mut(at) {
                        *place = part;
                    }
                    Value::Array(changed)
                })
            });
            // The last element stays: an empty list often means something else.
            without
                .filter(|fewer| fewer.as_array().is_some_and(|list| !list.is_empty()))
                .chain(inside)
                .collect()
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (name, inner) in fields {
                if OPTIONAL.contains(&name.as_str()) {
                    let mut fewer = fields.clone();
                    fewer.remove(name);
                    all.push(Value::Object(fewer));
                }
                all.extend(parts(inner).into_iter().map(|part| {
                    let mut changed = fields.clone();
                    changed.insert(name.clone(), part);
                    Value::Object(changed)
                }));
            }
            all
        }
        _ => Vec::new(),
    }
}

/// The question with fewer headers or a plainer authority.
fn simpler(question: &Question) -> Vec<Question> {
    let (Does::Http(raw) | Does::Grpc(raw)) = &question.does else {
        return Vec::new();
    };
    let with = |change: &dyn Fn(&mut super::prober::RawRequest)| {
        let mut simple = question.clone();
        if let Does::Http(raw) | Does::Grpc(raw) = &mut simple.does {
            change(raw);
        }
        simple
    };
    let mut all: Vec<Question> = (0..raw.headers.len())
        .map(|at| with(&|raw| drop(raw.headers.remove(at))))
        .collect();
    if raw.authority != "api" {
        all.push(with(&|raw| "api".clone_into(&mut raw.authority)));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parts;

    #[test]
    fn one_part_goes_at_a_time() {
        let rule = json!({"rules": [{"name": "a", "http": [{"method": "GET"}]}, {"name": "b"}]});
        let all = parts(&rule);
        assert!(all.contains(&json!({"rules": [{"name": "b"}]})));
        assert!(all.contains(&json!({"rules": [{"name": "a"}, {"name": "b"}]})));
        assert!(all.contains(&json!({"rules": [{"name": "a", "http": [{}]}, {"name": "b"}]})));
    }
}
