//! What the compiler may read: the users' objects and the operator's settings.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::placement::Placement;

/// Every object the compiler reads, in any order; the same set gives the same bytes.
///
/// Sources keep one `Arc` for an object as long as it does not change, so that comparing is cheap.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Meshes; the one named `default` counts.
    pub meshes: Vec<Arc<crds::Mesh>>,
    /// `TrafficPermission` objects.
    pub permissions: Vec<Arc<crds::TrafficPermission>>,
    /// `TrafficRoute` objects.
    pub routes: Vec<Arc<crds::TrafficRoute>>,
    /// `RateLimit` objects.
    pub rate_limits: Vec<Arc<crds::RateLimit>>,
    /// `FaultInjection` objects.
    pub faults: Vec<Arc<crds::FaultInjection>>,
    /// Workload objects; the source has filled in each address.
    pub workloads: Vec<Arc<crds::Workload>>,
    /// Services; the source has filled in each cluster IP.
    pub services: Vec<Arc<Service>>,
    /// Endpoints that are not Workload objects.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// Namespaces, for labels.
    pub namespaces: Vec<Arc<Namespace>>,
}

/// What the operator was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace whose policies may target `Mesh` and other namespaces.
    pub system_namespace: Arc<str>,
    /// The certificates that peers are verified against, PEM.
    pub trust_bundle: Arc<str>,
    /// The port that inbound connections are redirected to.
    pub inbound_port: u16,
    /// The port that outbound connections are redirected to.
    pub outbound_port: u16,
    /// Where proxies write their access log; absent means standard output.
    pub access_log_path: Option<Arc<str>>,
    /// What the compiler does wrong on purpose.
    #[cfg(feature = "mutations")]
    pub mutation: Option<crate::Mutation>,
    /// How connections reach the proxies.
    pub placement: Placement,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            system_namespace: "tulle-system".into(),
            trust_bundle: "".into(),
            inbound_port: 15006,
            outbound_port: 15001,
            access_log_path: None,
            #[cfg(feature = "mutations")]
            mutation: None,
            placement: Placement::default(),
        }
    }
}
