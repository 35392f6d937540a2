//! What an idle stream costs: alone in its process, since it looks at the process's own memory.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tulle_xds::proto::envoy::config::cluster::v3::Cluster;
use tulle_xds::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tulle_xds::{Kind, Layer, NoSecrets, Now, Resource, Session, SessionConfig, Snapshot};

const STREAMS: usize = 200;
const RESOURCES: usize = 500;
const LIMIT: usize = 80 << 10;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn settled(snapshot: &Arc<Snapshot>) -> Session {
    let now = Now {
        elapsed: Duration::ZERO,
        wall: SystemTime::now(),
    };
    let mut session = Session::new(SessionConfig::default(), Box::new(NoSecrets));
    session.on_snapshot(Arc::clone(snapshot));
    for kind in Kind::ALL {
        let names = snapshot.iter(kind).map(|resource| resource.name.to_string());
        let mut request = DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names_subscribe: if kind.is_wildcard() {
                Vec::new()
            } else {
                names.collect()
            },
            ..Default::default()
        };
        session.on_request(request.clone(), now).unwrap();
        request.resource_names_subscribe.clear();
        while let Some(outgoing) = session.poll(now) {
            request.response_nonce = outgoing.response.nonce;
            session.on_request(request.clone(), now).unwrap();
        }
    }
    session
}

#[test]
fn a_stream_with_500_resources_costs_less_than_80_kilobytes() {
    let resources = (0..RESOURCES).map(|i| {
        let kind = Kind::ALL[i % Kind::ALL.len()];
        let name = format!("outbound|8080|a-service-with-a-name-{i}.some-namespace.svc.cluster.local");
        Arc::new(Resource::new(
            kind,
            name.as_str(),
            &Cluster {
                name: name.clone(),
                ..Default::default()
            },
        ))
    });
    let snapshot = Arc::new(Snapshot {
        revision: 1,
        layers: vec![Arc::new(Layer::from_resources(resources))],
        ..Snapshot::default()
    });
    drop(settled(&snapshot));
    let before = resident();
    let streams: Vec<Session> = (0..STREAMS).map(|_| settled(&snapshot)).collect();
    let each = (resident() - before) / streams.len();
    assert!(each < LIMIT, "{each} bytes a stream");
    println!("{each} bytes a stream");
}
