//! The control plane of a Kubernetes cluster: its objects, its Pods with their tokens, and the questions of its API server.
//!
//! Any number of replicas run beside each other and need not know of each other but for status: all that lasts is on the API
//! server, and each makes the same bytes of it. Nothing in the state folder outlives the process.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Settings;
use kube::Client;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::running::{self, Running, Setup};
use super::{EngineDirectory, StartError, lock};
use crate::engine::EngineHandle;
use crate::health::{Health, Step};
use crate::identity::CertificateAuthority;
use crate::identity::kubernetes::{ApiServer, IssuerKeys, PodAuthenticator, open_ca};
use crate::inject::InjectSettings;
use crate::rules::Who;
use crate::source::SourceView;
use crate::source::kubernetes::{self, KubernetesHandle, PodStore};
use crate::status::StatusHandle;
use crate::status::kubernetes::{self as cluster_status, KubernetesStatus};
use crate::upkeep;
use crate::webhook::{self, Reviews, Validator, Webhook};

/// Requests under way have this long at the end.
const GRACE: Duration = Duration::from_secs(10);
/// Streams are ended within this time, one after the other.
const STREAMS: Duration = Duration::from_secs(1);

/// What to run.
pub struct ClusterOptions {
    /// The API server.
    pub client: Client,
    /// Where the admin socket is.
    pub state_dir: PathBuf,
    /// Where proxies connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The namespace of the installation, whose policies may reach the whole mesh.
    pub system_namespace: String,
    /// What the API server asks.
    pub webhook: WebhookOptions,
    /// What is told of this process.
    pub health: Health,
    /// This one among several.
    pub replica: Replica,
}

/// What the API server asks.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Where it asks; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The Service by which it and proxies reach us; webhook configurations have the same name.
    pub service: String,
    /// The image with `tulle`, for Pods.
    pub image: String,
    /// The image with Envoy, for Pods.
    pub envoy_image: String,
}

/// One of several control planes of a mesh. It takes part in status if all of this is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// The Pod's name; nothing outside of a Pod.
    pub name: Option<String>,
    /// The Pod's address.
    pub address: Option<IpAddr>,
    /// Where other replicas report what their proxies acknowledged; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
}

/// A running control plane of a cluster.
pub struct ClusterPlane {
    // Order matters at the end, as for a folder.
    running: Running<PodAuthenticator<ApiServer, PodStore, EngineDirectory>>,
    webhook: Serving,
    status: Option<KubernetesStatus>,
    source: KubernetesHandle,
    bundle: Arc<str>,
    health: Health,
    _upkeep: JoinSet<()>,
    _keys: JoinSet<()>,
    _lock: lock::StateLock,
}

impl ClusterPlane {
    /// Starts everything. When it returns, everything was read once, proxies can connect and the API server can ask; until
    /// the API server answers it waits. Must be called within a tokio runtime.
    pub async fn start(options: ClusterOptions) -> Result<Self, StartError> {
        let lock = lock::StateLock::take(&options.state_dir)?;
        let health = options.health;
        let ca = Arc::new(open_ca(options.client.clone(), &options.system_namespace).await?);
        health.done(Step::CertificateAuthority);
        let keys = Arc::new(IssuerKeys::new(ApiServer(options.client.clone())));
        let keeper = keep(Arc::clone(&keys));
        let source = kubernetes::start(options.client.clone(), &options.system_namespace).await?;
        health.done(Step::Objects);
        // Nobody can connect before: a proxy is better off with another replica than with one that knows nothing.
        let listener = bind(options.listen, "--listen").await?;
        let webhook_listener = bind(options.webhook.listen, "--webhook-listen").await?;
        let reviews = Reviews::default();
        let bundle = ca.bundle_pem();
        let settings = Settings {
            trust_bundle: Arc::clone(&bundle),
            system_namespace: options.system_namespace.as_str().into(),
            ..Settings::default()
        };
        let pods = source.pods();
        let validator = Validator::new(source.subscribe(), settings.clone());
        let running = running::start(Setup {
            listener,
            state_dir: &options.state_dir,
            views: source.subscribe(),
            ca: Arc::clone(&ca),
            settings,
            reviews: Some(reviews.clone()),
            authenticators: |directory: &EngineDirectory| {
                let reporters = PodAuthenticator::new(Arc::clone(&keys), pods.clone(), directory.clone());
                let who: Who = Arc::new(move |peer, header| Ok(reporters.holder(peer, header)?));
                (PodAuthenticator::new(keys, pods, directory.clone()), who)
            },
        })?;
        health.done(Step::Engine);
        health.done(Step::Xds);
        // The channel closes with the engine's thread.
        let (views, figures) = (running.engine.subscribe(), Arc::clone(&running.figures));
        health.connect(move || views.has_changed().is_ok(), move || figures());
        let system = (&options.client, &*options.system_namespace);
        let status = write_status(options.replica.clone(), system, &ca, (&running.status, source.pods())).await?;
        let service = webhook_of(&options.webhook, &options.system_namespace, reviews, validator);
        let webhook = Serving::start(webhook_listener, ca, service)?;
        health.done(Step::Webhook);
        let upkeep = upkeep::start(&options.client, &bundle, &options.webhook.service, source.subscribe());
        tracing::info!(
            replica = options.replica.name.as_deref().unwrap_or_default(), address = ?options.replica.address,
            xds = %running.server.address(), webhook = %webhook.address, objects = source.view().by_name.len(),
            "the control plane is up"
        );
        Ok(Self {
            running,
            webhook,
            status,
            source,
            bundle,
            health,
            _upkeep: upkeep,
            _keys: keeper,
            _lock: lock,
        })
    }

