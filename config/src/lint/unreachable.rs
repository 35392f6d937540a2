//! Route rules that no request reaches, because a rule before them in the order of precedence takes everything.
//!
//! Certain, not complete: one earlier match must cover the later one. A rule is reported only if each of its matches is covered
//! in every table in which it stands.

use std::collections::BTreeMap;

use crds::conditions::Reason;

use super::cover::match_covers;
use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::model::{Model, RouteEntry, RouteTable};
use crate::origin::Origin;

/// The first entry before `index` that takes all that the entry there would.
pub fn covering(table: &RouteTable, index: usize) -> Option<&RouteEntry> {
    let late = table.entries.get(index)?;
    table
        .entries
        .iter()
        .take(index)
        .find(|early| match_covers(&early.matches, &late.matches))
}

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    // Absent: some request may reach it.
    let mut covered: BTreeMap<Origin, Option<Origin>> = BTreeMap::new();
    for port in model.services.values().flat_map(|service| service.ports.values()) {
        for table in port.routes.iter().chain(port.consumer_routes.values()) {
            for (index, entry) in table.entries.iter().enumerate() {
                let by = covering(table, index).map(|early| early.origin.clone());
                covered
                    .entry(entry.origin.clone())
                    .and_modify(|known| *known = known.take().filter(|_| by.is_some()))
                    .or_insert(by);
            }
        }
    }
    for (origin, by) in covered {
        let (Some(by), Some(rule)) = (by, rules.get(&origin)) else {
            continue;
        };
        let message = if by == origin {
            "never matches: an earlier match of the same rule takes everything; remove it".to_owned()
        } else {
            format!(
                "never matches: {by} comes first and takes everything that it would; make its match more specific, or remove it"
            )
        };
        found.push(warning(
            &origin,
            &rule.path,
            rule.http_at,
            Reason::NeverMatches,
            message,
        ));
    }
}
