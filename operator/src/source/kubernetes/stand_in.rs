//! What is served in place of an object that cannot be read: it takes away whatever the object could, and grants nothing.
//!
//! A function of the object alone, so that each replica serves the same. Parts that can be read stay; the others become
//! parts that the compiler fails closed: a failed Allow selects and grants nothing, a failed Deny denies. Only permissions
//! and the Mesh take anything away; other kinds are left out, as a file that was never accepted is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::mesh::{DefaultAction, Egress, EgressAction, Permissions};
use crds::target_ref::{TargetKind, TargetRef};
use crds::trafficpermission::{PermissionAction, PermissionRule, PolicyMode};
use crds::unknown::Unknown;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::locate;
use super::super::object::Object;

/// The object that stands in, for kinds that take away.
pub(super) fn stand_in(kind: &str, object: &DynamicObject, system_namespace: &str) -> Option<Object> {
    let in_system = object.metadata.namespace.as_deref() == Some(system_namespace);
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let object = match kind {
        "TrafficPermission" => Object::Permission(Arc::new(crds::TrafficPermission {
            metadata: object.metadata.clone(),
            spec: permission(spec, in_system),
            status: None,
        })),
        "Mesh" => Object::Mesh(Arc::new(crds::Mesh {
            metadata: object.metadata.clone(),
            spec: mesh(spec),
            status: None,
        })),
        _ => return None,
    };
    Some(object)
}

fn permission(spec: &Value, in_system: bool) -> crds::TrafficPermissionSpec {
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
        unknown: unreadable(),
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
fn mesh(spec: &Value) -> crds::MeshSpec {
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
        unknown: unreadable(),
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

/// The field that makes the compiler say, with the object's name, that something was not understood.
fn unreadable() -> Unknown {
    BTreeMap::from([("(cannot be read)".to_owned(), Value::Null)])
}
