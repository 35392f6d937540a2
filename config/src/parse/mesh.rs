//! The Mesh object -> mesh-wide settings. What cannot be read takes the stricter value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::conditions::Reason;
use crds::mesh::{EgressAction, MeshSpec, Mtls, MtlsOverride, Observability, SHORTEST_LEAF_LIFETIME};

use super::findings::Findings;
use super::{report_own_unknown, report_unknown, value};
use crate::diagnostic::Diagnostic;
use crate::model::{DefaultAction, Mesh, MtlsMode};
use crate::origin::ObjectRef;

/// The trust domain unless the Mesh names one.
const TRUST_DOMAIN: &str = "tulle.local";
const REVOCATION_TIME: Duration = Duration::from_secs(10);

/// Another mode for some workload ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverrideNode {
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) port: Option<u16>,
    pub(crate) mode: MtlsMode,
}

/// The mesh's settings, with the overrides that link applies to each port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MeshNode {
    pub(crate) mesh: Mesh,
    /// The first that fits counts.
    pub(crate) overrides: Vec<OverrideNode>,
}

/// Parses a Mesh.
pub(crate) fn parse(mesh: &crds::Mesh) -> (MeshNode, Vec<Diagnostic>) {
    let object = Arc::new(ObjectRef::new(
        "Mesh",
        "",
        mesh.metadata.name.as_deref().unwrap_or_default(),
    ));
    let mut findings = Findings::new(&object);
    let node = spec(&mesh.spec, &mut findings);
    (node, findings.into_inner())
}

/// The settings of a mesh without a Mesh object.
pub(crate) fn defaults() -> MeshNode {
    spec(
        &MeshSpec::default(),
        &mut Findings::new(&Arc::new(ObjectRef::new("Mesh", "", "default"))),
    )
}

fn spec(spec: &MeshSpec, findings: &mut Findings) -> MeshNode {
    // An unknown field may be a misspelt one of those that are absent, so these are taken at their strictest.
    let misspelt = report_own_unknown(&spec.unknown, "spec", findings);
    let (mtls, overrides) = mtls(spec.mtls.as_ref(), findings);
    let default_action = match &spec.permissions {
        // A misspelt default must not open the mesh.
        Some(permissions) if report_unknown(permissions, "spec.permissions", findings) => DefaultAction::Deny,
        None if misspelt => DefaultAction::Deny,
        None => DefaultAction::AllowUntilSelected,
        Some(permissions) => match permissions.default_action {
            crds::mesh::DefaultAction::AllowUntilSelected => DefaultAction::AllowUntilSelected,
            crds::mesh::DefaultAction::Allow => DefaultAction::Allow,
            crds::mesh::DefaultAction::Deny => DefaultAction::Deny,
        },
    };
    let egress_allowed = match &spec.egress {
        None => !misspelt,
        Some(egress) => {
            !report_unknown(egress, "spec.egress", findings) && egress.default_action == EgressAction::Allow
        }
    };
    let allow_path_parameters = spec.normalization.as_ref().is_some_and(|normalization| {
        !report_unknown(normalization, "spec.normalization", findings) && normalization.allow_path_parameters
    });
    if let Some(identity) = &spec.identity {
        report_unknown(identity, "spec.identity", findings);
        leaf_lifetime(identity.leaf_lifetime.as_deref(), findings);
    }
    if spec.rate_limit_service.is_some() {
        findings.error(
            "spec.rateLimitService",
            Reason::NotSupportedYet,
            "limits of scope Mesh are not supported yet; remove it, and use scope Proxy",
        );
    }
    let (access_log, denial_header) = observability(spec.observability.as_ref(), findings);
    let mesh = Mesh {
        trust_domain: trust_domain(spec.trust_domain.as_deref(), findings),
        mtls,
        default_action,
        egress_allowed,
        revocation_time: revocation_time(spec.revocation_time.as_deref(), findings),
        allow_path_parameters,
        access_log,
        denial_header,
    };
    MeshNode { mesh, overrides }
}

fn leaf_lifetime(text: Option<&str>, findings: &mut Findings) {
    let Some(text) = text else { return };
    if crds::duration::parse(text).is_none_or(|lifetime| lifetime < SHORTEST_LEAF_LIFETIME) {
        let message = format!(
            "{text:?} is no duration of 10m or more, so certificates are valid for 24h; write one, `24h` for example"
        );
        findings.error("spec.identity.leafLifetime", Reason::Invalid, message);
    }
}

