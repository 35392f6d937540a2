//! Makes a derived definition one that the API server takes as it stands, without warnings.
//!
//! What it changes, everywhere in the schema: formats that Kubernetes does not know, bounds of integers, `nullable` (the API server
//! drops a null where null is not allowed, so that it is the same as an absent field), titles, and defaults where they would hurt.
//! It adds no rules: those stand beside the fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The largest integer that every JSON reader keeps (2^53 - 1).
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// The definition as the API server takes it.
pub(crate) fn structural(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let roots = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for root in roots {
        let properties = root.properties.get_or_insert_default();
        root.description = properties.get("spec").and_then(|spec| spec.description.clone());
        root.title = None;
        for (name, property) in properties {
            tidy(property, name == "spec");
        }
    }
    crd
}

/// Tidies a node and all below it. Defaults stay only where they do no harm: in `spec`, and not inside list items, because GitOps
/// tools compare lists as a whole and would see a difference for ever. Readers fill them in either way.
fn tidy(node: &mut JSONSchemaProps, keep_default: bool) {
    node.title = None;
    node.nullable = None;
    if !keep_default {
        node.default = None;
    }
    bound(node);
    for property in node
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy(property, keep_default);
    }
    match &mut node.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items, false),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(|item| tidy(item, false)),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut node.additional_properties {
        tidy(values, keep_default);
    }
}

/// Kubernetes knows int32 and int64 only; the bounds say the rest.
fn bound(node: &mut JSONSchemaProps) {
    let (format, max) = match node.format.as_deref() {
        Some("uint16") => ("int32", f64::from(u16::MAX)),
        Some("uint32") => ("int64", f64::from(u32::MAX)),
        Some("uint64") => ("int64", MAX_EXACT),
        _ => return,
    };
    node.format = Some(format.to_owned());
    node.minimum.get_or_insert(0.0);
    node.maximum.get_or_insert(max);
}
