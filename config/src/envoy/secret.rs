//! Validation contexts, by SDS: whom a port accepts as a caller, whom a caller accepts as a server.
//!
//! The proxies' own certificates are not here: they are issued for each stream and never enter a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::{Kind, Resource};

use super::api::{matcher as proto, tls};
use super::common::inline;
use super::matcher;
use crate::model::{PortPermission, SpiffeId};
use crate::names::SecretName;
use crate::policy::traffic_permission::callers::{CallerSet, callers};

/// Matches no identity: an empty list of matchers would accept everyone.
const NOBODY: &str = "spiffe://none.invalid/";

/// A certificate hash that no certificate has, for contexts without a trust bundle.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Whom a validation context lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Every identity of the trust domain.
    Mesh,
    /// These identities.
    Identities(Arc<BTreeSet<SpiffeId>>),
    /// Those that a TCP port's permission allows, among the known ones.
    Callers(Arc<PortPermission>, Arc<BTreeSet<SpiffeId>>),
}

/// What a validation context depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidationInput {
    /// Its name.
    pub(crate) name: SecretName,
    /// Certificates of the mesh, PEM.
    pub(crate) trust_bundle: Arc<str>,
    /// The trust domain.
    pub(crate) trust_domain: Arc<str>,
    /// Whom it lets through.
    pub(crate) peers: Peers,
}

/// Compiles a validation context.
pub(crate) fn validation(input: &ValidationInput) -> Resource {
    if input.trust_bundle.is_empty() {
        return refusing(&input.name);
    }
    let matchers = match &input.peers {
        Peers::Mesh => vec![matcher::prefix(format!("spiffe://{}/", input.trust_domain))],
        Peers::Identities(ids) => ids.iter().map(|id| matcher::exact(id.as_str())).collect(),
        Peers::Callers(permission, known) => san_matchers(&callers(permission, known, &input.trust_domain)),
    };
    let matchers = if matchers.is_empty() {
        vec![matcher::exact(NOBODY)]
    } else {
        matchers
    };
    let context = tls::CertificateValidationContext {
        trusted_ca: Some(inline(&input.trust_bundle)),
        match_typed_subject_alt_names: matchers.into_iter().map(uri).collect(),
        ..Default::default()
    };
    secret(&input.name, context)
}

/// A context that no certificate passes.
pub(crate) fn refusing(name: &SecretName) -> Resource {
    let context = tls::CertificateValidationContext {
        verify_certificate_hash: vec![NO_HASH.to_owned()],
        ..Default::default()
    };
    secret(name, context)
}

fn secret(name: &SecretName, context: tls::CertificateValidationContext) -> Resource {
    let name = name.to_string();
    let message = tls::Secret {
        name: name.clone(),
        r#type: Some(tls::secret::Type::ValidationContext(context)),
    };
    Resource::new(Kind::Secret, name, &message)
}

fn san_matchers(set: &CallerSet) -> Vec<proto::StringMatcher> {
    let exact = set.identities.iter().map(|id| matcher::exact(id.as_str()));
    exact
        .chain(set.prefixes.iter().map(|prefix| matcher::prefix(&**prefix)))
        .collect()
}

fn uri(matcher: proto::StringMatcher) -> tls::SubjectAltNameMatcher {
    tls::SubjectAltNameMatcher {
        san_type: tls::subject_alt_name_matcher::SanType::Uri.into(),
        matcher: Some(matcher),
        ..Default::default()
    }
}