fn trust_domain(text: Option<&str>, findings: &mut Findings) -> Arc<str> {
    match text {
        None => TRUST_DOMAIN.into(),
        Some(text) if value::is_trust_domain(text) => text.into(),
        Some(text) => {
            let message = format!(
                "{text:?} is not a trust domain, so {TRUST_DOMAIN} is used; write lower-case letters, digits, `.`, `-` and `_`"
            );
            findings.error("spec.trustDomain", Reason::Invalid, message);
            TRUST_DOMAIN.into()
        }
    }
}

fn revocation_time(text: Option<&str>, findings: &mut Findings) -> Duration {
    let Some(text) = text else { return REVOCATION_TIME };
    match value::duration(text, "spec.revocationTime", findings) {
        Some(time) if time >= Duration::from_secs(1) => time,
        Some(_) => {
            findings.error(
                "spec.revocationTime",
                Reason::Invalid,
                "is shorter than proxies can do, so 1s is used; write at least 1s",
            );
            Duration::from_secs(1)
        }
        None => REVOCATION_TIME,
    }
}

fn mtls(mtls: Option<&Mtls>, findings: &mut Findings) -> (MtlsMode, Vec<OverrideNode>) {
    let Some(mtls) = mtls else {
        return (MtlsMode::Strict, Vec::new());
    };
    let broken = report_own_unknown(&mtls.unknown, "spec.mtls", findings);
    let overrides = mtls
        .overrides
        .iter()
        .enumerate()
        .filter_map(|(index, one)| exception(one, index, broken, findings))
        .collect();
    (if broken { MtlsMode::Strict } else { mode(mtls.mode) }, overrides)
}

/// One override. What is not understood keeps plaintext out: such a Strict one fits as widely as it can be read, such a Permissive
/// one not at all.
fn exception(one: &MtlsOverride, index: usize, broken: bool, findings: &mut Findings) -> Option<OverrideNode> {
    let path = format!("spec.mtls.overrides[{index}]");
    let mut bad = report_unknown(one, &path, findings) || broken;
    if one.port == Some(0) {
        findings.error(
            &format!("{path}.port"),
            Reason::Invalid,
            "0 is not a port; use 1 to 65535",
        );
        bad = true;
    }
    if one
        .selector
        .as_ref()
        .is_some_and(|selector| selector.match_labels.is_empty())
    {
        findings.error(
            &format!("{path}.selector.matchLabels"),
            Reason::Invalid,
            "selects by no label; name one, or leave the selector out",
        );
        bad = true;
    }
    let mode = mode(one.mode);
    if bad && mode == MtlsMode::Permissive {
        return None;
    }
    Some(OverrideNode {
        namespace: one.namespace.as_deref().map(Arc::from),
        labels: one
            .selector
            .as_ref()
            .map(|selector| selector.match_labels.clone())
            .unwrap_or_default(),
        port: one.port.filter(|port| *port != 0),
        mode,
    })
}

fn mode(mode: crds::mesh::MtlsMode) -> MtlsMode {
    match mode {
        crds::mesh::MtlsMode::Strict => MtlsMode::Strict,
        crds::mesh::MtlsMode::Permissive => MtlsMode::Permissive,
    }
}

/// Whether proxies write an access log, and whether a 403 names its cause.
fn observability(observability: Option<&Observability>, findings: &mut Findings) -> (bool, bool) {
    let Some(observability) = observability else {
        return (true, false);
    };
    report_unknown(observability, "spec.observability", findings);
    let mut unsupported = |field: &str, written: bool, message: &str| {
        if written {
            findings.error(&format!("spec.observability.{field}"), Reason::NotSupportedYet, message);
        }
    };
    unsupported(
        "tracing",
        observability.tracing.is_some(),
        "tracing is not supported yet; remove it",
    );
    unsupported(
        "traceTags",
        !observability.trace_tags.is_empty(),
        "tracing is not supported yet; remove it",
    );
    (
        observability.access_log.unwrap_or(true),
        observability.denial_header == Some(true),
    )
}
