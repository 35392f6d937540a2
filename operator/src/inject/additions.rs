//! What is added to a pod: two init containers and three volumes.
//!
//! `tulle-intercept` is the only exception to the `restricted` Pod Security level: it runs as root with `NET_ADMIN` and `NET_RAW`,
//! ends before anything else of the pod starts, and sees no token. Envoy has no privilege at all.

use config::names::READY_PATH;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::InjectSettings;
use super::names::{
    CA_CONFIG_MAP, CA_FOLDER, CA_KEY, CA_VOLUME, INTERCEPT_CONTAINER, PROBE_PORT, PROXY_CONTAINER, PROXY_FOLDER,
    PROXY_VOLUME, TOKEN_AUDIENCE, TOKEN_FOLDER, TOKEN_SECONDS, TOKEN_VOLUME,
};
use super::options::{Options, joined};
use super::probes::ProbeTable;
use crate::process::ENVOY_UID;

/// The variable with the table of probes.
pub(super) const PROBES_VARIABLE: &str = "TULLE_PROBES";

/// What a pod gets.
pub(super) struct Additions {
    pub(super) intercept: Value,
    pub(super) proxy: Value,
    pub(super) volumes: Vec<Value>,
    /// A hash of all of it but the probes.
    pub(super) version: String,
}

/// Makes it. The version does not depend on the probes, which another webhook may add to.
pub(super) fn additions(
    settings: &InjectSettings,
    options: &Options,
    group: Option<&str>,
    probes: &ProbeTable,
) -> Additions {
    let (without, proxy) = (
        intercept(settings, options, group, &ProbeTable::default()),
        proxy(settings, options),
    );
    let volumes = volumes();
    let all = json!([without, proxy, volumes, env!("CARGO_PKG_VERSION")]).to_string();
    Additions {
        intercept: intercept(settings, options, group, probes),
        proxy,
        volumes,
        version: format!("{:016x}", xxh3_64(all.as_bytes())),
    }
}

fn intercept(settings: &InjectSettings, options: &Options, group: Option<&str>, probes: &ProbeTable) -> Value {
    let mut args = vec![
        "intercept".to_owned(),
        format!("--control-plane={}", settings.control_plane),
        format!("--folder={PROXY_FOLDER}"),
        format!("--token={TOKEN_FOLDER}/token"),
        format!("--ca={CA_FOLDER}/{CA_KEY}"),
    ];
    args.extend(group.map(|group| format!("--group={group}")));
    let blocks = options
        .outbound_blocks
        .iter()
        .map(|block| format!("{}/{}", block.address, block.prefix));
    for (flag, list) in [
        ("exclude-inbound-ports", joined(&options.inbound_ports)),
        ("exclude-outbound-ports", joined(&options.outbound_ports)),
        ("exclude-outbound-cidrs", joined(blocks)),
    ] {
        if !list.is_empty() {
            args.push(format!("--{flag}={list}"));
        }
    }
    json!({
        "name": INTERCEPT_CONTAINER,
        "image": settings.image,
        "command": ["tulle"],
        "args": args,
        "env": [
            field_of_the_pod("TULLE_POD_NAME", "metadata.name"),
            field_of_the_pod("TULLE_POD_NAMESPACE", "metadata.namespace"),
            field_of_the_pod("TULLE_POD_IPS", "status.podIPs"),
            {"name": PROBES_VARIABLE, "value": probes.to_json()},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            // A pod may say that nothing in it is root; this is.
            "runAsNonRoot": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        // No token: this container does not need one.
        "volumeMounts": [{"name": PROXY_VOLUME, "mountPath": PROXY_FOLDER}],
    })
}

fn field_of_the_pod(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
}

fn proxy(settings: &InjectSettings, options: &Options) -> Value {
    let bootstrap = format!("{PROXY_FOLDER}/bootstrap.json");
    let level = options.log_level.as_deref().unwrap_or(crate::bootstrap::LOG_LEVEL);
    let arguments = crate::bootstrap::arguments_with(bootstrap.as_ref(), 2, level);
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    json!({
        "name": PROXY_CONTAINER,
        "image": settings.envoy_image,
        "command": ["envoy"],
        "args": arguments,
        // A native sidecar: started before the application and stopped after it, and a Job does not wait for it.
        "restartPolicy": "Always",
        "ports": [{"name": "tulle-probes", "containerPort": PROBE_PORT, "protocol": "TCP"}],
        "resources": {"requests": {
            "cpu": options.cpu.as_ref().unwrap_or(&settings.proxy_cpu),
            "memory": options.memory.as_ref().unwrap_or(&settings.proxy_memory),
        }},
        // What comes later waits until the proxy is configured.
        "startupProbe": {
            "httpGet": {"path": READY_PATH, "port": PROBE_PORT, "scheme": "HTTP"},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
            "failureThreshold": 120,
        },
        "securityContext": {
            "runAsUser": ENVOY_UID,
            "runAsGroup": ENVOY_UID,
            "runAsNonRoot": true,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": PROXY_VOLUME, "mountPath": PROXY_FOLDER},
            {"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": true},
            {"name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": true},
        ],
    })
}

fn volumes() -> Vec<Value> {
    let token = json!({"serviceAccountToken": {
        "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token",
    }});
    vec![
        json!({"name": PROXY_VOLUME, "emptyDir": {}}),
        json!({"name": TOKEN_VOLUME, "projected": {"sources": [token]}}),
        json!({"name": CA_VOLUME, "configMap": {"name": CA_CONFIG_MAP}}),
    ]
}
