//! The definitions are ones that an API server takes: structural, bounded, and with rules that read only what is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::schema;

const KINDS: [&str; 7] = [
    "Mesh",
    "TrafficPermission",
    "TrafficRoute",
    "RateLimit",
    "FaultInjection",
    "Workload",
    "MeshStatus",
];

/// Calls `see` with the path and the schema of each node, and with how often the node can occur in one object.
fn walk(node: &Value, path: &str, times: u64, see: &mut dyn FnMut(&str, &Value, u64)) {
    see(path, node, times);
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), times, see);
    }
    if let Some(items) = node.get("items") {
        walk(
            items,
            &format!("{path}[]"),
            times * node["maxItems"].as_u64().unwrap_or(1),
            see,
        );
    }
    if let Some(values) = node.get("additionalProperties") {
        walk(
            values,
            &format!("{path}{{}}"),
            times * node["maxProperties"].as_u64().unwrap_or(1),
            see,
        );
    }
}

fn each_node(mut see: impl FnMut(&str, &Value, u64)) {
    for kind in KINDS {
        walk(&schema(kind), kind, 1, &mut see);
    }
}

fn has(node: &Value, name: &str) -> bool {
    node.get(name).is_some()
}

#[test]
fn every_node_is_structural() {
    let types = ["object", "array", "string", "integer", "boolean"];
    each_node(|path, node, _| {
        let known = node["type"].as_str().is_some_and(|name| types.contains(&name));
        let free = !has(node, "type") && node["x-kubernetes-preserve-unknown-fields"] == true;
        assert!(
            known || free || node["x-kubernetes-int-or-string"] == true,
            "{path} has no type"
        );
        // Each of them is refused, warned about, or of no use beside the typed node.
        for name in [
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "$ref",
            "title",
            "nullable",
            "uniqueItems",
            "patternProperties",
        ] {
            assert!(!has(node, name), "{path} has {name}");
        }
        assert!(
            !(has(node, "properties") && has(node, "additionalProperties")),
            "{path} has fields and is a map"
        );
        assert!(
            node.get("additionalProperties").is_none_or(Value::is_object),
            "{path} is a map of anything"
        );
        assert!(
            node["type"] != "array" || has(node, "items"),
            "{path} is a list of anything"
        );
        let formats = ["int32", "int64", "date-time"];
        assert!(
            node["format"].as_str().is_none_or(|format| formats.contains(&format)),
            "{path}: {}",
            node["format"]
        );
        for name in node["required"].as_array().into_iter().flatten() {
            assert!(
                has(&node["properties"], name.as_str().unwrap()),
                "{path} requires {name}, which it does not have"
            );
        }
    });
}

#[test]
fn everything_is_bounded() {
    each_node(|path, node, _| {
        // Kubernetes' own Condition, as it comes.
        if path.contains("onditions[].") {
            return;
        }
        let bounds: &[&str] = match node["type"].as_str() {
            Some("string") if has(node, "enum") || has(node, "format") => &[],
            Some("string") => &["maxLength"],
            Some("array") => &["maxItems"],
            Some("integer") => &["minimum", "maximum"],
            Some("object") if has(node, "additionalProperties") => &["maxProperties"],
            _ => &[],
        };
        for name in bounds {
            assert!(has(node, name), "{path} has no {name}");
        }
    });
}

/// What `kubectl explain` shows.
#[test]
fn every_field_is_described() {
    each_node(|path, node, _| {
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            // The root's are Kubernetes' own, and its Condition as it comes.
            if path.contains("onditions[]") {
                continue;
            }
            let text = property["description"].as_str().unwrap_or_default();
            // What people write needs more than a repetition of its name.
            let least = if path.contains(".spec") { 16 } else { 1 };
            assert!(
                text.len() >= least && !text.starts_with("At most 1"),
                "{path}.{name} says only {text:?}"
            );
        }
    });
}

#[test]
fn no_name_is_a_category_too() {
    for crd in tulle_crds::all() {
        let names = crd.spec.names;
        let category = "tulle".to_owned();
        let all = [
            Some(vec![names.plural, names.kind.to_lowercase()]),
            names.short_names,
            names.singular.map(|one| vec![one]),
        ];
        assert!(
            all.into_iter().flatten().all(|names| !names.contains(&category)),
            "{}",
            names.kind
        );
    }
}

#[test]
fn defaults_are_valid_and_stay_out_of_lists() {
    each_node(|path, node, _| {
        let Some(default) = node.get("default") else { return };
        assert!(
            !path.contains("[]") && !path.contains(".status"),
            "{path} has a default"
        );
        match default {
            Value::String(text) => {
                let known = node["enum"].as_array().is_none_or(|values| values.contains(default));
                let fits = node["maxLength"].as_u64().is_none_or(|max| text.len() as u64 <= max);
                assert!(
                    node["type"] == "string" && known && fits && !has(node, "pattern"),
                    "{path}: {text}"
                );
            }
            Value::Bool(_) => assert_eq!(node["type"], "boolean", "{path}"),
            other => panic!("{path} has the default {other}, which this test cannot judge"),
        }
    });
}

