//! SPIFFE IDs of workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, nothing else.
//!
//! The one place that reads or writes this form on the issuing side. Parsing is strict, because what passes here is
//! signed: no empty, dotted or percent-encoded segment, no query, no fragment, no port.

use std::fmt;

/// The identity of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's service account.
    pub service_account: String,
}

/// A text that is not a workload's SPIFFE ID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a workload identity; write spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct NotASpiffeId(pub String);

impl SpiffeId {
    /// Builds an ID of checked parts.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Result<Self, NotASpiffeId> {
        let id = Self {
            trust_domain: trust_domain.to_owned(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        };
        if is_trust_domain(trust_domain) && is_segment(namespace) && is_segment(service_account) {
            Ok(id)
        } else {
            Err(NotASpiffeId(id.to_string()))
        }
    }

    /// Reads an ID.
    pub fn parse(text: &str) -> Result<Self, NotASpiffeId> {
        let parts: Vec<&str> = text.strip_prefix("spiffe://").unwrap_or_default().split('/').collect();
        match parts.as_slice() {
            [trust_domain, "ns", namespace, "sa", account] => Self::new(trust_domain, namespace, account),
            _ => Err(NotASpiffeId(text.to_owned())),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

/// Lower-case letters, digits, `.`, `-` and `_`, as SPIFFE says.
fn is_trust_domain(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

/// A Kubernetes name: lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit.
fn is_segment(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    (1..=253).contains(&text.len())
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}
