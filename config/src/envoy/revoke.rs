//! The network filter at the head of each mTLS chain: it cuts the connections of one identity when a runtime key says so.
//!
//! It holds an entry for each identity that may be connected. A connection keeps the filter that it was born with, so when
//! an access is withdrawn its entry is still there; connections of others pass the same filter untouched.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::{Kind, Resource};

use super::api::{core, ext, match_tree, network_rbac, rbac, r#type};
use super::common::extension;
use super::verdict::{first_of, passes, peer, then, typed, verdict};
use crate::model::SpiffeId;
use crate::names::{ExtensionName, revocation_key, revocation_rule};

use match_tree::matcher::matcher_tree::{MatchMap, TreeType};
use match_tree::matcher::{MatcherTree, MatcherType, OnMatch};

/// What the filter depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RevokeInput {
    /// The workload port; 0 stands for the undeclared ones.
    pub(crate) port: u16,
    /// Identities that may be connected.
    pub(crate) identities: Arc<BTreeSet<SpiffeId>>,
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
    let filter = network_rbac::Rbac {
        stat_prefix: "revoke.".to_owned(),
        matcher: Some(match_tree::Matcher {
            on_no_match: Some(Box::new(pass())),
            matcher_type: tree,
        }),
        enforcement_type: network_rbac::rbac::EnforcementType::Continuous.into(),
        ..Default::default()
    };
    let name = ExtensionName::Revoke(input.port).to_string();
    Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter))
}

/// "If the key of this identity is set, deny."
fn cut(port: u16, id: &SpiffeId) -> OnMatch {
    let fraction = ext::matching::input_matchers::runtime_fraction::v3::RuntimeFraction {
        runtime_fraction: Some(core::RuntimeFractionalPercent {
            default_value: Some(r#type::FractionalPercent::default()),
            runtime_key: revocation_key(port, id),
        }),
        ..Default::default()
    };
    let flipped = passes(peer(), typed("envoy.matching.matchers.runtime_fraction", &fraction));
    let denied = verdict(&revocation_rule(id), rbac::rbac::Action::Deny);
    then(first_of(vec![(flipped, denied)], pass()))
}

fn pass() -> OnMatch {
    verdict("connected", rbac::rbac::Action::Allow)
}
