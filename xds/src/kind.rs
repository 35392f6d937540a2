//! The kinds of xDS resources, in the order in which they are pushed.

/// A kind of resource. Declaration order is push order: what others refer to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoints,
    /// SDS.
    Secret,
    /// ECDS.
    ExtensionConfig,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// RTDS.
    Runtime,
}

impl Kind {
    /// All kinds in push order.
    pub const ALL: [Kind; 7] = [
        Kind::Cluster,
        Kind::Endpoints,
        Kind::Secret,
        Kind::ExtensionConfig,
        Kind::Listener,
        Kind::Route,
        Kind::Runtime,
    ];

    /// The type URL on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Kind::ExtensionConfig => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Kind::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
        }
    }

    /// The kind of a type URL; absent for types that are not served.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// Clusters and listeners are subscribed to as a whole; every other kind by name.
    pub fn is_wildcard(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener)
    }
}
