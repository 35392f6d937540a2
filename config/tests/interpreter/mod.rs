//! Reads compiled resources as Envoy does, as far as callers go: SAN matchers, RBAC rules and match trees. Written from Envoy's
//! documentation for the tests alone; what it does not know makes the test fail.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;

use prost::{Message, Name};
use xds::proto::envoy::config::core::v3::{TypedExtensionConfig, data_source, substitution_format_string};
use xds::proto::envoy::config::listener::v3::{FilterChain, Listener, filter};
use xds::proto::envoy::config::rbac::v3::{self as rbac, permission, principal};
use xds::proto::envoy::config::route::v3::{Route, RouteConfiguration};
use xds::proto::envoy::extensions::filters::common::set_filter_state::v3::filter_state_value::{self, Key};
use xds::proto::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use xds::proto::envoy::extensions::filters::network::rbac::v3::{Rbac as NetworkRbac, rbac::EnforcementType};
use xds::proto::envoy::extensions::filters::network::set_filter_state::v3::Config as CauseConfig;
use xds::proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use xds::proto::envoy::extensions::matching::common_inputs::network::v3::{
    DynamicMetadataInput, dynamic_metadata_input::path_segment,
};
use xds::proto::envoy::extensions::matching::common_inputs::ssl::v3::UriSanInput;
use xds::proto::envoy::extensions::matching::input_matchers::metadata::v3::Metadata;
use xds::proto::envoy::extensions::matching::input_matchers::runtime_fraction::v3::RuntimeFraction;
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use xds::proto::envoy::service::runtime::v3::Runtime;
use xds::proto::envoy::r#type::matcher::v3::{
    HttpRequestHeaderMatchInput, StringMatcher, string_matcher, value_matcher,
};
use xds::proto::xds::r#type::matcher::v3 as tree;
use xds::{Kind, Snapshot};

use tree::matcher::matcher_list::Predicate;
use tree::matcher::matcher_list::predicate::single_predicate::Matcher as With;
use tree::matcher::matcher_list::predicate::{MatchType, SinglePredicate};
use tree::matcher::{MatcherType, on_match};

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
        .any(|chain| chain.transport_socket.is_none() && leads_somewhere(chain))
}

/// The chain of callers who are refused leads nowhere.
fn leads_somewhere(chain: &FilterChain) -> bool {
    let config = chain.filters.last().unwrap().config_type.as_ref().unwrap();
    let filter::ConfigType::TypedConfig(config) = config else {
        panic!("the last filter is known")
    };
    let Ok(proxy) = config.to_msg::<TcpProxy>() else {
        return true;
    };
    proxy.cluster_specifier != Some(tcp_proxy::ClusterSpecifier::Cluster("blackhole".to_owned()))
}

/// What the filter state of a connection to a TCP port names as the cause.
pub(crate) fn connection_cause(snapshot: &Snapshot, port: u16, identity: Option<&str>) -> Option<String> {
    let config: TypedExtensionConfig = find(snapshot, Kind::ExtensionConfig, &format!("cause/{port}"))?;
    let filter: CauseConfig = config.typed_config.unwrap().to_msg().unwrap();
    let of = |name: &str| {
        let mut all = filter.on_new_connection.iter();
        let found = all.find(|one| one.key == Some(Key::ObjectKey(name.to_owned())))?;
        assert_eq!(found.factory_key, "envoy.string");
        Some(text(found.value.as_ref().unwrap()))
    };
    match identity {
        Some(identity) => of(identity).or_else(|| of("tulle.cause")),
        None => of("tulle.plain"),
    }
}

