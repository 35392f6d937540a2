//! The probes of a pod as their authors wrote them, by container and use: what Envoy asks in the kubelet's place.
//!
//! Only what is needed to ask is kept; periods and thresholds that the kubelet counts stay where they were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Use {
    /// `readinessProbe`.
    Readiness,
    /// `livenessProbe`.
    Liveness,
    /// `startupProbe`.
    Startup,
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
}

impl Use {
    /// Its name in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
            Self::Startup => "startup",
            Self::PostStart => "postStart",
            Self::PreStop => "preStop",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Check {
    /// GET.
    #[serde(rename_all = "camelCase")]
    Http {
        /// The container's port.
        port: u16,
        /// Path and query.
        path: String,
        /// Over TLS, with whatever certificate, as the kubelet does.
        https: bool,
        /// Whether the probe names a host itself.
        own_host: bool,
    },
    /// A connection.
    Tcp {
        /// The container's port.
        port: u16,
        /// How often and how long.
        pace: Pace,
    },
    /// The gRPC health protocol.
    Grpc {
        /// The container's port.
        port: u16,
        /// The service that is asked for; empty for the whole server.
        service: String,
        /// How often and how long.
        pace: Pace,
    },
}

/// Times of a probe that Envoy repeats on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Seconds between two.
    pub period: u32,
    /// Seconds until it has failed.
    pub timeout: u32,
}

/// By container, then use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeTable(pub BTreeMap<String, BTreeMap<Use, Check>>);

impl ProbeTable {
    /// The entry of a probe.
    pub fn get(&self, container: &str, purpose: Use) -> Option<&Check> {
        self.0.get(container)?.get(&purpose)
    }

    pub(super) fn insert(&mut self, container: &str, purpose: Use, check: Check) {
        self.0.entry(container.to_owned()).or_default().insert(purpose, check);
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Use, &Check)> {
        let all = self.0.iter();
        all.flat_map(|(container, uses)| {
            uses.iter()
                .map(|(purpose, check)| (container.as_str(), *purpose, check))
        })
    }

    /// As JSON, for the annotation and the environment.
    pub fn to_json(&self) -> String {
        // Maps with text as keys always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Where the probe listener answers for a probe.
pub fn path(container: &str, purpose: Use) -> String {
    format!("/probe/{container}/{}", purpose.name())
}
