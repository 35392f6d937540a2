//! `tulle can-i --list`: who may call what.
//!
//! A few pairs are listed one by one with the rules that decide; of a larger mesh each Service port is one row, callers in short.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::ensure;
use config::Model;
use config::matrix::{Access, Cell, Row, matrix};
use config::model::{Key, SpiffeId};
use serde_json::{Value, json};

use super::Filter;
use crate::cli::ask::{Output, say};
use crate::cli::get::table::Table;

/// So many pairs are listed one by one.
const FEW_PAIRS: usize = 40;
/// Callers without a certificate.
const PLAINTEXT: &str = "plaintext";
/// So many callers are named in a cell.
const NAMED: usize = 4;

/// The answer. A filter that nobody fits is a mistake: an empty list would say that nobody may.
pub(super) fn render(model: &Model, filter: &Filter, output: Output) -> anyhow::Result<String> {
    let trust_domain = &*model.mesh.trust_domain;
    let caller = |name: &str| fits(filter.from.as_ref(), name);
    let identity = |identity: &SpiffeId| caller(&say::identity(identity, trust_domain));
    let service = |service: &Key| {
        filter
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == *service.namespace)
            && fits(filter.to.as_ref(), &service.to_string())
    };
    if let Some(from) = &filter.from {
        let known = caller(PLAINTEXT) || model.identities.iter().any(identity);
        ensure!(
            known,
            "no caller contains {from:?}; without --from all of them are listed"
        );
    }
    if let Some(to) = &filter.to {
        let known = model.services.keys().any(service);
        ensure!(
            known,
            "no Service asked about contains {to:?}; without --to all of them are listed"
        );
    }
    let mut rows = matrix(model, identity, service);
    if !caller(PLAINTEXT) {
        for row in &mut rows {
            row.plaintext = None;
        }
    }
    let rows: Vec<Line> = rows.iter().map(|row| Line::of(row, trust_domain)).collect();
    let table = match output {
        Output::Json => return Ok(format!("{:#}\n", as_json(&rows))),
        Output::Text if rows.iter().map(|row| row.cells.len().max(1)).sum::<usize>() <= FEW_PAIRS => pairs(&rows),
        Output::Text => summary(&rows),
    };
    Ok(table + &truncated(&rows))
}

/// A line for each port of which not everything is known.
fn truncated(rows: &[Line<'_>]) -> String {
    let cut = rows.iter().filter(|line| line.row.truncated);
    let say = |line: &Line<'_>| {
        format!(
            "{} has more rules than were tried: yes and no there may be some\n",
            line.to
        )
    };
    cut.map(say).collect::<Vec<_>>().concat()
}

fn fits(wanted: Option<&String>, name: &str) -> bool {
    wanted.is_none_or(|wanted| name.contains(wanted.as_str()))
}

/// One Service port in words.
struct Line<'a> {
    row: &'a Row,
    to: String,
    cells: Vec<(String, &'a Cell)>,
}

impl<'a> Line<'a> {
    fn of(row: &'a Row, trust_domain: &str) -> Self {
        let callers = row
            .callers
            .iter()
            .map(|(id, cell)| (say::identity(id, trust_domain), cell));
        let plaintext = row.plaintext.iter().map(|cell| (PLAINTEXT.to_owned(), cell));
        Self {
            row,
            to: format!("{}:{}", row.service, row.port),
            cells: callers.chain(plaintext).collect(),
        }
    }

    fn with(&self, access: Access) -> Vec<&str> {
        self.cells
            .iter()
            .filter(|(_, cell)| cell.access == access)
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Yes => "yes",
        Access::Some => "some",
        Access::No => "no",
    }
}

fn rules(rules: &BTreeSet<Arc<str>>) -> String {
    rules.iter().map(|rule| &**rule).collect::<Vec<_>>().join(", ")
}

fn pairs(rows: &[Line<'_>]) -> String {
    let mut table = Table::new(["From", "To", "Access", "Rules"].map(str::to_owned));
    let mut lines = Vec::new();
    for row in rows {
        if row.row.outside {
            lines.push(vec![
                "-".to_owned(),
                row.to.clone(),
                "outside".to_owned(),
                "no workload of the mesh is behind it".to_owned(),
            ]);
        }
        for (from, cell) in &row.cells {
            lines.push(vec![
                from.clone(),
                row.to.clone(),
                word(cell.access).to_owned(),
                rules(&cell.rules),
            ]);
        }
    }
    table.render(&lines)
}

fn summary(rows: &[Line<'_>]) -> String {
    let mut table = Table::new(["To", "Yes", "Some", "No"].map(str::to_owned));
    let line = |row: &Line<'_>| {
        let cell = |access| {
            names(
                &row.with(access),
                &row.cells.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            )
        };
        if row.row.outside {
            return vec![row.to.clone(), "outside".to_owned(), String::new(), String::new()];
        }
        vec![row.to.clone(), cell(Access::Yes), cell(Access::Some), cell(Access::No)]
    };
    table.render(&rows.iter().map(line).collect::<Vec<_>>())
}

/// A few names, or who is left out, or how many.
fn names(some: &[&str], all: &[&str]) -> String {
    let others: Vec<&str> = all.iter().filter(|name| !some.contains(name)).copied().collect();
    match (some.len(), others.len()) {
        (0, _) => "-".to_owned(),
        (_, 0) => "everybody".to_owned(),
        (count, _) if count <= NAMED => some.join(", "),
        (_, left) if left <= NAMED => format!("everybody but {}", others.join(", ")),
        (count, _) => format!(
            "{} and {} more",
            some.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "),
            count - NAMED
        ),
    }
}

fn as_json(rows: &[Line<'_>]) -> Value {
    let cell = |(from, cell): &(String, &Cell)| {
        let rules: Vec<&str> = cell.rules.iter().map(|rule| &**rule).collect();
        json!({"from": from, "access": word(cell.access), "rules": rules})
    };
    let row = |line: &Line<'_>| {
        json!({
            "service": line.row.service.to_string(),
            "port": line.row.port,
            "name": &*line.row.name,
            "protocol": format!("{:?}", line.row.protocol),
            "complete": !line.row.truncated,
            "outside": line.row.outside,
            "callers": line.cells.iter().map(cell).collect::<Vec<_>>(),
        })
    };
    Value::Array(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn many_names_become_few_words() {
        let all: Vec<String> = (0..50).map(|n| format!("shop/s{n:02}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let (one, most) = all.split_at(1);
        assert_eq!(names(&[], &all), "-");
        assert_eq!(names(&all, &all), "everybody");
        assert_eq!(names(one, &all), "shop/s00");
        assert_eq!(names(most, &all), "everybody but shop/s00");
        assert_eq!(
            names(all.split_at(25).0, &all),
            "shop/s00, shop/s01, shop/s02, shop/s03 and 21 more"
        );
    }
}
