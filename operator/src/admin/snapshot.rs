//! What a proxy was sent: names, versions and sizes. Certificates are on streams only, so none can be seen here.

use serde_json::{Value, json};
use xds::{Kind, ProxyId, Publisher};

/// The newest snapshot of a proxy; absent when it has none.
pub(super) fn summary(publisher: &Publisher, proxy: &ProxyId) -> Option<Value> {
    let snapshot = publisher.subscribe(proxy).borrow().clone()?;
    let resources: Vec<Value> = Kind::ALL
        .into_iter()
        .flat_map(|kind| snapshot.iter(kind))
        .map(|resource| {
            let references = resource
                .references
                .iter()
                .map(|to| format!("{:?} {}", to.kind, to.name));
            json!({
                "kind": format!("{:?}", resource.kind),
                "name": resource.name,
                "version": resource.version,
                "bytes": resource.body.len(),
                "references": references.collect::<Vec<_>>(),
            })
        })
        .collect();
    Some(json!({"revision": snapshot.revision, "resources": resources}))
}
