//! The control plane of a Kubernetes cluster: its objects, and its Pods with their tokens.
//!
//! The certificate authority is still in the state folder; a Secret, several replicas and status objects are not there yet.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use config::Settings;
use kube::Client;
use tokio::task::JoinSet;

use super::running::{self, Running, Setup};
use super::{EngineDirectory, StartError, lock};
use crate::engine::EngineHandle;
use crate::identity::CertificateAuthority;
use crate::identity::kubernetes::{ApiServer, IssuerKeys, PodAuthenticator};
use crate::rules::Who;
use crate::source::SourceView;
use crate::source::kubernetes::{self, KubernetesHandle, PodStore};

/// What to run.
pub struct ClusterOptions {
    /// The API server.
    pub client: Client,
    /// Where the CA and the admin socket are.
    pub state_dir: PathBuf,
    /// Where proxies connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The namespace whose policies may reach the whole mesh.
    pub system_namespace: String,
}

/// A running control plane of a cluster.
pub struct ClusterPlane {
    // Order matters at the end, as for a folder.
    running: Running<PodAuthenticator<ApiServer, PodStore, EngineDirectory>>,
    source: KubernetesHandle,
    _keys: JoinSet<()>,
    _lock: lock::StateLock,
}

impl ClusterPlane {
    /// Starts everything. When it returns, everything was read once and proxies can connect; until the API server answers it
    /// waits. Must be called within a tokio runtime.
    pub async fn start(options: ClusterOptions) -> Result<Self, StartError> {
        let lock = lock::StateLock::take(&options.state_dir)?;
        let ca = Arc::new(CertificateAuthority::open(&options.state_dir, SystemTime::now())?);
        let keys = Arc::new(IssuerKeys::new(ApiServer(options.client.clone())));
        let mut keeper = JoinSet::new();
        let kept = Arc::clone(&keys);
        keeper.spawn(async move { kept.keep().await });
        let source = kubernetes::start(options.client, &options.system_namespace).await?;
        let listen = |source| StartError::Listen {
            address: options.listen,
            source,
        };
        // Nobody can connect before: a proxy is better off with another replica than with one that knows nothing.
        let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(listen)?;
        let settings = Settings {
            trust_bundle: ca.bundle_pem(),
            system_namespace: options.system_namespace.into(),
            ..Settings::default()
        };
        let pods = source.pods();
        let running = running::start(Setup {
            listener,
            state_dir: &options.state_dir,
            views: source.subscribe(),
            ca,
            settings,
            authenticators: |directory: &EngineDirectory| {
                let reporters = PodAuthenticator::new(Arc::clone(&keys), pods.clone(), directory.clone());
                let who: Who = Arc::new(move |peer, header| Ok(reporters.holder(peer, header)?));
                (PodAuthenticator::new(keys, pods, directory.clone()), who)
            },
        })?;
        Ok(Self {
            running,
            source,
            _keys: keeper,
            _lock: lock,
        })
    }

    /// Where proxies connect.
    pub fn xds_address(&self) -> SocketAddr {
        self.running.server.address()
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

    /// Ends everything. Streams are cut: proxies go on with what they have and come back later.
    pub async fn shutdown(self) {
        self.running.stop(self.source).await;
    }
}
