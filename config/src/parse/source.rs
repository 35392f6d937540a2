//! Sources of rules: who is calling.
//!
//! The trust domain is not known here: one object is parsed at a time. Link puts it in.

use std::sync::Arc;

use crds::conditions::Reason;
use crds::source::{SourceType, SpiffeMatch, SpiffeSource};

use super::findings::{Findings, Part};
use super::{report_unknown, value};
use crate::model::{Source, SpiffeId};

/// A caller, before the mesh's own trust domain is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceNode {
    /// A service account of our own trust domain.
    ServiceAccount(Arc<str>, Arc<str>),
    /// Every service account of a namespace of our own trust domain.
    Namespace(Arc<str>),
    /// A source that names its own trust domain, or none.
    Ready(Source),
}

impl SourceNode {
    /// With the mesh's trust domain put in.
    pub(crate) fn resolve(&self, trust_domain: &str) -> Source {
        match self {
            Self::ServiceAccount(namespace, name) => Source::Identity(SpiffeId::of(trust_domain, namespace, name)),
            Self::Namespace(namespace) => Source::Prefix(format!("spiffe://{trust_domain}/ns/{namespace}/").into()),
            Self::Ready(source) => source.clone(),
        }
    }
}

/// All sources of a rule. One bad source makes the whole list bad: what was meant is not known.
pub(crate) fn sources(
    sources: Option<&Vec<crds::source::Source>>,
    path: &str,
    findings: &mut Findings,
) -> Part<Vec<SourceNode>> {
    let Some(sources) = sources else { return Part::Absent };
    let nodes: Vec<Option<SourceNode>> = sources
        .iter()
        .enumerate()
        .map(|(index, one)| source(one, &format!("{path}[{index}]"), findings))
        .collect();
    Part::checked(nodes.into_iter().collect())
}

fn source(source: &crds::source::Source, path: &str, findings: &mut Findings) -> Option<SourceNode> {
    if report_unknown(source, path, findings) {
        return None;
    }
    let given = [
        source.service_account.is_some(),
        source.spiffe.is_some(),
        source.namespace.is_some(),
    ];
    let expected = match source.source_type {
        SourceType::ServiceAccount => [true, false, false],
        SourceType::Spiffe => [false, true, false],
        SourceType::Namespace => [false, false, true],
        SourceType::Authenticated | SourceType::Unauthenticated => [false, false, false],
    };
    if given != expected {
        findings.error(
            path,
            Reason::Invalid,
            "the type and the fields do not fit; give the one field that belongs to the type",
        );
        return None;
    }
    match source.source_type {
        SourceType::Authenticated => Some(SourceNode::Ready(Source::Authenticated)),
        SourceType::Unauthenticated => Some(SourceNode::Ready(Source::Unauthenticated)),
        SourceType::ServiceAccount => {
            let account = source.service_account.as_ref()?;
            let namespace = name(
                &account.namespace,
                &format!("{path}.serviceAccount.namespace"),
                findings,
            )?;
            Some(SourceNode::ServiceAccount(
                namespace,
                name(&account.name, &format!("{path}.serviceAccount.name"), findings)?,
            ))
        }
        SourceType::Namespace => {
            let namespace = source.namespace.as_ref()?;
            Some(SourceNode::Namespace(name(
                &namespace.name,
                &format!("{path}.namespace.name"),
                findings,
            )?))
        }
        SourceType::Spiffe => {
            spiffe(source.spiffe.as_ref()?, &format!("{path}.spiffe.value"), findings).map(SourceNode::Ready)
        }
    }
}

fn name(text: &str, path: &str, findings: &mut Findings) -> Option<Arc<str>> {
    if value::is_name(text) {
        return Some(text.into());
    }
    findings.error(
        path,
        Reason::Invalid,
        format!("{text:?} is not a Kubernetes name; use lower-case letters, digits, `-` and `.`"),
    );
    None
}

fn spiffe(source: &SpiffeSource, path: &str, findings: &mut Findings) -> Option<Source> {
    let text = source.value.as_str();
    let problem = match source.match_type {
        SpiffeMatch::TrustDomain if value::is_trust_domain(text) => {
            return Some(Source::Prefix(format!("spiffe://{text}/").into()));
        }
        SpiffeMatch::TrustDomain => "is not a trust domain; write the bare name, for example tulle.local",
        SpiffeMatch::Exact if is_uri(text, 1) => return Some(Source::Identity(SpiffeId::from_uri(text))),
        SpiffeMatch::Exact => "is not a SPIFFE ID; write for example spiffe://tulle.local/ns/shop/sa/orders",
        SpiffeMatch::PathPrefix => {
            let whole = text.strip_suffix('/').unwrap_or(text);
            if is_uri(whole, 0) {
                return Some(Source::Prefix(format!("{whole}/").into()));
            }
            "is not the beginning of a SPIFFE ID in whole segments; write for example spiffe://tulle.local/ns/shop"
        }
    };
    findings.error(path, Reason::Invalid, format!("{text:?} {problem}"));
    None
}

/// `spiffe://<trust domain>` and at least so many path segments of the characters that SPIFFE allows.
fn is_uri(text: &str, segments: usize) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else {
        return false;
    };
    let mut parts = rest.split('/');
    let domain = parts.next().is_some_and(value::is_trust_domain);
    let segment = |s: &str| {
        !s.is_empty()
            && s != "."
            && s != ".."
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    text.len() <= 2048 && domain && parts.clone().count() >= segments && parts.all(segment)
}
