//! The cluster with our kinds, the workload that is guarded, and a control plane that can be stopped and started again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use config::{Model, Objects};
use operator::control_plane::{ClusterOptions, ClusterPlane, Replica, WebhookOptions};
use operator::health::Health;
use operator::process::AdminClient;
use operator::source::kubernetes;
use operator::webhook::VALIDATE_PATH;
use serde_json::{Value, json};
use tulle_e2e::cluster::Cluster;
use tulle_e2e::harness::broken::guarded_by_two;
use tulle_e2e::harness::yaml::NAMESPACE;

use super::applying::apply;

/// The namespace of the installation, and the name of its Service and of its webhook configuration.
const SYSTEM: &str = "tulle-e2e-bad-objects";
/// The machine may have other work.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) struct Stage {
    cluster: Cluster,
    state: tempfile::TempDir,
    address: SocketAddr,
    plane: Option<ClusterPlane>,
    own_kinds: bool,
}

impl Stage {
    pub(crate) fn new(cluster: Cluster) -> Result<Self> {
        let own_kinds = cluster.kubectl(&["get", "crd", "meshes.mesh.tulle.dev"]).is_err();
        let path = "--output=jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = cluster.kubectl(&["get", "nodes", path])?;
        Ok(Self {
            cluster,
            state: tempfile::tempdir()?,
            address: std::net::TcpListener::bind((node.trim(), 0))?.local_addr()?,
            plane: None,
            own_kinds,
        })
    }

    /// Everything that is there before the first case.
    pub(crate) async fn set(&mut self) -> Result<()> {
        let force = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
        for kind in crds::all() {
            self.cluster
                .kubectl_with_input(&force, &serde_json::to_string(&kind)?)?;
        }
        for namespace in [NAMESPACE, SYSTEM] {
            let delete = ["delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s"];
            self.cluster.kubectl(&delete)?;
            self.cluster.kubectl(&["create", "namespace", namespace])?;
        }
        self.start().await?;
        let applied = apply(&self.cluster, guarded_by_two(), &[])?;
        ensure!(applied.accepted, "{}", applied.said);
        self.ask_us()
    }

    /// Starts the control plane and its webhook, as after a restart.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let options = ClusterOptions {
            client: kubernetes::connect(Some(self.cluster.kubeconfig())).await?,
            state_dir: self.state.path().to_owned(),
            listen: "127.0.0.1:0".parse()?,
            system_namespace: SYSTEM.to_owned(),
            webhook: WebhookOptions {
                listen: self.address,
                service: SYSTEM.to_owned(),
                image: "none".to_owned(),
                envoy_image: "none".to_owned(),
            },
            health: Health::default(),
            replica: Replica::default(),
        };
        self.plane = Some(ClusterPlane::start(options).await?);
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let plane = self.plane.take().context("the control plane runs")?;
        plane.shutdown(Duration::ZERO).await;
        Ok(())
    }

    /// Makes the API server ask the webhook, and waits until it does.
    fn ask_us(&self) -> Result<()> {
        let objects = hook(self.address);
        self.cluster
            .kubectl_with_input(&["apply", "--filename=-"], &objects.to_string())?;
        let bad = "apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\nmetadata: {name: asked, namespace: shop}\n\
                   spec: {action: Deny, rules: [], unknown: 1}\n";
        let pause = Duration::from_millis(200);
        tulle_e2e::harness::wait_until("the API server asks the webhook", LIMIT, pause, || {
            Ok((!apply(&self.cluster, bad, &["--dry-run=server"])?.accepted).then_some(()))
        })
    }

    /// What is compiled, once it is as wanted.
    pub(crate) async fn model(&self, what: &str, wanted: impl Fn(&Model) -> bool) -> Result<Arc<Model>> {
        let plane = self.plane.as_ref().context("the control plane runs")?;
        let view = plane.engine().wait_for(|view| wanted(&view.model));
        let view = tokio::time::timeout(LIMIT, view).await;
        Ok(Arc::clone(
            &view.with_context(|| format!("{what}: not within {LIMIT:?}"))?.model,
        ))
    }

    /// What is served.
    pub(crate) fn objects(&self) -> Result<Arc<Objects>> {
        let plane = self.plane.as_ref().context("the control plane runs")?;
        Ok(Arc::clone(&plane.view().objects))
    }

    /// The permissions with their status.
    pub(crate) async fn permissions(&self) -> Result<Vec<Value>> {
        let plane = self.plane.as_ref().context("the control plane runs")?;
        let admin = AdminClient::new(plane.admin_socket().to_owned());
        let body = admin.get("/objects/trafficpermissions").await?;
        let list: Value = serde_json::from_slice(&body)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) async fn clear(mut self) -> Result<()> {
        if self.plane.is_some() {
            self.stop().await?;
        }
        self.cluster
            .kubectl(&["delete", "validatingwebhookconfiguration", SYSTEM, "--ignore-not-found"])?;
        for namespace in [NAMESPACE, SYSTEM] {
            self.cluster
                .kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s"])?;
        }
        if self.own_kinds {
            for kind in crds::all() {
                let name = kind.metadata.name.unwrap_or_default();
                self.cluster.kubectl(&["delete", "crd", &name, "--timeout=120s"])?;
            }
        }
        Ok(())
    }
}

/// A Service whose endpoint is this process, and the configuration that names it.
fn hook(address: SocketAddr) -> Value {
    let kinds = [
        "meshes",
        "trafficpermissions",
        "trafficroutes",
        "ratelimits",
        "faultinjections",
        "workloads",
    ];
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": SYSTEM, "namespace": SYSTEM, "labels": {"kubernetes.io/service-name": SYSTEM}},
        "ports": [{"name": "webhook", "port": address.port()}],
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SYSTEM, "namespace": SYSTEM},
        "spec": {"ports": [{"name": "webhook", "port": 443, "targetPort": address.port()}]},
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": SYSTEM},
        "webhooks": [{
            "name": "validate.mesh.tulle.dev", "failurePolicy": "Ignore", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
            "rules": [{"apiGroups": ["mesh.tulle.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"], "resources": kinds}],
            // The control plane adds its caBundle.
            "clientConfig": {"service": {"namespace": SYSTEM, "name": SYSTEM, "path": VALIDATE_PATH}},
        }],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [service, endpoints, configuration]})
}
