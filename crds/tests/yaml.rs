//! The chart's files are what the types say. `UPDATE_CRDS=1 cargo test -p tulle-crds --test yaml` writes them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

const HEADER: &str =
    "# Generated from crds/src by crds/tests/yaml.rs; UPDATE_CRDS=1 cargo test -p tulle-crds --test yaml writes it.\n";

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/tulle-crds")
}

/// File names with their texts.
fn generated() -> Vec<(String, String)> {
    tulle_crds::all()
        .into_iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.spec.names.plural);
            let mut value = serde_json::to_value(crd).unwrap();
            // Helm must never delete the definitions: all objects of users would go with them.
            value["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
            whole_numbers(&mut value);
            (name, format!("{HEADER}{}", serde_saphyr::to_string(&value).unwrap()))
        })
        .collect()
}

/// Writes 65535.0 as 65535, as the API server does; GitOps tools compare the two.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            if let Some(whole) = whole.and_then(|float| format!("{float}").parse::<i64>().ok()) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn the_chart_holds_what_the_types_say() {
    let folder = chart().join("templates");
    if std::env::var_os("UPDATE_CRDS").is_some_and(|value| value == "1") {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in generated() {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in generated() {
        let there = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            there == text,
            "helm/tulle-crds/templates/{name} differs from the types; write it with UPDATE_CRDS=1"
        );
    }
    let names: BTreeSet<String> = generated().into_iter().map(|(name, _)| name).collect();
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, names, "a file of a kind that is gone? delete it by hand");
}

#[test]
fn the_files_read_back_as_the_definitions() {
    for (crd, (name, text)) in tulle_crds::all().into_iter().zip(generated()) {
        let mut back: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition =
            serde_saphyr::from_str(&text).unwrap();
        let annotations = back.metadata.annotations.take().unwrap();
        assert_eq!(annotations["helm.sh/resource-policy"], "keep", "{name}");
        assert_eq!(back, crd, "{name}");
        // Helm would take it as a template.
        assert!(!text.contains("{{"), "{name}");
    }
}

#[test]
fn the_chart_has_the_version_of_the_types() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(chart["name"], "tulle-crds");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["kubeVersion"], ">=1.33.0-0");
}
