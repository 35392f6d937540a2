//! The names, ports and paths that injection adds to a pod. Nothing else in a pod may have them.

use crate::intercept::{INBOUND_PORT, OUTBOUND_PORT};

/// The prefix of every label and annotation of ours.
pub const PREFIX: &str = "mesh.tulle.dev/";
/// The label by which a pod stays out of the mesh (`"false"`).
pub const INJECT_LABEL: &str = "mesh.tulle.dev/inject";
/// The label that says that a pod is injected, with the version of what was added.
pub const INJECTED_LABEL: &str = "mesh.tulle.dev/injected";
/// The annotation with the probes as their author wrote them.
pub const PROBES_ANNOTATION: &str = "mesh.tulle.dev/probes";

/// The flag of `tulle intercept` with the ports that callers reach without Envoy.
pub const EXCLUDED_PORTS_FLAG: &str = "--exclude-inbound-ports=";

/// The init container that prepares interception.
pub const INTERCEPT_CONTAINER: &str = "tulle-intercept";
/// The sidecar.
pub const PROXY_CONTAINER: &str = "tulle-proxy";
/// Our containers, in the order in which they start.
pub const CONTAINERS: [&str; 2] = [INTERCEPT_CONTAINER, PROXY_CONTAINER];

/// The volume for the bootstrap and the admin socket.
pub const PROXY_VOLUME: &str = "tulle-proxy";
/// The volume of the token.
pub const TOKEN_VOLUME: &str = "tulle-token";
/// The volume of the root certificate.
pub const CA_VOLUME: &str = "tulle-ca";
/// Our volumes.
pub const VOLUMES: [&str; 3] = [PROXY_VOLUME, TOKEN_VOLUME, CA_VOLUME];

/// The `ConfigMap` with the mesh's root certificate, in every namespace of the mesh.
pub const CA_CONFIG_MAP: &str = "tulle-ca";
/// The root certificate in it.
pub const CA_KEY: &str = "root.pem";
/// Whom the token of a pod is for.
pub const TOKEN_AUDIENCE: &str = "tulle";
/// How long the token is valid; the kubelet renews it in time.
pub const TOKEN_SECONDS: u32 = 3600;

/// Where the volumes are mounted.
pub const PROXY_FOLDER: &str = "/run/tulle/proxy";
/// Where the token is.
pub const TOKEN_FOLDER: &str = "/run/tulle/token";
/// Where the root certificate is.
pub const CA_FOLDER: &str = "/run/tulle/ca";

/// Where Envoy answers probes.
pub const PROBE_PORT: u16 = 15021;
/// Ports that belong to the proxy.
pub const PORTS: [u16; 3] = [OUTBOUND_PORT, INBOUND_PORT, PROBE_PORT];
