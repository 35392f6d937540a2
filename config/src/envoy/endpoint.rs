//! Endpoints of a cluster, by EDS.

use std::sync::Arc;

use std::net::IpAddr;

use xds::{Kind, Resource};

use super::api::{core, endpoint};
use super::common::{address, metadata};
use crate::model::Endpoint;
use crate::names::{ClusterName, LOCAL_ENDPOINTS};

/// The metadata by which a cluster chooses mTLS for an endpoint.
pub(crate) const MESH_MATCH: (&str, &str) = ("tls", "mesh");

/// What the endpoints of a cluster depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointsInput {
    /// The cluster.
    pub(crate) cluster: ClusterName,
    /// Sorted.
    pub(crate) endpoints: Arc<Vec<Endpoint>>,
}

/// Compiles the endpoints of a cluster.
pub(crate) fn endpoints(input: &EndpointsInput) -> Resource {
    let members = input.endpoints.iter().map(member).collect();
    assignment(&input.cluster.to_string(), members)
}

/// The members of a proxy's own group: addresses that differ, whatever they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalInput {
    /// Sorted.
    pub(crate) members: Vec<(IpAddr, u16)>,
}

/// Compiles the members of a proxy's own group, by which workload-wide limits are shared out.
pub(crate) fn local(input: &LocalInput) -> Resource {
    let members = input.members.iter().map(|(ip, port)| lb_endpoint(*ip, *port)).collect();
    assignment(LOCAL_ENDPOINTS, members)
}

/// One endpoint that never changes, within a cluster.
pub(crate) fn fixed_assignment(cluster: &str, ip: IpAddr, port: u16) -> endpoint::ClusterLoadAssignment {
    message(cluster, vec![lb_endpoint(ip, port)])
}

fn assignment(cluster: &str, members: Vec<endpoint::LbEndpoint>) -> Resource {
    Resource::new(Kind::Endpoints, cluster, &message(cluster, members))
}

fn message(cluster: &str, members: Vec<endpoint::LbEndpoint>) -> endpoint::ClusterLoadAssignment {
    let localities = if members.is_empty() {
        Vec::new()
    } else {
        vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: members,
            ..Default::default()
        }]
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: localities,
        ..Default::default()
    }
}

fn member(member: &Endpoint) -> endpoint::LbEndpoint {
    // A draining endpoint counts as unhealthy; the clusters' panic threshold lets it serve when nothing else is left.
    let health = if member.draining {
        core::HealthStatus::Draining
    } else {
        core::HealthStatus::Unknown
    };
    endpoint::LbEndpoint {
        health_status: health.into(),
        metadata: member
            .workload
            .as_ref()
            .map(|_| metadata("envoy.transport_socket_match", [MESH_MATCH])),
        ..lb_endpoint(member.address, member.port)
    }
}

fn lb_endpoint(ip: IpAddr, port: u16) -> endpoint::LbEndpoint {
    let endpoint = endpoint::Endpoint {
        address: Some(address(ip, port)),
        ..Default::default()
    };
    endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_service_still_has_an_assignment() {
        let input = EndpointsInput {
            cluster: ClusterName::Passthrough,
            endpoints: Arc::new(Vec::new()),
        };
        assert_eq!(&*endpoints(&input).name, "passthrough");
    }
}