/// The names after `self.` in a rule, as fields are called.
fn names(rule: &str) -> BTreeSet<(String, String)> {
    let parts = rule.split("self.").skip(1);
    parts
        .map(|rest| {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            (rest[..end].to_owned(), rest[..end].trim_matches('_').to_owned())
        })
        .collect()
}

#[test]
fn rules_read_only_fields_that_are_there() {
    let mut rules = 0;
    each_node(|path, node, times| {
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            let (rule, message) = (rule["rule"].as_str().unwrap(), rule["message"].as_str().unwrap());
            assert!(!message.is_empty() && !message.contains('\n'), "{path}: {rule}");
            for (written, name) in names(rule) {
                assert!(has(&node["properties"], &name), "{path} has no {name}: {rule}");
                let required = node["required"]
                    .as_array()
                    .is_some_and(|names| names.contains(&name.clone().into()));
                assert!(
                    required || rule.contains(&format!("has(self.{written})")),
                    "{path}.{name} may be absent: {rule}"
                );
                // A word of CEL itself is written with underscores.
                assert_eq!(written.starts_with("__"), name == "namespace", "{path}: {rule}");
            }
            // The API server multiplies a rule's cost by this; 10,000,000 is its limit for one rule.
            assert!(times <= 1_048_576, "{path} can occur {times} times: {rule}");
        }
    });
    assert!(rules > 0);
}

/// Kind, plural, short name, whether it belongs to a namespace, whether it has a status, columns.
type Names = (
    &'static str,
    &'static str,
    Option<&'static str>,
    bool,
    bool,
    &'static [&'static str],
);

#[rustfmt::skip]
const NAMES: [Names; 7] = [
    ("Mesh", "meshes", None, false, true, &["Proxies", "Synced", "mTLS", "Default", "Policies", "State", "Age"]),
    ("TrafficPermission", "trafficpermissions", Some("tp"), true, true, &["Action", "Mode", "Ready", "Reason", "Acked", "Enforced", "Message", "Age"]),
    ("TrafficRoute", "trafficroutes", Some("tr"), true, true, &["Parent", "Ready", "Reason", "Acked", "Enforced", "Message", "Age"]),
    ("RateLimit", "ratelimits", Some("rl"), true, true, &["Mode", "Ready", "Reason", "Acked", "Enforced", "Message", "Age"]),
    ("FaultInjection", "faultinjections", Some("fi"), true, true, &["Until", "Ready", "Reason", "Acked", "Enforced", "Message", "Age"]),
    ("Workload", "workloads", Some("wl"), true, false, &["Address", "Service Account", "Age"]),
    ("MeshStatus", "meshstatuses", Some("ms"), true, true, &["Proxies", "Synced", "mTLS", "Default", "Policies", "Cert", "State", "Age"]),
];

#[test]
fn names_columns_and_subresources_are_those_of_the_documentation() {
    let found = tulle_crds::all();
    assert_eq!(found.len(), NAMES.len());
    for (crd, (kind, plural, short, namespaced, status, columns)) in found.into_iter().zip(NAMES) {
        let names = crd.spec.names;
        assert_eq!((names.kind.as_str(), names.plural.as_str()), (kind, plural));
        assert_eq!(crd.metadata.name, Some(format!("{plural}.{}", tulle_crds::GROUP)));
        assert_eq!(
            names.short_names.unwrap_or_default(),
            short.into_iter().collect::<Vec<_>>(),
            "{kind}"
        );
        // Not `mesh`: kubectl looks at categories first, and `kubectl get mesh` is the Mesh.
        assert_eq!(names.categories, Some(vec!["tulle".to_owned()]), "{kind}");
        assert_eq!(
            crd.spec.scope,
            if namespaced { "Namespaced" } else { "Cluster" },
            "{kind}"
        );
        let [version] = crd.spec.versions.as_slice() else {
            panic!("{kind} has several versions")
        };
        assert!(
            version.served && version.storage && version.name == tulle_crds::VERSION,
            "{kind}"
        );
        let subresource = version.subresources.as_ref().is_some_and(|all| all.status.is_some());
        assert_eq!(subresource, status, "{kind}");
        assert_eq!(has(&schema(kind)["properties"], "status"), status, "{kind}");
        let found: Vec<_> = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(found, columns, "{kind}");
    }
}

#[test]
fn columns_show_fields_that_are_there() {
    for crd in tulle_crds::all() {
        let kind = crd.spec.names.kind.as_str();
        let schema = schema(kind);
        for column in crd.spec.versions[0].additional_printer_columns.iter().flatten() {
            // Up to the first filter, the path leads to a field of the schema; the metadata is Kubernetes' own.
            let plain = column.json_path.split('[').next().unwrap().trim_start_matches('.');
            if !plain.starts_with("metadata") {
                let node = plain.split('.').fold(&schema, |node, name| &node["properties"][name]);
                assert!(node.is_object(), "{kind}: {}", column.json_path);
            }
        }
    }
}
