//! Objects -> text: a table, YAML, JSON or names.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::path;
use super::table::Table;
use super::{Output, Question};
use crate::admin::kinds::Column;
use crate::status::human;

/// Everything, as it was asked for.
pub(super) fn render(question: &Question, items: &[&Value]) -> String {
    match question.output {
        None | Some(Output::Wide) => {
            let columns = columns(question, items);
            table(question, &columns).render(&rows(question, &columns, items))
        }
        Some(Output::Yaml) => serde_saphyr::to_string(&whole(question, items))
            .unwrap_or_else(|error| format!("# cannot be shown: {error}\n")),
        Some(Output::Json) => format!("{:#}\n", whole(question, items)),
        Some(Output::Name) => {
            let lines = items
                .iter()
                .map(|item| [&question.kind.plural, "/", &name(item), "\n"].concat());
            lines.collect()
        }
    }
}

/// The columns to show: without the age where no object has one (files have no creation time).
pub(super) fn columns(question: &Question, items: &[&Value]) -> Vec<Column> {
    let wide = question.output == Some(Output::Wide);
    let columns = question.kind.columns.iter().filter(|column| wide || !column.wide);
    let known = |column: &&Column| !column.date || items.iter().any(|item| !path::text(item, &column.path).is_empty());
    columns.filter(known).cloned().collect()
}

/// The table of the question.
pub(super) fn table(question: &Question, columns: &[Column]) -> Table {
    let namespace = shows_namespace(question).then(|| "Namespace".to_owned());
    let headings = columns.iter().map(|column| column.name.clone());
    Table::new(namespace.into_iter().chain(["Name".to_owned()]).chain(headings))
}

/// The cells.
pub(super) fn rows(question: &Question, columns: &[Column], items: &[&Value]) -> Vec<Vec<String>> {
    let row = |item: &&Value| {
        let namespace = shows_namespace(question).then(|| field(item, "/metadata/namespace"));
        let cells = columns.iter().map(|column| {
            let text = path::text(item, &column.path);
            if column.date {
                age(&text)
            } else if column.path.ends_with("NotAfter") {
                left(&text)
            } else {
                text
            }
        });
        namespace.into_iter().chain([name(item)]).chain(cells).collect()
    };
    items.iter().map(row).collect()
}

fn shows_namespace(question: &Question) -> bool {
    question.kind.namespaced && question.namespace.is_none()
}

/// The object itself when one was asked for, else a list as `kubectl` makes it.
fn whole(question: &Question, items: &[&Value]) -> Value {
    match (items, &question.name) {
        ([one], Some(_)) => (*one).clone(),
        _ => json!({"apiVersion": "v1", "kind": "List", "items": items}),
    }
}

fn name(item: &Value) -> String {
    field(item, "/metadata/name")
}

fn field(item: &Value, pointer: &str) -> String {
    item.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// How long it is until then.
fn left(timestamp: &str) -> String {
    let Ok(end) = timestamp.parse::<jiff::Timestamp>() else {
        return String::new();
    };
    let end = SystemTime::from(end).duration_since(SystemTime::now());
    end.map_or_else(|_| "expired".to_owned(), human)
}

/// How long ago that was.
pub(super) fn age(timestamp: &str) -> String {
    let Ok(since) = timestamp.parse::<jiff::Timestamp>() else {
        return String::new();
    };
    SystemTime::now()
        .duration_since(since.into())
        .map(human)
        .unwrap_or_default()
}
