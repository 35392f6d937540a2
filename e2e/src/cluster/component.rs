//! The processes of a cluster and the arguments of each.

use std::path::PathBuf;

use super::layout::{ADDRESS, API_PORT, Layout, NODE, SERVICE_SUBNET};
use super::pki;
use super::programs::Programs;

/// Not reachable by pods, and not where another etcd would be.
const ETCD: &str = "http://127.0.0.1:23790";
const ETCD_PEER: &str = "http://127.0.0.1:23800";

/// One process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The API server's store.
    Etcd,
    /// The container runtime.
    Containerd,
    /// The API.
    ApiServer,
    /// The controllers of the built-in kinds.
    ControllerManager,
    /// Gives pods their node.
    Scheduler,
    /// Services as packet filter rules.
    Proxy,
    /// The node.
    Kubelet,
}

impl Component {
    /// All, in the order in which they are started.
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::Containerd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Proxy,
        Self::Kubelet,
    ];

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Proxy => "kube-proxy",
            Self::Kubelet => "kubelet",
        }
    }

    pub(super) fn program(self, programs: &Programs) -> PathBuf {
        match self {
            // A Debian package.
            Self::Containerd => self.name().into(),
            _ => programs.path(self.name()),
        }
    }

    pub(super) fn arguments(self, layout: &Layout) -> Vec<String> {
        let config = |file: &str| layout.config(file).display().to_string();
        match self {
            Self::Etcd => etcd(layout),
            Self::Containerd => flags(&[("config", config("containerd.toml"))]),
            Self::ApiServer => api_server(layout),
            Self::ControllerManager => controller_manager(layout),
            Self::Scheduler => flags(&[
                ("kubeconfig", kubeconfig(layout, self)),
                ("leader-elect", "false".to_owned()),
                ("bind-address", ADDRESS.to_string()),
            ]),
            Self::Proxy => flags(&[("config", config("kube-proxy.yaml"))]),
            Self::Kubelet => flags(&[
                ("config", config("kubelet.yaml")),
                ("kubeconfig", kubeconfig(layout, self)),
                ("hostname-override", NODE.to_owned()),
                ("node-ip", ADDRESS.to_string()),
                ("root-dir", layout.run().join("kubelet").display().to_string()),
                ("cert-dir", layout.run().join("kubelet-pki").display().to_string()),
            ]),
        }
    }
}

fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn kubeconfig(layout: &Layout, component: Component) -> String {
    layout.kubeconfig_of(component.name()).display().to_string()
}

fn etcd(layout: &Layout) -> Vec<String> {
    let mut all = flags(&[
        ("data-dir", layout.run().join("etcd").display().to_string()),
        ("listen-client-urls", ETCD.to_owned()),
        ("advertise-client-urls", ETCD.to_owned()),
        ("listen-peer-urls", ETCD_PEER.to_owned()),
        ("initial-advertise-peer-urls", ETCD_PEER.to_owned()),
        ("initial-cluster", format!("default={ETCD_PEER}")),
        ("log-level", "warn".to_owned()),
    ]);
    // Nothing in it is worth more than the next start.
    all.push("--unsafe-no-fsync".to_owned());
    all
}

fn api_server(layout: &Layout) -> Vec<String> {
    let pki = |name: &str, ending: &str| layout.pki(&format!("{name}.{ending}")).display().to_string();
    flags(&[
        ("etcd-servers", ETCD.to_owned()),
        ("bind-address", ADDRESS.to_string()),
        ("advertise-address", ADDRESS.to_string()),
        ("secure-port", API_PORT.to_string()),
        ("tls-cert-file", pki(pki::API_SERVER, "crt")),
        ("tls-private-key-file", pki(pki::API_SERVER, "key")),
        ("client-ca-file", pki("ca", "crt")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("allow-privileged", "true".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", pki("sa", "pub")),
        ("service-account-signing-key-file", pki("sa", "key")),
        ("service-cluster-ip-range", SERVICE_SUBNET.to_owned()),
        ("kubelet-client-certificate", pki(pki::ADMIN, "crt")),
        ("kubelet-client-key", pki(pki::ADMIN, "key")),
        // The node's name is in no DNS.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("cert-dir", layout.run().join("apiserver").display().to_string()),
    ])
}

fn controller_manager(layout: &Layout) -> Vec<String> {
    let pki = |file: &str| layout.pki(file).display().to_string();
    flags(&[
        ("kubeconfig", kubeconfig(layout, Component::ControllerManager)),
        ("root-ca-file", pki("ca.crt")),
        ("service-account-private-key-file", pki("sa.key")),
        ("cluster-signing-cert-file", pki("ca.crt")),
        ("cluster-signing-key-file", pki("ca.key")),
        ("use-service-account-credentials", "true".to_owned()),
        ("leader-elect", "false".to_owned()),
        ("bind-address", ADDRESS.to_string()),
        // It holds itself back for the sake of large clusters, which costs five seconds at its start.
        ("kube-api-qps", "200".to_owned()),
        ("kube-api-burst", "400".to_owned()),
        (
            "flex-volume-plugin-dir",
            layout.run().join("volume-plugins").display().to_string(),
        ),
    ])
}
