//! `-w`: prints what changes, until it is interrupted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{Client, List};
use super::{Output, Question, output};

/// Follows from `list` on.
pub(super) async fn follow(client: &Client, question: &Question, list: List) -> anyhow::Result<()> {
    let mut version = list.version;
    let mut seen = texts(question, &list);
    let first = question.select(&list);
    let columns = output::columns(question, &first);
    let mut table = output::table(question, &columns);
    // Its widths are those of what was printed already.
    table.render(&output::rows(question, &columns, &first));
    loop {
        let next = tokio::select! {
            next = client.next(&question.kind.plural, version) => next?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        version = next.version;
        let now = texts(question, &next);
        let items = question.select(&next);
        let changed: Vec<&Value> = items
            .into_iter()
            .filter(|item| seen.get(&key(item)) != now.get(&key(item)))
            .collect();
        if !changed.is_empty() {
            let text = match question.output {
                None | Some(Output::Wide) => table.lines(&output::rows(question, &columns, &changed)),
                _ => output::render(question, &changed),
            };
            crate::cli::print(&text)?;
        }
        seen = now;
    }
}

/// What is shown of each object, to see whether that changed.
fn texts(question: &Question, list: &List) -> BTreeMap<String, String> {
    let items = question.select(list);
    match question.output {
        None | Some(Output::Wide) => {
            let columns = output::columns(question, &items);
            let rows = output::rows(question, &columns, &items);
            items
                .iter()
                .zip(rows)
                .map(|(item, row)| (key(item), row.join("\u{1f}")))
                .collect()
        }
        _ => items.iter().map(|item| (key(item), item.to_string())).collect(),
    }
}

fn key(item: &Value) -> String {
    let field = |pointer| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", field("/metadata/namespace"), field("/metadata/name"))
}
