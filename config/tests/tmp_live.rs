#[path = "support/inline.rs"]
mod inline;
mod support;
use prost::Message;
use tulle_config::{Compiler, Settings, Transient, model::Key};
use xds::proto::envoy::config::{bootstrap::v3::*, cluster::v3::cluster::*};
#[test]
fn live() {
    let read = |f: &str| std::fs::read_to_string(format!("/tmp/exp-config/lab/{f}")).unwrap();
    let settings = Settings {
        trust_bundle: read("ca.pem").into(),
        access_log_path: Some("/tmp/exp-config/access.log".into()),
        ..Settings::default()
    };
    let model = support::model(&read("live.yaml"));
    for d in &model.diagnostics {
        println!("{d}");
    }
    let s = Compiler::new()
        .snapshot(&model, &settings, &Key::new("shop", "web"), &Transient::default())
        .unwrap();
    let mut b = inline::bootstrap(&s, &read("web.pem"), &read("web.key"));
    let r = b.static_resources.as_mut().unwrap();
    r.listeners.retain(|l| l.name.starts_with("in/"));
    for l in &mut r.listeners {
        l.bind_to_port = Some(true);
    }
    for c in &mut r.clusters {
        if c.name.starts_with("app/") {
            let port = if c.name.contains("tcp") { 19091 } else { 19090 };
            c.cluster_discovery_type = Some(ClusterDiscoveryType::Type(0));
            c.lb_policy = 0;
            c.upstream_bind_config = None;
            c.load_assignment = Some(serde_free(&c.name, port));
        }
    }
    b.admin = Some(Admin {
        address: Some(addr("127.0.0.1", 19001)),
        ..Default::default()
    });
    b.layered_runtime = Some(LayeredRuntime {
        layers: vec![RuntimeLayer {
            name: "admin".into(),
            layer_specifier: Some(runtime_layer::LayerSpecifier::AdminLayer(runtime_layer::AdminLayer {})),
        }],
    });
    std::fs::write("/tmp/exp-config/live.pb", b.encode_to_vec()).unwrap();
}
use xds::proto::envoy::config::core::v3 as core;
fn addr(ip: &str, port: u32) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: ip.into(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port)),
            ..Default::default()
        })),
    }
}
use xds::proto::envoy::config::endpoint::v3 as ep;
fn serde_free(name: &str, port: u32) -> ep::ClusterLoadAssignment {
    ep::ClusterLoadAssignment {
        cluster_name: name.into(),
        endpoints: vec![ep::LocalityLbEndpoints {
            lb_endpoints: vec![ep::LbEndpoint {
                host_identifier: Some(ep::lb_endpoint::HostIdentifier::Endpoint(ep::Endpoint {
                    address: Some(addr("127.0.0.1", port)),
                    ..Default::default()
                })),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
