//! The network filter at the head of each chain: it cuts the connections of one identity, or in the chain of plaintext
//! callers of all of them, when a runtime key says so.
//!
//! It holds an entry for each identity that may be connected. A connection keeps the filter that it was born with, so when
//! an access is withdrawn its entry is still there; connections of others pass the same filter untouched, and so do new ones
//! of who is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::{Kind, Resource};

use super::api::{core, ext, match_tree, network_rbac, rbac, r#type};
use super::common::extension;
use super::verdict::{first_of, passes, peer, source_address, then, typed, verdict};
use crate::model::SpiffeId;
use crate::names::{ExtensionName, PLAIN_REVOCATION_RULE, plain_revocation_key, revocation_key, revocation_rule};

use match_tree::matcher::matcher_list::Predicate;
use match_tree::matcher::matcher_tree::{MatchMap, TreeType};
use match_tree::matcher::{MatcherTree, MatcherType, OnMatch};
use xds::proto::xds::core::v3::TypedExtensionConfig;

/// What the filter depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevokeInput {
    /// The workload port; 0 stands for the undeclared ones.
    pub(crate) port: u16,
    /// Identities that may be connected.
    pub(crate) identities: Arc<BTreeSet<SpiffeId>>,
}

/// What the filter for callers without an identity depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevokePlainInput {
    /// The workload port; 0 stands for the undeclared ones.
    pub(crate) port: u16,
    /// Whether such callers may be connected.
    pub(crate) access: bool,
}

/// Compiles the filter.
pub(crate) fn revoke(input: &RevokeInput) -> Resource {
    let entry = |id: &SpiffeId| (id.to_string(), cut(input.port, id));
    let map = MatchMap {
        map: input.identities.iter().map(entry).collect(),
    };
    // A tree without entries is refused.
    let tree = (!map.map.is_empty()).then(|| {
        MatcherType::MatcherTree(MatcherTree {
            input: Some(peer()),
            tree_type: Some(TreeType::ExactMatchMap(map)),
        })
    });
    let matcher = match_tree::Matcher {
        on_no_match: Some(Box::new(pass())),
        matcher_type: tree,
    };
    filter(ExtensionName::Revoke(input.port), matcher)
}

/// Compiles the filter for callers without an identity.
pub(crate) fn revoke_plain(input: &RevokePlainInput) -> Resource {
    let key = plain_revocation_key(input.port);
    // Without a peer an input that asks for one gives no verdict at all.
    let entry = input
        .access
        .then(|| flipped(source_address(), key, PLAIN_REVOCATION_RULE));
    let matcher = first_of(entry.into_iter().collect(), pass());
    filter(ExtensionName::RevokePlain(input.port), matcher)
}

fn filter(name: ExtensionName, matcher: match_tree::Matcher) -> Resource {
    let filter = network_rbac::Rbac {
        stat_prefix: "revoke.".to_owned(),
        matcher: Some(matcher),
        enforcement_type: network_rbac::rbac::EnforcementType::Continuous.into(),
        ..Default::default()
    };
    let name = name.to_string();
    Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter))
}

/// "If the key of this identity is set, deny."
fn cut(port: u16, id: &SpiffeId) -> OnMatch {
    let entry = flipped(peer(), revocation_key(port, id), &revocation_rule(id));
    then(first_of(vec![entry], pass()))
}

/// "If the key is set, deny." Envoy asks for an input to draw lots by.
fn flipped(input: TypedExtensionConfig, runtime_key: String, rule: &str) -> (Predicate, OnMatch) {
    let fraction = ext::matching::input_matchers::runtime_fraction::v3::RuntimeFraction {
        runtime_fraction: Some(core::RuntimeFractionalPercent {
            default_value: Some(r#type::FractionalPercent::default()),
            runtime_key,
        }),
        ..Default::default()
    };
    let flipped = passes(input, typed("envoy.matching.matchers.runtime_fraction", &fraction));
    (flipped, verdict(rule, rbac::rbac::Action::Deny))
}

fn pass() -> OnMatch {
    verdict("connected", rbac::rbac::Action::Allow)
}
