//! Fields that nobody knows are found wherever they stand, each exactly once and with its path.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::schema;
use tulle_crds::{FaultInjection, Mesh, RateLimit, TrafficPermission, TrafficRoute, Workload};

/// Kinds that users write, with an example that has every field.
const FULL: [(&str, &str); 6] = [
    ("Mesh", include_str!("full/mesh.yaml")),
    ("TrafficPermission", include_str!("full/trafficpermission.yaml")),
    ("TrafficRoute", include_str!("full/trafficroute.yaml")),
    ("RateLimit", include_str!("full/ratelimit.yaml")),
    ("FaultInjection", include_str!("full/faultinjection.yaml")),
    ("Workload", include_str!("full/workload.yaml")),
];

fn unknown_fields(kind: &str, object: Value) -> Vec<String> {
    match kind {
        "Mesh" => serde_json::from_value::<Mesh>(object).unwrap().unknown_fields(),
        "TrafficPermission" => serde_json::from_value::<TrafficPermission>(object)
            .unwrap()
            .unknown_fields(),
        "TrafficRoute" => serde_json::from_value::<TrafficRoute>(object).unwrap().unknown_fields(),
        "RateLimit" => serde_json::from_value::<RateLimit>(object).unwrap().unknown_fields(),
        "FaultInjection" => serde_json::from_value::<FaultInjection>(object)
            .unwrap()
            .unknown_fields(),
        "Workload" => serde_json::from_value::<Workload>(object).unwrap().unknown_fields(),
        _ => panic!("{kind}"),
    }
}

/// Puts a field that nobody knows into each object that keeps such fields, and lists where. `used` gathers which fields of the
/// schema the example has, without indices.
fn spoil(schema: &Value, value: &mut Value, path: &str, spoilt: &mut Vec<String>, used: &mut BTreeSet<String>) {
    let plain = path.split(['[', ']']).step_by(2).collect::<String>();
    used.insert(plain);
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                spoil(&schema["items"], item, &format!("{path}[{index}]"), spoilt, used);
            }
        }
        Value::Object(fields) if schema.get("properties").is_some() => {
            for (name, field) in fields.iter_mut() {
                spoil(
                    &schema["properties"][name],
                    field,
                    &format!("{path}.{name}"),
                    spoilt,
                    used,
                );
            }
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                fields.insert("zz".to_owned(), json!({"deep": [1]}));
                spoilt.push(format!("{path}.zz"));
            }
        }
        _ => {}
    }
}

/// The paths of all fields in the schema, without indices.
fn fields(schema: &Value, path: &str, out: &mut BTreeSet<String>) {
    out.insert(path.to_owned());
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields(field, &format!("{path}.{name}"), out);
    }
    if let Some(items) = schema.get("items") {
        fields(items, path, out);
    }
}

#[test]
fn unknown_fields_are_found_in_every_object_of_every_kind() {
    for (kind, text) in FULL {
        let mut object: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(unknown_fields(kind, object.clone()), Vec::<String>::new(), "{kind}");

        let schema = &schema(kind)["properties"]["spec"];
        let (mut spoilt, mut used, mut all) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        spoil(schema, &mut object["spec"], "spec", &mut spoilt, &mut used);
        fields(schema, "spec", &mut all);
        let missing: Vec<_> = all.difference(&used).collect();
        assert!(
            missing.is_empty(),
            "tests/full has no example of these fields of {kind}: {missing:?}"
        );

        let mut found = unknown_fields(kind, object);
        found.sort();
        spoilt.sort();
        assert_eq!(found, spoilt, "{kind}");
    }
}

#[test]
fn the_paths_read_as_people_write_them() {
    let permission: TrafficPermission = serde_saphyr::from_str(
        "
        metadata: {name: a}
        spec:
          targetRefs: [{kind: Service, name: a, sectionname: http}]
          action: Allow
          rules:
          - sources:
            - {type: Authenticated}
            - {type: ServiceAccount, serviceAcount: {namespace: shop, name: a}}
            http: [{path: {value: /, typ: Exact}, header: []}]
          - {sources: [], port: [http]}
          module: Shadow
        ",
    )
    .unwrap();
    assert_eq!(
        permission.unknown_fields(),
        [
            "spec.module",
            "spec.targetRefs[0].sectionname",
            "spec.rules[0].sources[1].serviceAcount",
            "spec.rules[0].http[0].header",
            "spec.rules[0].http[0].path.typ",
            "spec.rules[1].port",
        ]
    );
}
