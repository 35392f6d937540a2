//! What applications are told in loopback placement.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

mod support;

use std::collections::BTreeMap;

use tulle_config::environment::environment;
use tulle_config::model::Key;

const OBJECTS: &str = "# loopback: 127.16.0.0/12
---
apiVersion: mesh.tulle.dev/v1alpha1
kind: Workload
metadata: {namespace: shop, name: web-1, labels: {app: web}}
spec: {address: 127.16.4.1, serviceAccount: web, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: my-web}
spec: {clusterIP: 240.0.0.3, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: db}
spec: {clusterIP: 240.0.0.4, selector: {app: db}, ports: [{name: tcp-pg, port: 5432}, {port: 2000, appProtocol: grpc}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: other, name: db}
spec: {clusterIP: 240.0.0.5, selector: {app: db}, ports: [{name: tcp-pg, port: 5433}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: other-db}
spec: {clusterIP: 240.0.0.6, selector: {app: db}, ports: [{name: http, port: 7000}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: payments, name: http}
spec: {clusterIP: 240.0.0.7, selector: {app: db}, ports: [{name: http, port: 7001}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: payments}
spec: {clusterIP: 240.0.0.8, selector: {app: db}, ports: [{name: http, port: 7002}]}
";

fn variables(workload: &str) -> BTreeMap<String, String> {
    let block = "127.16.0.0/12".parse().unwrap();
    environment(&support::model(OBJECTS), block, &Key::new("shop", workload))
}

#[test]
fn every_service_port_has_a_url() {
    let variables = variables("web-1");
    let expected = [
        ("TULLE_ADDRESS", "127.16.4.2"),
        ("TULLE_MY_WEB_URL", "http://127.16.4.3:10080"),
        ("TULLE_SHOP_MY_WEB_URL", "http://127.16.4.3:10080"),
        ("TULLE_DB_URL", "tcp://127.16.4.4:5432"),
        ("TULLE_DB_TCP_PG_URL", "tcp://127.16.4.4:5432"),
        ("TULLE_DB_2000_URL", "http://127.16.4.4:2000"),
        ("TULLE_OTHER_DB_TCP_PG_URL", "tcp://127.16.4.5:5433"),
        // The Service `other-db` of the own namespace goes before `db` of the namespace `other`.
        ("TULLE_OTHER_DB_URL", "http://127.16.4.6:7000"),
        // What is in the own namespace goes first: a port of its Service `payments`, not the Service `http` of the namespace `payments`.
        ("TULLE_PAYMENTS_HTTP_URL", "http://127.16.4.8:7002"),
    ];
    for (name, value) in expected {
        assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn a_workload_that_is_not_there_is_told_nothing() {
    assert!(variables("nobody").is_empty());
}
