//! The network filter at the head of each mTLS chain: it cuts the connections of one identity when a runtime key says so.
//!
//! It holds an entry for each identity that may be connected. A connection keeps the filter that it was born with, so when
//! an access is withdrawn its entry is still there; connections of others pass the same filter untouched.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::{Kind, Resource};

use super::api::{any, core, ext, match_tree, network_rbac, rbac, r#type};
use super::common::extension;
use crate::model::SpiffeId;
use crate::names::{ExtensionName, revocation_key, revocation_rule};

use match_tree::matcher::matcher_list::predicate::single_predicate::Matcher as Custom;
use match_tree::matcher::matcher_list::predicate::{MatchType, SinglePredicate};
use match_tree::matcher::matcher_list::{FieldMatcher, Predicate};
use match_tree::matcher::matcher_tree::{MatchMap, TreeType};
use match_tree::matcher::{MatcherList, MatcherTree, MatcherType, OnMatch, on_match};

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
    let entry = |id: &SpiffeId| (id.to_string(), nested(cut(input.port, id)));
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
fn cut(port: u16, id: &SpiffeId) -> match_tree::Matcher {
    let fraction = ext::matching::input_matchers::runtime_fraction::v3::RuntimeFraction {
        runtime_fraction: Some(core::RuntimeFractionalPercent {
            default_value: Some(r#type::FractionalPercent::default()),
            runtime_key: revocation_key(port, id),
        }),
        ..Default::default()
    };
    let flipped = SinglePredicate {
        input: Some(peer()),
        matcher: Some(Custom::CustomMatch(typed(
            "envoy.matching.matchers.runtime_fraction",
            &fraction,
        ))),
    };
    let field = FieldMatcher {
        predicate: Some(Predicate {
            match_type: Some(MatchType::SinglePredicate(flipped)),
        }),
        on_match: Some(action(&revocation_rule(id), rbac::rbac::Action::Deny)),
    };
    match_tree::Matcher {
        on_no_match: Some(Box::new(pass())),
        matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers: vec![field] })),
    }
}

fn pass() -> OnMatch {
    action("connected", rbac::rbac::Action::Allow)
}

fn action(name: &str, action: rbac::rbac::Action) -> OnMatch {
    let action = rbac::Action {
        name: name.to_owned(),
        action: action.into(),
    };
    OnMatch {
        on_match: Some(on_match::OnMatch::Action(typed("action", &action))),
        ..Default::default()
    }
}

fn nested(matcher: match_tree::Matcher) -> OnMatch {
    OnMatch {
        on_match: Some(on_match::OnMatch::Matcher(Box::new(matcher))),
        ..Default::default()
    }
}

/// The peer's URI SAN.
fn peer() -> xds::proto::xds::core::v3::TypedExtensionConfig {
    typed(
        "envoy.matching.inputs.uri_san",
        &ext::matching::common_inputs::ssl::v3::UriSanInput {},
    )
}

fn typed<M: prost::Message + prost::Name>(name: &str, message: &M) -> xds::proto::xds::core::v3::TypedExtensionConfig {
    xds::proto::xds::core::v3::TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(any(message)),
    }
}
