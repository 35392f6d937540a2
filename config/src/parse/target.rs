//! What a policy is about, as far as one object tells.
//!
//! A reference in which something is not understood is *doubtful*: it counts for what it takes away (Deny, selection) as widely
//! as it can be read, and gives nothing. A reference that is understood and refused reaches nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::conditions::Reason;
use crds::target_ref::{TargetKind, TargetRef};

use super::findings::Findings;
use super::report_unknown;

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetWhat {
    /// A Service of the policy's namespace.
    Service(Arc<str>),
    /// A Workload of the policy's namespace.
    Workload(Arc<str>),
    /// Workloads of the policy's namespace that carry these labels.
    Labels(BTreeMap<String, String>),
    /// All workloads of a namespace.
    Namespace(Arc<str>),
    /// All workloads.
    Mesh,
    /// Understood and refused.
    Refused,
}

/// One target of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `spec.targetRefs[0]`.
    pub(crate) path: String,
    /// As people say it.
    pub(crate) text: String,
    pub(crate) what: TargetWhat,
    /// One port of a Service, by name.
    pub(crate) section: Option<Arc<str>>,
    /// Something in it was not understood.
    pub(crate) doubtful: bool,
}

/// All targets of a policy; without any, its namespace.
pub(crate) fn targets(refs: Option<&Vec<TargetRef>>, namespace: &str, findings: &mut Findings) -> Vec<Target> {
    let own = |doubtful| Target {
        path: "spec.targetRefs".to_owned(),
        text: format!("Namespace {namespace}"),
        what: TargetWhat::Namespace(namespace.into()),
        section: None,
        doubtful,
    };
    match refs {
        None => vec![own(false)],
        Some(refs) if refs.is_empty() => {
            findings.error(
                "spec.targetRefs",
                Reason::Invalid,
                "is empty; name a target, or leave the field out for the whole namespace",
            );
            vec![own(true)]
        }
        Some(refs) => refs
            .iter()
            .enumerate()
            .map(|(index, one)| target(one, index, namespace, findings))
            .collect(),
    }
}

fn target(one: &TargetRef, index: usize, namespace: &str, findings: &mut Findings) -> Target {
    let path = format!("spec.targetRefs[{index}]");
    let mut doubtful = report_unknown(one, &path, findings);
    let mut doubt = |field: &str, message: String, findings: &mut Findings| {
        findings.error(&format!("{path}.{field}"), Reason::Invalid, message);
        doubtful = true;
    };
    let group = match one.kind {
        TargetKind::Service | TargetKind::Namespace => "",
        TargetKind::HTTPRoute | TargetKind::GRPCRoute => "gateway.networking.k8s.io",
        TargetKind::Workload | TargetKind::Mesh | TargetKind::TrafficRoute => crds::GROUP,
    };
    if one.group.as_ref().is_some_and(|given| given != group) {
        doubt(
            "group",
            format!(
                "{:?} has no {:?}; write {group:?} or leave the group out",
                one.group.as_deref().unwrap_or_default(),
                one.kind
            ),
            findings,
        );
    }
    if one.selector.is_some() && one.kind != TargetKind::Workload {
        doubt(
            "selector",
            "only a Workload is selected by labels; use `name`, or kind Workload".to_owned(),
            findings,
        );
    }
    if one.section_name.is_some() && one.kind != TargetKind::Service {
        doubt(
            "sectionName",
            "names a port of a Service; use kind Service, or `ports` in a rule".to_owned(),
            findings,
        );
    }
    let what = what(one, namespace, &mut |field, message| doubt(field, message, findings));
    let section = match what {
        TargetWhat::Service(_) => one.section_name.as_deref().map(Arc::from),
        _ => None,
    };
    if what == TargetWhat::Refused {
        findings.error(
            &format!("{path}.kind"),
            Reason::NotSupportedYet,
            format!(
                "{:?} is no target here: the destination cannot know the route; name the Service behind it",
                one.kind
            ),
        );
    }
    Target {
        text: text(one),
        path,
        what,
        section,
        doubtful,
    }
}

fn what(one: &TargetRef, namespace: &str, doubt: &mut dyn FnMut(&str, String)) -> TargetWhat {
    match (one.kind, &one.name, &one.selector) {
        (TargetKind::Service, Some(name), _) => TargetWhat::Service(name.as_str().into()),
        (TargetKind::Service, None, _) => {
            doubt("name", "a Service target needs a name; add it".to_owned());
            TargetWhat::Namespace(namespace.into())
        }
        (TargetKind::Workload, Some(name), None) => TargetWhat::Workload(name.as_str().into()),
        (TargetKind::Workload, None, Some(selector)) => {
            if selector.match_labels.is_empty() {
                doubt(
                    "selector.matchLabels",
                    "selects by no label; name one, or use kind Namespace".to_owned(),
                );
            }
            TargetWhat::Labels(selector.match_labels.clone())
        }
        (TargetKind::Workload, ..) => {
            doubt(
                "name",
                "a Workload is either named or selected; give `name` or `selector`, not both".to_owned(),
            );
            TargetWhat::Labels(BTreeMap::new())
        }
        (TargetKind::Namespace, Some(name), _) => TargetWhat::Namespace(name.as_str().into()),
        (TargetKind::Namespace, None, _) => {
            doubt(
                "name",
                format!("a Namespace target needs a name; write {namespace}, or leave targetRefs out"),
            );
            TargetWhat::Namespace(namespace.into())
        }
        (TargetKind::Mesh, name, _) => {
            if name.as_ref().is_some_and(|name| name != "default") {
                doubt(
                    "name",
                    "there is one mesh, named default; leave the name out".to_owned(),
                );
            }
            TargetWhat::Mesh
        }
        (TargetKind::TrafficRoute | TargetKind::HTTPRoute | TargetKind::GRPCRoute, ..) => TargetWhat::Refused,
    }
}

fn text(one: &TargetRef) -> String {
    let mut text = match (&one.name, &one.selector) {
        (Some(name), _) => format!("{:?} {name}", one.kind),
        (None, Some(selector)) => {
            let labels: Vec<String> = selector
                .match_labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{:?}s with {}", one.kind, labels.join(","))
        }
        (None, None) => format!("{:?}", one.kind),
    };
    if let Some(section) = &one.section_name {
        text.push_str(", port ");
        text.push_str(section);
    }
    text
}
