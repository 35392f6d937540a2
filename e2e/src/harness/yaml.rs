//! Objects of test meshes as YAML. Every application listens on the same four ports, so that a test only names it.

use std::fmt::Write;

/// The namespace of test meshes.
pub const NAMESPACE: &str = "shop";
/// What each application listens on, as (name, Service port, application's port, protocol).
pub const PORTS: [(&str, u16, u16, &str); 4] = [
    ("http", 80, 8080, "http"),
    ("grpc", 90, 9090, "grpc"),
    ("echo", 70, 7000, "tcp"),
    ("banner", 71, 7001, "tcp"),
];

/// A Service in front of workloads with all of these labels.
pub fn service(name: &str, labels: &str) -> String {
    let ports = PORTS.map(|(port, number, target, protocol)| {
        format!("{{name: {port}, port: {number}, targetPort: {target}, appProtocol: {protocol}}}")
    });
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  selector: {{{labels}}}\n  \
         ports: [{}]\n",
        ports.join(", ")
    )
}

/// A workload that runs the shop's application, with `app` as its label, its name in answers and its service account.
pub fn workload(name: &str, app: &str, version: &str) -> String {
    workload_with(name, app, version, &[])
}

/// The same with more HTTP ports.
pub fn workload_with(name: &str, app: &str, version: &str, more: &[u16]) -> String {
    let mut ports: Vec<String> = PORTS
        .map(|(port, _, target, protocol)| format!("{{name: {port}, port: {target}, appProtocol: {protocol}}}"))
        .into();
    ports.extend(
        more.iter()
            .map(|port| format!("{{name: p{port}, port: {port}, appProtocol: http}}")),
    );
    let http: String = more.iter().fold("8080".to_owned(), |mut list, port| {
        // Writing to a string does not fail.
        let _ = write!(list, ",{port}");
        list
    });
    format!(
        "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, namespace: {NAMESPACE}, labels: \
         {{app: {app}, version: {version}}}}}\nspec:\n  serviceAccount: {app}\n  ports: [{}]\n  process:\n    \
         command: [tulle, shop-app, --name, {app}, --version, {version}, --http, \"{http}\", --grpc, \"9090\", --tcp, \"7000\", \
         --tcp-banner, \"7001\"]\n",
        ports.join(", ")
    )
}

/// A Service and one workload of the same name.
pub fn app(name: &str) -> String {
    service(name, &format!("app: {name}")) + &workload(&format!("{name}-1"), name, "v1")
}

/// A policy or route of our own kinds.
pub fn object(kind: &str, name: &str, spec: &str) -> String {
    let indented: String = spec.trim_matches('\n').lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    });
    format!(
        "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n{indented}"
    )
}

/// An Allow on everything of a Service for these service accounts.
pub fn grant(service: &str, permission: &str, accounts: &[&str]) -> String {
    let sources: Vec<String> = accounts.iter().map(|name| account(name)).collect();
    let spec = format!(
        "targetRefs: [{{kind: Service, name: {service}}}]\naction: Allow\nrules: [{{name: callers, sources: [{}]}}]\n",
        sources.join(", ")
    );
    object("TrafficPermission", permission, &spec)
}

/// A source by service account of the test namespace.
pub fn account(name: &str) -> String {
    format!("{{type: ServiceAccount, serviceAccount: {{namespace: {NAMESPACE}, name: {name}}}}}")
}

/// The mesh's own settings.
pub fn mesh(spec: &str) -> String {
    format!("---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {spec}\n")
}
