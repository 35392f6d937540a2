//! The namespaces, Service and webhook configuration of the test, and what it asks of the cluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::{Operator, wait_until};
use tulle_e2e::install::Installation;

pub(super) const SYSTEM: &str = "tulle-e2e-operator";
pub(super) const MESH: &str = "tulle-e2e-operator-mesh";
/// The Service, and the webhook configurations.
pub(super) const NAME: &str = "tulle-e2e-operator";
/// The machine may have other work.
pub(super) const LIMIT: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Stage {
    pub(super) cluster: Cluster,
    node: String,
}

impl Stage {
    pub(super) fn set(cluster: Cluster) -> Result<Self> {
        Installation::only_kinds(&cluster)?;
        let path = "--output=jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = cluster.kubectl(&["get", "nodes", path])?;
        let stage = Self { cluster, node };
        stage.remove()?;
        for namespace in [SYSTEM, MESH] {
            stage.cluster.kubectl(&["create", "namespace", namespace])?;
        }
        stage.label("mesh.tulle.dev/inject=true")?;
        let scope =
            json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [MESH]}]});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": NAME},
            "webhooks": [{
                "name": "pods.mesh.tulle.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "clientConfig": {"service": {"namespace": SYSTEM, "name": NAME, "port": 443, "path": "/mutate"}},
                "namespaceSelector": scope,
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }],
        });
        stage.apply(&configuration)?;
        let ports = json!([{"name": "webhook", "port": 443}]);
        stage.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": SYSTEM}, "spec": {"ports": ports},
        }))?;
        Ok(stage)
    }

    pub(super) fn clear(&self) -> Result<()> {
        self.remove()?;
        Installation::absent(&self.cluster)
    }

    fn remove(&self) -> Result<()> {
        let gone = ["--ignore-not-found", "--timeout=120s"];
        let configuration = ["delete", "mutatingwebhookconfiguration", NAME];
        self.cluster.kubectl(&[&configuration[..], &gone].concat())?;
        for namespace in [MESH, SYSTEM] {
            self.cluster
                .kubectl(&[&["delete", "namespace", namespace][..], &gone].concat())?;
        }
        Ok(())
    }

    pub(super) fn start(&self, drain: &str) -> Result<Operator> {
        let arguments = [
            "--system-namespace",
            SYSTEM,
            "--service",
            NAME,
            "--image",
            "localhost/tulle:x",
            "--drain",
            drain,
        ];
        Operator::start(self.cluster.kubeconfig(), &arguments)
    }

    pub(super) fn apply(&self, object: &Value) -> Result<()> {
        self.cluster.apply(&object.to_string())
    }

    pub(super) fn get(&self, namespace: &str, what: &[&str]) -> Result<Value> {
        let arguments = [&["--namespace", namespace, "get", "--output=json"][..], what].concat();
        Ok(serde_json::from_str(&self.cluster.kubectl(&arguments)?)?)
    }

    pub(super) fn label(&self, label: &str) -> Result<()> {
        self.cluster
            .kubectl(&["label", "namespace", MESH, label, "--overwrite"])
            .map(drop)
    }

    /// The API server asks these from now on.
    pub(super) fn route(&self, operators: &[&Operator]) -> Result<()> {
        for (index, operator) in operators.iter().enumerate() {
            self.apply(&json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{NAME}-{index}"), "namespace": SYSTEM,
                    "labels": {"kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "test"},
                },
                "addressType": "IPv4",
                "ports": [{"name": "webhook", "port": operator.webhook.port()}],
                "endpoints": [{"addresses": [self.node], "conditions": {"ready": true}}],
            }))?;
        }
        let unused = format!("{NAME}-{}", operators.len());
        let delete = [
            "--namespace",
            SYSTEM,
            "delete",
            "endpointslice",
            &unused,
            "--ignore-not-found",
        ];
        self.cluster.kubectl(&delete).map(drop)
    }

    pub(super) fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        wait_until(what, LIMIT, LOOK, || ask(self))
    }

    pub(super) fn root(&self) -> Result<String> {
        let secret = self.get(SYSTEM, &["secret", "tulle-ca"])?;
        let text = secret["data"]["tls.crt"].as_str().context("no tls.crt")?;
        self.decoded(text)
    }

    /// As `base64 --decode`, by a tool that is there anyway.
    pub(super) fn decoded(&self, text: &str) -> Result<String> {
        let template = format!("--output=go-template={{{{base64decode \"{text}\"}}}}");
        self.cluster.kubectl(&["get", "namespace", SYSTEM, &template])
    }

    /// Waits until the namespace of the mesh has this root, and tells the version of the object.
    pub(super) fn config_map(&self, root: &str) -> Result<String> {
        self.until("the ConfigMap", |stage| {
            let map = stage.get(MESH, &["configmap", "tulle-ca"])?;
            ensure!(map["data"]["root.pem"] == root, "{map}");
            Ok(Some(map["metadata"]["resourceVersion"].to_string()))
        })
    }

    /// Waits until the API server trusts this root, and tells the version of the object.
    pub(super) fn trusted(&self, root: &str) -> Result<String> {
        self.until("caBundle", |stage| {
            let found = stage.get("", &["mutatingwebhookconfiguration", NAME])?;
            let bundle = found["webhooks"][0]["clientConfig"]["caBundle"]
                .as_str()
                .context("no caBundle")?;
            ensure!(stage.decoded(bundle)? == root, "{bundle}");
            Ok(Some(found["metadata"]["resourceVersion"].to_string()))
        })
    }

    /// A Pod that no node is ever chosen for.
    pub(super) fn pod(&self, name: &str, spec: &Value, labels: &Value) -> Result<Value> {
        let mut spec = spec.clone();
        spec["schedulingGates"] = json!([{"name": "test.tulle.dev/never"}]);
        spec["containers"] = json!([{"name": "app", "image": "localhost/none"}]);
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": MESH, "labels": labels}, "spec": spec,
        }))?;
        self.get(MESH, &["pod", name])
    }
}
