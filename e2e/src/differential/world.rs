//! The fixed mesh that generated policies are applied to: who calls, who is called, at which addresses.
//!
//! Names collide on purpose: `shop` and `shop-eu` are namespaces of which one is a prefix of the other, and two accounts are
//! called `orders`. Only policies and the Mesh object change from world to world.

use crds::workload::DIAL_ENDPOINTS;
use serde_json::{Value, json};

/// A caller in the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its service account.
    pub account: &'static str,
}

impl Caller {
    const fn new(namespace: &'static str, account: &'static str) -> Self {
        Self { namespace, account }
    }

    /// The name of its workload.
    pub fn workload(self) -> String {
        format!("{}-1", self.account)
    }

    /// `namespace/workload`.
    pub fn id(self) -> String {
        format!("{}/{}", self.namespace, self.workload())
    }
}

/// All callers in the mesh.
pub const CALLERS: [Caller; 4] = [
    Caller::new("shop", "orders"),
    Caller::new("shop", "web"),
    Caller::new("billing", "ledger"),
    Caller::new("shop-eu", "orders"),
];

/// A workload that is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callee {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub workload: &'static str,
    /// Its application and service account.
    pub app: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Callee {
    const fn new(namespace: &'static str, workload: &'static str, app: &'static str, version: &'static str) -> Self {
        Self {
            namespace,
            workload,
            app,
            version,
        }
    }

    /// `namespace/workload`.
    pub fn id(self) -> String {
        format!("{}/{}", self.namespace, self.workload)
    }
}

/// All workloads that are called with requests.
pub const CALLEES: [Callee; 4] = [
    Callee::new("shop", "api-1", "api", "v1"),
    Callee::new("shop", "api-2", "api", "v2"),
    Callee::new("back", "store-1", "store", "v1"),
    Callee::new("shop", "legacy-1", "legacy", "v1"),
];

/// The workload of many TCP ports, on each of which another combination of permissions holds.
pub const MANY: Callee = Callee::new("back", "many-1", "many", "v1");
/// Its ports on which the client speaks first.
pub const MANY_ECHO: std::ops::Range<u16> = 7100..7108;
/// Its ports on which the server speaks first.
pub const MANY_BANNER: std::ops::Range<u16> = 7200..7208;

/// A Service; it has a fixed address so that probes need no names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub address: &'static str,
    /// The application behind it.
    pub app: &'static str,
    /// The version behind it; empty for all.
    pub version: &'static str,
}

impl Service {
    const fn new(
        namespace: &'static str,
        name: &'static str,
        address: &'static str,
        app: &'static str,
        version: &'static str,
    ) -> Self {
        Self {
            namespace,
            name,
            address,
            app,
            version,
        }
    }
}

/// All Services that are called with requests.
pub const SERVICES: [Service; 5] = [
    Service::new("shop", "api", "240.77.0.10", "api", ""),
    Service::new("shop", "api-v1", "240.77.0.11", "api", "v1"),
    Service::new("shop", "api-v2", "240.77.0.12", "api", "v2"),
    Service::new("back", "store", "240.77.0.13", "store", ""),
    Service::new("shop", "legacy", "240.77.0.14", "legacy", ""),
];
/// The Service of the many TCP ports; its ports have the numbers of the workload's.
pub const MANY_SERVICE: Service = Service::new("back", "many", "240.77.0.15", "many", "");

/// A port that every application has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: &'static str,
    /// The Service's number.
    pub service: u16,
    /// The workload's number.
    pub workload: u16,
    /// Its protocol.
    pub protocol: &'static str,
}

impl Port {
    const fn new(name: &'static str, service: u16, workload: u16, protocol: &'static str) -> Self {
        Self {
            name,
            service,
            workload,
            protocol,
        }
    }

    /// Whether the server speaks first.
    pub fn server_first(self) -> bool {
        self.name.starts_with("banner")
    }
}

/// The ports of every application.
pub const HTTP: Port = Port::new("http", 80, 8080, "http");
/// HTTP/2 towards the application.
pub const GRPC: Port = Port::new("grpc", 90, 9090, "grpc");
/// TCP, where the client speaks first.
pub const ECHO: Port = Port::new("echo", 70, 7000, "tcp");
/// TCP, where the server speaks first.
pub const BANNER: Port = Port::new("banner", 71, 7001, "tcp");
/// All of them.
pub const PORTS: [Port; 4] = [HTTP, GRPC, ECHO, BANNER];

/// The objects of the fixed mesh.
pub fn objects() -> Vec<Value> {
    let mut all: Vec<Value> = CALLERS.into_iter().map(caller).collect();
    all.extend(CALLEES.into_iter().map(|callee| workload(callee, &usual_ports())));
    all.extend(SERVICES.into_iter().map(|one| service(one, &usual_ports())));
    all.push(workload(MANY, &many_ports()));
    all.push(service(MANY_SERVICE, &many_ports()));
    all
}

/// Objects as the text of one file.
pub fn text(objects: &[Value]) -> String {
    objects
        .iter()
        .fold(String::new(), |text, object| format!("{text}---\n{object}\n"))
}

type NamedPort = (String, u16, u16, &'static str);

fn usual_ports() -> Vec<NamedPort> {
    PORTS
        .map(|port| (port.name.to_owned(), port.service, port.workload, port.protocol))
        .into()
}

fn many_ports() -> Vec<NamedPort> {
    let named = |prefix: &'static str| move |port: u16| (format!("{prefix}{port}"), port, port, "tcp");
    MANY_ECHO
        .map(named("echo"))
        .chain(MANY_BANNER.map(named("banner")))
        .collect()
}

fn caller(caller: Caller) -> Value {
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "Workload",
        "metadata": {
            "name": caller.workload(), "namespace": caller.namespace, "labels": {"app": caller.account},
            // Some reach endpoints as the mesh's, some as strangers.
            "annotations": {DIAL_ENDPOINTS: (caller.account == "orders").to_string()},
        },
        "spec": {"serviceAccount": caller.account, "process": {"command": ["tulle", "shop-app", "--name", caller.account]}},
    })
}

fn workload(callee: Callee, ports: &[NamedPort]) -> Value {
    let listed = |prefix: &str| {
        let numbers = ports.iter().filter(|(name, ..)| name.starts_with(prefix));
        numbers
            .map(|(_, _, number, _)| number.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut command = vec!["tulle", "shop-app", "--name", callee.app, "--version", callee.version];
    let flags = [
        ("--http", "http"),
        ("--grpc", "grpc"),
        ("--tcp", "echo"),
        ("--tcp-banner", "banner"),
    ];
    let flags = flags.map(|(flag, prefix)| (flag, listed(prefix)));
    command.extend(
        flags
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .flat_map(|(flag, list)| [*flag, list.as_str()]),
    );
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, _, number, protocol)| json!({"name": name, "port": number, "appProtocol": protocol}))
        .collect();
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": "Workload",
        "metadata": {
            "name": callee.workload, "namespace": callee.namespace,
            "labels": {"app": callee.app, "version": callee.version},
        },
        "spec": {"serviceAccount": callee.app, "ports": ports, "process": {"command": command}},
    })
}

fn service(service: Service, ports: &[NamedPort]) -> Value {
    let mut selector = json!({"app": service.app});
    if let (Some(selector), false) = (selector.as_object_mut(), service.version.is_empty()) {
        selector.insert("version".to_owned(), service.version.into());
    }
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, target, protocol)| json!({"name": name, "port": port, "targetPort": target, "appProtocol": protocol}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {"clusterIP": service.address, "selector": selector, "ports": ports},
    })
}
