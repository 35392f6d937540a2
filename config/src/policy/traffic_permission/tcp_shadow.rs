//! What the candidate policy of a TCP port would do to a connection, as network filters that only report.
//!
//! They look at the first byte of the caller, or at the orderly end of what it sends: one who does neither is not reported, and
//! who was refused in the TLS handshake has never come here. A filter gives a name to one side only, denied or allowed, since a report does not tell them apart.

use std::sync::Arc;

use xds::{Kind, Resource};

use super::view::View;
use crate::envoy::api::{match_tree, network_rbac, rbac};
use crate::envoy::common::extension;
use crate::envoy::reported::{SHADOW_ALLOW_PREFIX, SHADOW_DENY_PREFIX};
use crate::envoy::verdict::{all_of, any_of, begins, first_of, is, not, only, peer, verdict};
use crate::model::{Candidate, PermissionRule, Source};
use crate::names::{ExtensionName, ShadowPart};

use match_tree::matcher::OnMatch;
use match_tree::matcher::matcher_list::Predicate;
use rbac::rbac::Action;

/// What a filter depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShadowInput {
    /// The workload port; 0 stands for the undeclared ones.
    pub(crate) port: u16,
    /// What it reports.
    pub(crate) part: ShadowPart,
    /// The policy that it reports on; without one it does nothing.
    pub(crate) candidate: Option<Arc<Candidate>>,
    /// The trust domain.
    pub(crate) trust_domain: Arc<str>,
}

/// Compiles a filter.
pub(crate) fn filter(input: &ShadowInput) -> Resource {
    let mut filter = network_rbac::Rbac {
        stat_prefix: "shadow.".to_owned(),
        ..Default::default()
    };
    if let Some(candidate) = &input.candidate {
        // Where plaintext is refused there is no chain that asks.
        let view = View::would_be(candidate, true);
        let (matcher, prefix) = match input.part {
            ShadowPart::Denied => (denied(view, &input.trust_domain), SHADOW_DENY_PREFIX),
            ShadowPart::Allowed => (allowed(view, &input.trust_domain), SHADOW_ALLOW_PREFIX),
            ShadowPart::Plain => plain(view),
        };
        filter.shadow_matcher = matcher;
        prefix.clone_into(&mut filter.shadow_rules_stat_prefix);
    }
    let name = ExtensionName::Shadow(input.port, input.part).to_string();
    Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter))
}

/// Deny rules, and the default for whom nothing allows.
fn denied(view: View<'_>, trust_domain: &str) -> Option<match_tree::Matcher> {
    let mut entries: Vec<_> = rules(view.deny)
        .filter_map(|rule| Some((callers(rule, trust_domain)?, named(rule, Action::Deny))))
        .collect();
    let allowing = allowing(view, trust_domain).into_iter().map(|entry| entry.0);
    let remaining = any_of(allowing.collect()).map_or_else(everyone, not);
    entries.push((remaining, verdict(&view.default.denied(), Action::Deny)));
    only(entries)
}

/// What allows, for whom no Deny rule names.
fn allowed(view: View<'_>, trust_domain: &str) -> Option<match_tree::Matcher> {
    let denied = any_of(
        rules(view.deny)
            .filter_map(|rule| callers(rule, trust_domain))
            .collect(),
    );
    let entries = allowing(view, trust_domain).into_iter();
    let entries = entries.filter_map(|(condition, on_match)| {
        let guard = denied.clone().map(not);
        Some((all_of(guard.into_iter().chain([condition]).collect())?, on_match))
    });
    only(entries.collect())
}

fn allowing(view: View<'_>, trust_domain: &str) -> Vec<(Predicate, OnMatch)> {
    let rules = rules(view.allow).filter_map(|rule| {
        let sources = rule.sources.as_ref()?;
        Some((sources_match(sources, trust_domain)?, named(rule, Action::Allow)))
    });
    let default = view.default.allow_mesh.then(|| {
        let mesh = begins(peer(), format!("spiffe://{trust_domain}/"));
        (mesh, verdict(&view.default.name, Action::Allow))
    });
    rules.chain(default).collect()
}

/// Callers without an identity are all alike, so the verdict is known here, and under which prefix it is reported.
fn plain(view: View<'_>) -> (Option<match_tree::Matcher>, &'static str) {
    let names = |rule: &&Arc<PermissionRule>, absent: bool| {
        let sources = rule.sources.as_ref();
        sources.map_or(absent, |sources| sources.contains(&Source::Unauthenticated))
    };
    let denying = rules(view.deny).find(|rule| names(rule, true));
    let allowing = rules(view.allow).find(|rule| names(rule, false));
    let (verdict, prefix) = match (denying, allowing) {
        (Some(rule), _) => (named(rule, Action::Deny), SHADOW_DENY_PREFIX),
        (None, Some(rule)) => (named(rule, Action::Allow), SHADOW_ALLOW_PREFIX),
        (None, None) if view.default.allow_plaintext => {
            (verdict(&view.default.name, Action::Allow), SHADOW_ALLOW_PREFIX)
        }
        (None, None) => (verdict(&view.default.denied(), Action::Deny), SHADOW_DENY_PREFIX),
    };
    (Some(first_of(Vec::new(), verdict)), prefix)
}

/// Rules about requests concern no TCP port.
fn rules(all: &[Arc<PermissionRule>]) -> impl Iterator<Item = &Arc<PermissionRule>> {
    all.iter().filter(|rule| rule.http.is_none())
}

fn named(rule: &PermissionRule, action: Action) -> OnMatch {
    verdict(&rule.origin.to_string(), action)
}

/// Whom a Deny rule names; absent when nobody with an identity.
fn callers(rule: &PermissionRule, trust_domain: &str) -> Option<Predicate> {
    rule.sources
        .as_ref()
        .map_or_else(|| Some(everyone()), |sources| sources_match(sources, trust_domain))
}

fn everyone() -> Predicate {
    begins(peer(), "spiffe://")
}

fn sources_match(sources: &[Source], trust_domain: &str) -> Option<Predicate> {
    let one = |source: &Source| match source {
        Source::Identity(id) => vec![is(peer(), id.as_str())],
        // Whole segments: the identity that the prefix spells is included.
        Source::Prefix(prefix) => vec![is(peer(), prefix.trim_end_matches('/')), begins(peer(), &**prefix)],
        Source::Authenticated => vec![begins(peer(), format!("spiffe://{trust_domain}/"))],
        Source::Unauthenticated => Vec::new(),
    };
    any_of(sources.iter().flat_map(one).collect())
}
