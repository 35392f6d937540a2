//! Reads compiled resources as Envoy does, as far as callers go: SAN matchers, RBAC rules and match trees. Written from Envoy's
//! documentation for the tests alone; what it does not know makes the test fail.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use prost::{Message, Name};
use xds::proto::envoy::config::listener::v3::Listener;
use xds::proto::envoy::config::rbac::v3::{self as rbac, permission, principal};
use xds::proto::envoy::config::route::v3::{Route, RouteConfiguration};
use xds::proto::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use xds::proto::envoy::r#type::matcher::v3::{HttpRequestHeaderMatchInput, StringMatcher, string_matcher};
use xds::proto::xds::r#type::matcher::v3 as tree;
use xds::{Kind, Snapshot};

use tree::matcher::matcher_list::Predicate;
use tree::matcher::matcher_list::predicate::single_predicate::Matcher as With;
use tree::matcher::matcher_list::predicate::{MatchType, SinglePredicate};
use tree::matcher::{MatcherType, OnMatch, on_match};

/// A resource of a snapshot; absent if there is none of this name.
pub(crate) fn find<M: Message + Default + Name>(snapshot: &Snapshot, kind: Kind, name: &str) -> Option<M> {
    let resource = snapshot.get(kind, name)?;
    let envelope = xds::proto::envoy::service::discovery::v3::Resource::decode(resource.body.clone()).unwrap();
    Some(envelope.resource.unwrap().to_msg().unwrap())
}

/// Whether a listener takes callers without a certificate.
pub(crate) fn takes_plaintext(listener: &Listener) -> bool {
    listener
        .filter_chains
        .iter()
        .any(|chain| chain.transport_socket.is_none())
}

/// Whether a validation context lets an identity through.
pub(crate) fn validates(secret: &Secret, identity: &str) -> bool {
    let Some(secret::Type::ValidationContext(context)) = &secret.r#type else {
        panic!("no validation context: {secret:?}")
    };
    assert!(context.trusted_ca.is_some() && context.verify_certificate_hash.is_empty());
    let matchers = &context.match_typed_subject_alt_names;
    assert!(!matchers.is_empty(), "without matchers everyone passes");
    matchers.iter().any(|san| {
        assert_eq!(san.san_type, 3, "a URI");
        string(san.matcher.as_ref().unwrap(), identity)
    })
}

fn string(matcher: &StringMatcher, value: &str) -> bool {
    assert!(!matcher.ignore_case);
    match matcher.match_pattern.as_ref().unwrap() {
        string_matcher::MatchPattern::Exact(text) => value == text,
        string_matcher::MatchPattern::Prefix(text) => value.starts_with(text.as_str()),
        string_matcher::MatchPattern::Suffix(text) => value.ends_with(text.as_str()),
        other => panic!("not about callers: {other:?}"),
    }
}

/// Whether a caller is let in, and the name of what decided.
pub(crate) type Verdict = (bool, String);

/// The permission filters on the route that leads to the application.
pub(crate) struct Permission {
    deny: rbac::Rbac,
    allow: tree::Matcher,
    shadow: Option<tree::Matcher>,
}

impl Permission {
    /// Reads them.
    pub(crate) fn of(routes: &RouteConfiguration) -> Self {
        let mut all = routes.virtual_hosts.iter().flat_map(|host| &host.routes);
        let route = all.find(|route| route.name == "application").unwrap();
        let deny = filter(route, "tulle.rbac.deny").unwrap().rules.unwrap();
        assert_eq!(deny.action(), rbac::rbac::Action::Deny);
        Self {
            deny,
            allow: filter(route, "tulle.rbac.allow").unwrap().matcher.unwrap(),
            shadow: filter(route, "tulle.rbac.shadow").and_then(|filter| filter.shadow_matcher),
        }
    }

    /// What they decide about a caller.
    pub(crate) fn enforced(&self, identity: Option<&str>) -> Verdict {
        // A map in order of name: the first is the smallest.
        let denying = self.deny.policies.iter().find(|(_, policy)| holds(policy, identity));
        if let Some((name, _)) = denying {
            return (false, name.clone());
        }
        decide(&self.allow, identity)
    }

