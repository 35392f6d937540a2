//! What is served in place of an object that cannot be read: it takes away whatever the object could, and grants nothing.
//!
//! A function of the object alone, so that each replica serves the same. Parts that can be read stay; the others become
//! parts that the compiler fails closed: a failed Allow selects and grants nothing, a failed Deny denies. Only permissions
//! and the Mesh take anything away; what stands in for the other policies and routes does nothing but say, in their status,
//! what is wrong. A Workload that cannot be read is nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::faultinjection::FaultSide;
use crds::mesh::{DefaultAction, Egress, EgressAction, Permissions};
use crds::target_ref::{TargetKind, TargetRef};
use crds::trafficpermission::{PermissionAction, PermissionRule, PolicyMode};
use crds::unknown::{UNREADABLE, Unknown};
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::locate;
use super::super::object::Object;
use super::super::problem::Mistake;

/// The object that stands in, because of a mistake.
pub(super) fn stand_in(
    kind: &str,
    object: &DynamicObject,
    system_namespace: &str,
    mistake: &Mistake,
) -> Option<Object> {
    let in_system = object.metadata.namespace.as_deref() == Some(system_namespace);
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let (metadata, unknown) = (object.metadata.clone(), why(mistake));
    let object = match kind {
        "TrafficPermission" => Object::Permission(Arc::new(crds::TrafficPermission {
            metadata,
            spec: permission(spec, in_system, unknown),
            status: None,
        })),
        "Mesh" => Object::Mesh(Arc::new(crds::Mesh {
            metadata,
            spec: mesh(spec, unknown),
            status: None,
        })),
        "TrafficRoute" => Object::Route(Arc::new(crds::TrafficRoute {
            metadata,
            spec: no_route(unknown),
            status: None,
        })),
        "RateLimit" => Object::RateLimit(Arc::new(crds::RateLimit {
            metadata,
            spec: no_limit(unknown),
            status: None,
        })),
        "FaultInjection" => Object::Fault(Arc::new(crds::FaultInjection {
            metadata,
            spec: no_fault(unknown),
            status: None,
        })),
        _ => return None,
    };
    Some(object)
}

fn no_route(unknown: Unknown) -> crds::TrafficRouteSpec {
    crds::TrafficRouteSpec {
        parent_refs: Vec::new(),
        rules: Vec::new(),
        tcp: None,
        upstream: None,
        unknown,
    }
}

fn no_limit(unknown: Unknown) -> crds::RateLimitSpec {
    crds::RateLimitSpec {
        target_refs: Some(Vec::new()),
        mode: PolicyMode::Enforce,
        limits: Vec::new(),
        connections: None,
        unknown,
    }
}

fn no_fault(unknown: Unknown) -> crds::FaultInjectionSpec {
    crds::FaultInjectionSpec {
        target_refs: Some(Vec::new()),
        at: FaultSide::Destination,
        until: "never".to_owned(),
        max_active: None,
        faults: Vec::new(),
        unknown,
    }
}

fn permission(spec: &Value, in_system: bool, unknown: Unknown) -> crds::TrafficPermissionSpec {
    let rules = match spec.get("rules").and_then(Value::as_array) {
        Some(rules) => rules.iter().map(rule).collect(),
        None => vec![failing(&Value::Null)],
    };
    // Without a readable action it may be a Deny for everybody.
    let action: Option<PermissionAction> = readable(spec.get("action"));
    crds::TrafficPermissionSpec {
        target_refs: targets(spec, in_system),
        rules: if action.is_some() {
            rules
        } else {
            vec![failing(&Value::Null)]
        },
        action: action.unwrap_or(PermissionAction::Deny),
        // Without a readable mode it may be in force.
        mode: readable(spec.get("mode")).unwrap_or(PolicyMode::Enforce),
        unknown,
    }
}

/// The targets. If one cannot be read they are all that the object may reach: its namespace, from the system namespace the mesh.
fn targets(spec: &Value, in_system: bool) -> Option<Vec<TargetRef>> {
    let written = spec.get("targetRefs")?;
    let mesh = || {
        in_system.then(|| {
            vec![TargetRef {
                group: None,
                kind: TargetKind::Mesh,
                name: None,
                selector: None,
                section_name: None,
                unknown: BTreeMap::new(),
            }]
        })
    };
    readable(Some(written)).or_else(mesh)
}

fn rule(value: &Value) -> PermissionRule {
    readable(Some(value)).unwrap_or_else(|| failing(value))
}

/// A rule that fails: in an Allow it grants nothing, in a Deny it denies its callers, all of them if they cannot be read.
fn failing(value: &Value) -> PermissionRule {
    PermissionRule {
        name: readable(value.get("name")),
        sources: readable(value.get("sources")),
        unknown: unreadable(),
        ..PermissionRule::default()
    }
}

/// The strictest Mesh; its trust domain stays, because without it nobody has an identity.
fn mesh(spec: &Value, unknown: Unknown) -> crds::MeshSpec {
    crds::MeshSpec {
        trust_domain: readable(spec.get("trustDomain")),
        // Without a readable mode Strict holds.
        mtls: readable(spec.get("mtls")),
        permissions: or(
            spec,
            "permissions",
            Permissions {
                default_action: DefaultAction::Deny,
                unknown: BTreeMap::new(),
            },
        ),
        egress: or(
            spec,
            "egress",
            Egress {
                default_action: EgressAction::Deny,
                unknown: BTreeMap::new(),
            },
        ),
        revocation_time: readable(spec.get("revocationTime")),
        identity: readable(spec.get("identity")),
        unknown,
        ..crds::MeshSpec::default()
    }
}

/// A part that was written, or the strictest one if that cannot be read.
fn or<T: DeserializeOwned>(spec: &Value, field: &str, strictest: T) -> Option<T> {
    let written = spec.get(field)?;
    Some(readable(Some(written)).unwrap_or(strictest))
}

/// A part, if it is there, holds no null and has the right types.
fn readable<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    let value = value?;
    if locate::holds_null(value) {
        return None;
    }
    T::deserialize(value).ok()
}

/// What makes the compiler say, with the object's name, what is wrong.
fn why(mistake: &Mistake) -> Unknown {
    let path = if mistake.path.is_empty() { "spec" } else { &mistake.path };
    let value = json!({"path": path, "message": mistake.message});
    BTreeMap::from([(UNREADABLE.to_owned(), value)])
}

/// What makes a rule fail; the object says why.
fn unreadable() -> Unknown {
    BTreeMap::from([(UNREADABLE.to_owned(), Value::Null)])
}
