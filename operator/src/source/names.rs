//! Names as the Kubernetes API server would accept them, and the default namespace.
//!
//! The file source has no API server in front of it, and names become part of addresses, file names and xDS names.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The namespace of an object that names none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Checks the name, and fills in or checks the namespace; the error is for the author.
pub(super) fn complete(metadata: &mut ObjectMeta, namespaced: bool, kind: &str) -> Result<(), String> {
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(format!("the {kind} has no metadata.name; give it one"));
    }
    let good = match kind {
        "Service" => is_label(name) && !name.starts_with(|c: char| c.is_ascii_digit()),
        "Namespace" => is_label(name),
        _ => is_subdomain(name),
    };
    if !good {
        return Err(format!(
            "metadata.name {name:?} is no Kubernetes name; use lower-case letters, digits and '-', beginning and ending \
             with a letter or digit"
        ));
    }
    if !namespaced {
        return match metadata.namespace.take() {
            Some(namespace) => Err(format!(
                "a {kind} has no namespace; remove metadata.namespace {namespace}"
            )),
            None => Ok(()),
        };
    }
    let namespace = metadata.namespace.get_or_insert_with(|| DEFAULT_NAMESPACE.to_owned());
    if !is_label(namespace) {
        return Err(format!(
            "metadata.namespace {namespace:?} is no Kubernetes name; use lower-case letters, digits and '-', at most 63"
        ));
    }
    Ok(())
}

/// RFC 1123 label.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// RFC 1123 subdomain.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}
