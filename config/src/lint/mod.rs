//! What is most likely not meant: findings about rules that are valid, and do nothing or more than they look.
//!
//! Only warnings, only what is certain: each check says how exact it is, and a check that cannot know stays silent. Errors are
//! found by parse and link; nothing here changes what is in force.

mod cover;
mod covered;
mod identity;
mod impossible;
mod nowhere;
mod rules;
mod spelled;
mod unreachable;
mod wide;

use std::sync::Arc;

use crds::conditions::Reason;

pub use cover::match_covers;
pub use unreachable::covering;

use crate::diagnostic::{Diagnostic, Severity};
use crate::input::Objects;
use crate::model::Model;
use crate::origin::Origin;
use rules::Rules;

/// All warnings about a set of objects and the model that was built of them, sorted.
pub fn lint(objects: &Objects, model: &Model) -> Vec<Diagnostic> {
    let rules = Rules::of(objects, &model.mesh.trust_domain);
    let mut found = Vec::new();
    covered::check(model, &rules, &mut found);
    identity::check(model, &rules, &mut found);
    impossible::check(model, &rules, &mut found);
    nowhere::check(model, &rules, &mut found);
    spelled::check(model, &rules, &mut found);
    unreachable::check(model, &rules, &mut found);
    wide::check(&rules, &mut found);
    found.sort();
    found.dedup();
    found
}

/// A warning about one rule, or about a field of it (`.http[0].path.value`).
fn warning(origin: &Origin, path: &str, field: &str, reason: Reason, message: String) -> Diagnostic {
    Diagnostic {
        object: Arc::clone(&origin.object),
        path: format!("{path}{field}"),
        rule: origin.rule.clone(),
        reason,
        message,
        severity: Severity::Warning,
    }
}