    /// Where proxies connect.
    pub fn xds_address(&self) -> SocketAddr {
        self.running.server.address()
    }

    /// Where the API server asks.
    pub fn webhook_address(&self) -> SocketAddr {
        self.webhook.address
    }

    /// The root certificate of the mesh, PEM.
    pub fn bundle_pem(&self) -> &str {
        &self.bundle
    }

    /// The admin socket.
    pub fn admin_socket(&self) -> &Path {
        self.running.admin.path()
    }

    /// What is served.
    pub fn view(&self) -> Arc<SourceView> {
        self.source.view()
    }

    /// The engine: what is compiled, published and acknowledged.
    pub fn engine(&self) -> &EngineHandle {
        &self.running.engine
    }

    /// Ends everything. For the time of `drain` nothing changes but that this process says that it is not ready, so that nobody
    /// is sent here any more; then streams are ended, which makes proxies connect to another replica.
    pub async fn shutdown(self, drain: Duration) {
        self.health.ending();
        tokio::time::sleep(drain).await;
        if let Some(status) = self.status {
            status.stop().await;
        }
        tokio::join!(self.webhook.stop(), self.running.stop(self.source, STREAMS));
    }
}

/// Fetches the issuer's keys again and again.
fn keep(keys: Arc<IssuerKeys<ApiServer>>) -> JoinSet<()> {
    let mut keeper = JoinSet::new();
    keeper.spawn(async move { keys.keep().await });
    keeper
}

/// Begins to write status, or to report to who does.
async fn write_status(
    replica: Replica,
    (client, namespace): (&Client, &str),
    ca: &Arc<CertificateAuthority>,
    (status, pods): (&StatusHandle, PodStore),
) -> Result<Option<KubernetesStatus>, StartError> {
    let (Some(name), Some(ip), Some(listen)) = (replica.name, replica.address, replica.listen) else {
        return Ok(None);
    };
    let listener = bind(listen, "--status-listen").await?;
    let port = listener.local_addr().map_or(listen.port(), |bound| bound.port());
    let options = cluster_status::Options {
        client: client.clone(),
        ca: Arc::clone(ca),
        status: status.clone(),
        pods,
        namespace: namespace.to_owned(),
        replica: name,
        address: SocketAddr::new(ip, port),
    };
    Ok(Some(cluster_status::start(listener, options)?))
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| StartError::Listen { address, flag, source })
}

/// What the webhook answers with.
fn webhook_of(options: &WebhookOptions, namespace: &str, reviews: Reviews, validator: Validator) -> Webhook {
    let host = format!("{}.{namespace}.svc", options.service);
    let inject = InjectSettings {
        envoy_image: options.envoy_image.clone(),
        ..InjectSettings::new(&options.image, format!("{host}:{PROXIES}"))
    };
    Webhook {
        names: vec![host.clone(), format!("{host}.cluster.local")],
        inject,
        validator: Some(validator),
        reviews,
    }
}

/// The Service's port for proxies.
const PROXIES: u16 = 15012;

/// The webhook's server.
struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(listener: TcpListener, ca: Arc<CertificateAuthority>, webhook: Webhook) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            flag: "--webhook-listen",
            source,
        })?;
        let stop = CancellationToken::new();
        let server = webhook::serve(listener, ca, webhook, stop.clone().cancelled_owned())?;
        let task = tokio::spawn(server);
        Ok(Self { address, stop, task })
    }

    /// Accepts nothing more and waits for what is under way.
    async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
