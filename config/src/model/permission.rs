//! Permissions as they hold at one workload port.

use std::sync::Arc;

use super::{HttpMatch, SpiffeId};
use crate::origin::Origin;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Exactly this identity.
    Identity(SpiffeId),
    /// Every identity below this URI prefix, which ends in `/`, so that whole segments are compared.
    Prefix(Arc<str>),
    /// Any identity of the mesh's own trust domain.
    Authenticated,
    /// A caller without a certificate.
    Unauthenticated,
}

/// One rule that is in force at the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionRule {
    /// Where it came from; displays as `TrafficPermission/<namespace>/<name>/<rule>`.
    pub origin: Origin,
    /// Absent means every caller (Deny only); empty means nobody.
    pub sources: Option<Vec<Source>>,
    /// Any of them must match; absent means every request and every connection.
    pub http: Option<Vec<HttpMatch>>,
}

/// What happens to a caller that no rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultVerdict {
    /// Mesh identities are let in.
    pub allow_mesh: bool,
    /// Plaintext callers are let in (Permissive only).
    pub allow_plaintext: bool,
    /// `default/<Allow|Deny>/<port name or number>`.
    pub name: Arc<str>,
}

impl DefaultVerdict {
    /// The name under which the default allows.
    pub fn allowed(&self) -> String {
        self.name.replacen("default/Deny/", "default/Allow/", 1)
    }

    /// The name under which the default denies: a default that allows the mesh still denies others.
    pub fn denied(&self) -> String {
        self.name.replacen("default/Allow/", "default/Deny/", 1)
    }
}

/// Everything that decides who may call one port. Any Deny denies; else any Allow allows; else the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPermission {
    /// Enforced Deny rules, by name.
    pub deny: Vec<Arc<PermissionRule>>,
    /// Enforced Allow rules, by name. A failed Allow rule is not here, but it still selected the port.
    pub allow: Vec<Arc<PermissionRule>>,
    /// What remains.
    pub default: DefaultVerdict,
    /// The complete policy of the port as it would be if every Shadow permission were enforced; absent where none reaches the port.
    pub candidate: Option<Arc<Candidate>>,
}

/// The policy of a port as Shadow permissions would have it. It decides nothing; it reports what it would decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Deny rules, enforced and shadowed, by name.
    pub deny: Vec<Arc<PermissionRule>>,
    /// Allow rules, enforced and shadowed, by name.
    pub allow: Vec<Arc<PermissionRule>>,
    /// What would remain; a Shadow Allow selects here.
    pub default: DefaultVerdict,
}
