//! Short names for the packages of the Envoy API that the compiler writes.

pub(crate) use xds::proto::any;
pub(crate) use xds::proto::envoy::config::accesslog::v3 as accesslog;
pub(crate) use xds::proto::envoy::config::cluster::v3 as cluster;
pub(crate) use xds::proto::envoy::config::common::mutation_rules::v3 as mutation;
pub(crate) use xds::proto::envoy::config::core::v3 as core;
pub(crate) use xds::proto::envoy::config::endpoint::v3 as endpoint;
pub(crate) use xds::proto::envoy::config::listener::v3 as listener;
pub(crate) use xds::proto::envoy::config::rbac::v3 as rbac;
pub(crate) use xds::proto::envoy::config::route::v3 as route;
pub(crate) use xds::proto::envoy::extensions as ext;
pub(crate) use xds::proto::envoy::extensions::common::ratelimit::v3 as ratelimit;
pub(crate) use xds::proto::envoy::extensions::filters::common::fault::v3 as fault;
pub(crate) use xds::proto::envoy::extensions::filters::http::fault::v3 as http_fault;
pub(crate) use xds::proto::envoy::extensions::filters::http::local_ratelimit::v3 as local_ratelimit;
pub(crate) use xds::proto::envoy::extensions::filters::http::rbac::v3 as http_rbac;
pub(crate) use xds::proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
pub(crate) use xds::proto::envoy::extensions::filters::network::rbac::v3 as network_rbac;
pub(crate) use xds::proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
pub(crate) use xds::proto::envoy::extensions::transport_sockets::tls::v3 as tls;
pub(crate) use xds::proto::envoy::extensions::upstreams::http::v3 as upstream_http;
pub(crate) use xds::proto::envoy::r#type::matcher::v3 as matcher;
pub(crate) use xds::proto::envoy::r#type::v3 as r#type;
pub(crate) use xds::proto::xds::r#type::matcher::v3 as match_tree;
