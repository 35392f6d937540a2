//! What decides about each caller of a TCP port, as filter state that the access log reads (`envoy/connection_cause.rs`).
//!
//! It decides nothing itself. An identity that is not known decides like one that no rule names; it is known as soon as a
//! workload has it. Above [`MOST`] identities that differ from that the log names no cause for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xds::{Kind, Resource};

use crate::access::matches;
use crate::envoy::api::{core, ext};
use crate::envoy::common::{extension, inline};
use crate::model::{PermissionRule, PortPermission, Source, SpiffeId};
use crate::names::{CAUSE, ExtensionName, PLAIN_CAUSE, VERIFIED};

use ext::filters::common::set_filter_state::v3 as state;
use ext::filters::network::set_filter_state::v3::Config;

/// Each connection carries its table with it.
const MOST: usize = 64;

/// What a filter depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CauseInput {
    /// The workload port; 0 stands for the undeclared ones.
    pub(crate) port: u16,
    /// Who may call it; without that it names nothing.
    pub(crate) permission: Option<Arc<PortPermission>>,
    /// All identities of the mesh.
    pub(crate) known: Arc<BTreeSet<SpiffeId>>,
    /// The trust domain.
    pub(crate) trust_domain: Arc<str>,
}

/// Compiles a filter.
pub(crate) fn filter(input: &CauseInput) -> Resource {
    let table = input
        .permission
        .as_ref()
        .map(|permission| table(permission, &input.known, &input.trust_domain))
        .unwrap_or_default();
    let filter = Config {
        on_new_connection: table.iter().map(|(key, cause)| value(key, cause)).collect(),
        on_downstream_tls_handshake: vec![value(VERIFIED, "yes")],
        ..Default::default()
    };
    let name = ExtensionName::Cause(input.port).to_string();
    Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter))
}

/// By identity, and for everyone else, with and without a certificate.
fn table(permission: &PortPermission, known: &BTreeSet<SpiffeId>, trust_domain: &str) -> BTreeMap<Arc<str>, String> {
    let stranger = SpiffeId::from_uri(&format!("spiffe://{trust_domain}/"));
    let usual = cause(permission, &stranger, trust_domain);
    let rules = || permission.deny.iter().chain(&permission.allow);
    let sources = rules().flat_map(|rule| rule.sources.iter().flatten());
    let named = sources.filter_map(|source| match source {
        Source::Identity(id) => Some(id),
        Source::Prefix(_) | Source::Authenticated | Source::Unauthenticated => None,
    });
    let all: BTreeSet<&SpiffeId> = known.iter().chain(named).collect();
    let unusual = all.into_iter().filter_map(|id| {
        let cause = cause(permission, id, trust_domain);
        (cause != usual).then(|| (id.as_str().into(), cause))
    });
    let mut table: BTreeMap<Arc<str>, String> = unusual.take(MOST + 1).collect();
    if table.len() > MOST {
        table.pop_last();
    } else {
        table.insert(CAUSE.into(), usual);
    }
    table.insert(PLAIN_CAUSE.into(), plain(permission));
    table
}

/// What decides about an identity: the Deny rule of the smallest name, else the Allow rule, else the default.
fn cause(permission: &PortPermission, id: &SpiffeId, trust_domain: &str) -> String {
    let names = |source: &Source| matches(source, id, trust_domain);
    let default = &permission.default;
    named(permission, &names).unwrap_or_else(|| {
        if default.allow_mesh && names(&Source::Authenticated) {
            default.name.to_string()
        } else {
            default.denied()
        }
    })
}

/// The same for callers without a certificate.
fn plain(permission: &PortPermission) -> String {
    let default = &permission.default;
    named(permission, &|source| *source == Source::Unauthenticated).unwrap_or_else(|| {
        if default.allow_plaintext {
            default.allowed()
        } else {
            default.denied()
        }
    })
}

/// Rules about requests concern no TCP port.
fn named(permission: &PortPermission, names: &dyn Fn(&Source) -> bool) -> Option<String> {
    let smallest = |rules: &[Arc<PermissionRule>], absent: bool| {
        let about = rules.iter().filter(|rule| {
            let sources = rule.sources.as_ref();
            rule.http.is_none() && sources.map_or(absent, |sources| sources.iter().any(names))
        });
        about.map(|rule| rule.origin.to_string()).min()
    };
    smallest(&permission.deny, true).or_else(|| smallest(&permission.allow, false))
}

/// A state under a name of ours or an identity; both are shown as they are.
fn value(key: &str, text: &str) -> state::FilterStateValue {
    let format = core::SubstitutionFormatString {
        // A percent sign would begin a command.
        format: Some(core::substitution_format_string::Format::TextFormatSource(inline(
            &text.replace('%', "%%"),
        ))),
        ..Default::default()
    };
    state::FilterStateValue {
        key: Some(state::filter_state_value::Key::ObjectKey(key.to_owned())),
        factory_key: "envoy.string".to_owned(),
        value: Some(state::filter_state_value::Value::FormatString(format)),
        ..Default::default()
    }
}
