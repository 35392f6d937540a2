//! Workload: a VM or a process.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unknown::{Unknown, UnknownFields, unknown_fields};

/// The annotation (its UID) of a Workload that stands for a Pod. `EndpointSlice`s say when it can be called, so being selected
/// makes it no endpoint.
pub const POD: &str = "mesh.tulle.dev/pod";

/// The annotation of such a Workload with the ports that its proxy does not take, by commas: callers send them plaintext.
pub const EXCLUDED_PORTS: &str = "mesh.tulle.dev/pod-excluded-ports";

/// The annotation of such a Workload with what controls the Pod: the group of Pods whose labels name none.
pub const POD_GROUP: &str = "mesh.tulle.dev/pod-group";

/// The annotation (`"true"`, `"false"`) of a workload that calls others by their own addresses, past the Services that lead there:
/// its proxy then knows the address of every endpoint.
pub const DIAL_ENDPOINTS: &str = "mesh.tulle.dev/dialEndpoints";

/// A VM or a process with one proxy. Services select it by its labels, as they select Pods.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mesh.tulle.dev",
    version = "v1alpha1",
    kind = "Workload",
    namespaced,
    shortname = "wl",
    category = "tulle",
    derive = "PartialEq",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Service Account", type_ = "string", json_path = ".spec.serviceAccount"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-validations" = [
    {"rule": "has(self.address) || has(self.process)", "message": "a workload needs an address, unless Tulle starts its process"},
]))]
pub struct WorkloadSpec {
    /// Its own IP address. May be left out with `process`: `tulle up --run` then gives it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    pub address: Option<String>,
    /// What it listens on; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ports: Vec<WorkloadPort>,
    /// Who it is: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    #[serde(default = "default_account")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: String,
    /// What `tulle up --run` starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(WorkloadSpec, ports => "ports", process => "process");

impl Workload {
    /// The path of each field that nobody knows.
    pub fn unknown_fields(&self) -> Vec<String> {
        self.spec.unknown_fields()
    }
}

fn default_account() -> String {
    "default".to_owned()
}

/// A port that the application listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct WorkloadPort {
    /// Its name; Services name it as targetPort. A name such as `http`, `http-admin`, `grpc` or `tcp` tells the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// The number of the port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// `http`, `http2`, `h2c`, `kubernetes.io/h2c`, `grpc` or `tcp`; wins over the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub app_protocol: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(WorkloadPort);

/// A process that `tulle up --run` starts, beside its Envoy and in its own network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Process {
    /// The program and its arguments; at least the program, at most 64.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Environment variables; nothing is inherited. At most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 32768}))]
    pub env: BTreeMap<String, String>,
    /// The folder in which the process starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub working_dir: Option<String>,
    /// Fields that nobody knows.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: Unknown,
}
unknown_fields!(Process);