fn text(value: &filter_state_value::Value) -> String {
    let filter_state_value::Value::FormatString(format) = value;
    let Some(substitution_format_string::Format::TextFormatSource(source)) = &format.format else {
        panic!("no text: {format:?}")
    };
    let Some(data_source::Specifier::InlineString(text)) = &source.specifier else {
        panic!("not inline: {source:?}")
    };
    text.clone()
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

/// What filters have reported so far: results by key.
type Reports = BTreeMap<String, &'static str>;

/// The permission filters on the route that leads to the application.
pub(crate) struct Permission {
    /// Absent where there is no candidate.
    shadow: Option<Rbac>,
    deny: Rbac,
    allow: Rbac,
}

impl Permission {
    /// Reads them.
    pub(crate) fn of(routes: &RouteConfiguration) -> Self {
        let mut all = routes.virtual_hosts.iter().flat_map(|host| &host.routes);
        let route = all.find(|route| route.name == "application").unwrap();
        Self {
            shadow: filter(route, "tulle.rbac.shadow"),
            deny: filter(route, "tulle.rbac.deny").unwrap(),
            allow: filter(route, "tulle.rbac.allow").unwrap(),
        }
    }

    /// What they decide about a caller.
    pub(crate) fn enforced(&self, identity: Option<&str>) -> Verdict {
        if let Some(name) = denied(self.deny.rules.as_ref().unwrap(), identity) {
            return (false, name);
        }
        let tree = self.allow.matcher.as_ref().unwrap();
        decide(tree, identity, &Reports::new()).unwrap()
    }

    /// What they report of the candidate, filter by filter; absent if there is none.
    pub(crate) fn shadow(&self, identity: Option<&str>) -> Option<Verdict> {
        let shadow = self.shadow.as_ref()?;
        let mut reports = Reports::new();
        let by_rule = denied(shadow.shadow_rules.as_ref().unwrap(), identity).map(|name| (false, name));
        report(&mut reports, shadow, by_rule.is_none());
        let step = |rbac: &Rbac, reports: &Reports| decide(rbac.shadow_matcher.as_ref()?, identity, reports);
        let allowed = step(&self.deny, &reports);
        report(
            &mut reports,
            &self.deny,
            allowed.as_ref().is_some_and(|verdict| verdict.0),
        );
        // Whoever the deny filter stops is not seen by the next one.
        let reached = denied(self.deny.rules.as_ref().unwrap(), identity).is_none();
        let default = step(&self.allow, &reports).filter(|_| reached);
        let mut named = by_rule.into_iter().chain(allowed).chain(default);
        let verdict = named.next();
        assert_eq!(named.next(), None, "one verdict has one name");
        Some(verdict.unwrap())
    }
}

/// What the network filters of a TCP port report of the candidate; absent if there is none.
pub(crate) fn connection_shadow(snapshot: &Snapshot, port: u16, identity: Option<&str>) -> Option<Verdict> {
    let parts: &[&str] = if identity.is_some() {
        &["denied", "allowed"]
    } else {
        &["plain"]
    };
    let filters = parts.iter().filter_map(|part| {
        let config: TypedExtensionConfig = find(snapshot, Kind::ExtensionConfig, &format!("shadow/{port}/{part}"))?;
        let filter: NetworkRbac = config.typed_config.unwrap().to_msg().unwrap();
        decide(filter.shadow_matcher.as_ref()?, identity, &Reports::new())
    });
    let verdicts: Vec<Verdict> = filters.collect();
    assert!(verdicts.len() < 2, "one verdict has one name: {verdicts:?}");
    verdicts.into_iter().next()
}

/// Of callers without an identity: whether a connection that is made now can be cut later, and whether older ones are being cut.
pub(crate) fn cuts_plaintext(snapshot: &Snapshot, port: u16) -> (bool, bool) {
    let key = format!("tulle.revoke.{port}.plaintext");
    let layer: Runtime = find(snapshot, Kind::Runtime, "tulle").unwrap();
    let cutting = layer.layer.unwrap().fields.contains_key(&key);
    let Some(config) = find::<TypedExtensionConfig>(snapshot, Kind::ExtensionConfig, &format!("revoke-plain/{port}"))
    else {
        return (false, cutting);
    };
    let filter: NetworkRbac = config.typed_config.unwrap().to_msg().unwrap();
    assert_eq!(filter.enforcement_type(), EnforcementType::Continuous);
    let tree = filter.matcher.unwrap();
    let verdict = |found: &tree::matcher::OnMatch| {
        let Some(on_match::OnMatch::Action(action)) = &found.on_match else {
            panic!("no verdict: {found:?}")
        };
        let action: rbac::Action = action.typed_config.as_ref().unwrap().to_msg().unwrap();
        action.action()
    };
    assert_eq!(verdict(tree.on_no_match.as_ref().unwrap()), rbac::rbac::Action::Allow);
    let Some(MatcherType::MatcherList(list)) = tree.matcher_type else {
        return (false, cutting);
    };
    let [field] = list.matchers.as_slice() else {
        panic!("one entry: {list:?}")
    };
    assert_eq!(verdict(field.on_match.as_ref().unwrap()), rbac::rbac::Action::Deny);
    let Some(MatchType::SinglePredicate(single)) = &field.predicate.as_ref().unwrap().match_type else {
        panic!("one test: {field:?}")
    };
    let Some(With::CustomMatch(test)) = &single.matcher else {
        panic!("a test by runtime: {single:?}")
    };
    let test: RuntimeFraction = test.typed_config.as_ref().unwrap().to_msg().unwrap();
    let fraction = test.runtime_fraction.unwrap();
    assert_eq!(
        (fraction.runtime_key, fraction.default_value.unwrap().numerator),
        (key, 0)
    );
    (true, cutting)
}

fn report(reports: &mut Reports, filter: &Rbac, passes: bool) {
    let key = format!("{}shadow_engine_result", filter.shadow_rules_stat_prefix);
    reports.insert(key, if passes { "allowed" } else { "denied" });
}

/// The name of the rule that denies.
fn denied(rules: &rbac::Rbac, identity: Option<&str>) -> Option<String> {
    assert_eq!(rules.action(), rbac::rbac::Action::Deny);
    // A map in order of name: the first is the smallest.
    let mut denying = rules.policies.iter().filter(|(_, policy)| holds(policy, identity));
    denying.next().map(|(name, _)| name.clone())
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

/// What a tree decides; absent if nothing in it holds.
fn decide(tree: &tree::Matcher, identity: Option<&str>, reports: &Reports) -> Option<Verdict> {
    let found = match &tree.matcher_type {
        None => None,
        Some(MatcherType::MatcherList(list)) => list
            .matchers
            .iter()
            .find(|field| predicate(field.predicate.as_ref().unwrap(), identity, reports))
            .map(|field| field.on_match.as_ref().unwrap()),
        Some(other) => panic!("unknown: {other:?}"),
    };
    match found.or(tree.on_no_match.as_deref())?.on_match.as_ref().unwrap() {
        on_match::OnMatch::Matcher(tree) => decide(tree, identity, reports),
        on_match::OnMatch::Action(action) => {
            let action: rbac::Action = action.typed_config.as_ref().unwrap().to_msg().unwrap();
            Some((action.action() == rbac::rbac::Action::Allow, action.name))
        }
    }
}

fn predicate(one: &Predicate, identity: Option<&str>, reports: &Reports) -> bool {
    match one.match_type.as_ref().unwrap() {
        MatchType::SinglePredicate(single) => self::single(single, identity, reports),
        MatchType::OrMatcher(list) => list.predicate.iter().any(|one| predicate(one, identity, reports)),
        MatchType::AndMatcher(list) => list.predicate.iter().all(|one| predicate(one, identity, reports)),
        MatchType::NotMatcher(one) => !predicate(one, identity, reports),
    }
}

/// Inputs are the carrier of the caller's identity, the identity itself, and what earlier filters reported.
fn single(single: &SinglePredicate, identity: Option<&str>, reports: &Reports) -> bool {
    let input = single.input.as_ref().unwrap().typed_config.as_ref().unwrap();
    let value = if let Ok(header) = input.to_msg::<HttpRequestHeaderMatchInput>() {
        assert_eq!(header.header_name, "x-tulle-source");
        format!("{}/", identity.unwrap_or_default())
    } else if input.to_msg::<UriSanInput>().is_ok() {
        identity.unwrap().to_owned()
    } else {
        return reported(single, &input.to_msg().unwrap(), reports);
    };
    let Some(With::ValueMatch(matcher)) = &single.matcher else {
        panic!("not about callers: {single:?}")
    };
    match matcher.match_pattern.as_ref().unwrap() {
        tree::string_matcher::MatchPattern::Exact(text) => value == *text,
        tree::string_matcher::MatchPattern::Prefix(text) => value.starts_with(text.as_str()),
        other => panic!("not about callers: {other:?}"),
    }
}

fn reported(single: &SinglePredicate, input: &DynamicMetadataInput, reports: &Reports) -> bool {
    let [segment] = input.path.as_slice() else {
        panic!("one key: {input:?}")
    };
    let Some(path_segment::Segment::Key(key)) = &segment.segment else {
        panic!("one key: {input:?}")
    };
    let Some(With::CustomMatch(test)) = &single.matcher else {
        panic!("not about reports: {single:?}")
    };
    let test: Metadata = test.typed_config.as_ref().unwrap().to_msg().unwrap();
    let Some(value_matcher::MatchPattern::StringMatch(wanted)) = test.value.unwrap().match_pattern else {
        panic!("not about reports: {single:?}")
    };
    reports.get(key).is_some_and(|found| string(&wanted, found)) != test.invert
}
