//! Sources that name nobody: a service account, namespace or SPIFFE ID of our own trust domain that no workload has.
//!
//! Exact for the objects at hand; a caller that joins later, or that stands in another folder, makes it untrue. Other trust
//! domains are not ours to know, so nothing is said about them.

use crds::conditions::Reason;

use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::model::{Model, Source, SpiffeId};

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    for rule in rules.good() {
        for (index, source) in rule.sources.iter().flatten().enumerate() {
            if let Some(problem) = problem(model, source) {
                let field = format!("{}[{index}]", rule.sources_at);
                found.push(warning(
                    &rule.origin,
                    &rule.path,
                    &field,
                    Reason::UnknownIdentity,
                    problem,
                ));
            }
        }
    }
}

fn problem(model: &Model, source: &Source) -> Option<String> {
    let ours = format!("spiffe://{}/", model.mesh.trust_domain);
    match source {
        Source::Identity(identity) if identity.as_str().starts_with(&ours) && !model.identities.contains(identity) => {
            Some(format!(
                "no workload is {identity}; correct the name, or ignore this until the caller exists"
            ))
        }
        Source::Prefix(prefix)
            if prefix.starts_with(&ours)
                && !spells_one(model, prefix)
                && first_from(model, prefix).is_none_or(|id| !id.as_str().starts_with(&**prefix)) =>
        {
            let bare = prefix.trim_end_matches('/');
            let longer = first_from(model, bare).filter(|id| id.as_str().starts_with(bare));
            let hint = longer.map_or_else(String::new, |id| {
                format!("; whole segments are compared, so {id} is not below it")
            });
            Some(format!(
                "no workload is below {prefix}{hint}; correct it, or ignore this until the caller exists"
            ))
        }
        _ => None,
    }
}

/// Whether a prefix is an identity as it stands: that one is included.
fn spells_one(model: &Model, prefix: &str) -> bool {
    model
        .identities
        .contains(&SpiffeId::from_uri(prefix.trim_end_matches('/')))
}

/// The first identity that sorts at or after a text.
fn first_from<'a>(model: &'a Model, text: &str) -> Option<&'a SpiffeId> {
    model.identities.range(SpiffeId::from_uri(text)..).next()
}