    /// What the shadow filter would decide; absent if it has nothing to say.
    pub(crate) fn shadow(&self, identity: Option<&str>) -> Option<Verdict> {
        Some(decide(self.shadow.as_ref()?, identity))
    }
}

fn filter(route: &Route, name: &str) -> Option<Rbac> {
    let config: RbacPerRoute = route.typed_per_filter_config.get(name)?.to_msg().unwrap();
    config.rbac
}

fn holds(policy: &rbac::Policy, identity: Option<&str>) -> bool {
    let principal = policy.principals.iter().any(|one| is(one, identity));
    let permission = policy.permissions.iter().any(|one| match one.rule.as_ref().unwrap() {
        permission::Rule::Any(any) => *any,
        other => panic!("not about callers: {other:?}"),
    });
    principal && permission
}

fn is(principal: &rbac::Principal, identity: Option<&str>) -> bool {
    match principal.identifier.as_ref().unwrap() {
        principal::Identifier::Any(any) => *any,
        principal::Identifier::Authenticated(who) => {
            let named = |id: &str| who.principal_name.as_ref().is_none_or(|name| string(name, id));
            identity.is_some_and(named)
        }
        principal::Identifier::NotId(other) => !is(other, identity),
        principal::Identifier::OrIds(set) => set.ids.iter().any(|one| is(one, identity)),
        principal::Identifier::AndIds(set) => set.ids.iter().all(|one| is(one, identity)),
        other => panic!("not about callers: {other:?}"),
    }
}

fn decide(tree: &tree::Matcher, identity: Option<&str>) -> Verdict {
    let found = match &tree.matcher_type {
        None => None,
        Some(MatcherType::MatcherList(list)) => list
            .matchers
            .iter()
            .find(|field| predicate(field.predicate.as_ref().unwrap(), identity))
            .map(|field| field.on_match.as_ref().unwrap()),
        Some(other) => panic!("unknown: {other:?}"),
    };
    ending(found.or(tree.on_no_match.as_deref()).unwrap(), identity)
}

fn ending(on_match: &OnMatch, identity: Option<&str>) -> Verdict {
    match on_match.on_match.as_ref().unwrap() {
        on_match::OnMatch::Matcher(tree) => decide(tree, identity),
        on_match::OnMatch::Action(action) => {
            let action: rbac::Action = action.typed_config.as_ref().unwrap().to_msg().unwrap();
            (action.action() == rbac::rbac::Action::Allow, action.name)
        }
    }
}

fn predicate(one: &Predicate, identity: Option<&str>) -> bool {
    match one.match_type.as_ref().unwrap() {
        MatchType::SinglePredicate(single) => self::single(single, identity),
        MatchType::OrMatcher(list) => list.predicate.iter().any(|one| predicate(one, identity)),
        MatchType::AndMatcher(list) => list.predicate.iter().all(|one| predicate(one, identity)),
        MatchType::NotMatcher(one) => !predicate(one, identity),
    }
}

/// The only input is the carrier of the caller's identity.
fn single(single: &SinglePredicate, identity: Option<&str>) -> bool {
    let input = single.input.as_ref().unwrap().typed_config.as_ref().unwrap();
    let input: HttpRequestHeaderMatchInput = input.to_msg().unwrap();
    assert_eq!(input.header_name, "x-tulle-source");
    let carrier = format!("{}/", identity.unwrap_or_default());
    let Some(With::ValueMatch(matcher)) = &single.matcher else {
        panic!("not about callers: {single:?}")
    };
    match matcher.match_pattern.as_ref().unwrap() {
        tree::string_matcher::MatchPattern::Exact(text) => carrier == *text,
        tree::string_matcher::MatchPattern::Prefix(text) => carrier.starts_with(text.as_str()),
        other => panic!("not about callers: {other:?}"),
    }
}
