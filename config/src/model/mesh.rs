//! Mesh-wide settings, resolved from the `Mesh` object and its defaults.

use std::sync::Arc;
use std::time::Duration;

/// Whether a port accepts plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// Only mTLS from the mesh.
    Strict,
    /// mTLS and plaintext.
    Permissive,
}

/// What happens to callers that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultAction {
    /// Mesh identities are allowed until an enforced Allow targets the port.
    AllowUntilSelected,
    /// Mesh identities are allowed.
    Allow,
    /// Nobody is allowed.
    Deny,
}

/// Mesh-wide settings.
#[allow(clippy::struct_excessive_bools, reason = "settings that users switch one by one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// The SPIFFE trust domain.
    pub trust_domain: Arc<str>,
    /// The mode of ports without an override; overrides are already applied to each `InboundPort`.
    pub mtls: MtlsMode,
    /// The default of every port.
    pub default_action: DefaultAction,
    /// Whether destinations outside the mesh may be reached.
    pub egress_allowed: bool,
    /// Within this time the connections of a revoked identity end.
    pub revocation_time: Duration,
    /// Serve paths with `;` on ports with path rules.
    pub allow_path_parameters: bool,
    /// Whether proxies write an access log at all.
    pub access_log: bool,
    /// Whether a 403 names its cause in a header.
    pub denial_header: bool,
}
