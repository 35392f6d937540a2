//! The whole control plane, wired: source -> engine -> xDS over TLS, with status and the admin socket beside it.
//!
//! [`ControlPlane`] is that of a folder, [`ClusterPlane`] that of a Kubernetes cluster. It can run in a process of its own (`tulle up`) or inside another one. Everything it holds ends when it is shut down or
//! dropped; nothing is global, so several can run in one process.

mod cluster;
mod directory;
mod lock;
mod running;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::{Placement, Settings};
use xds::Publisher;

use crate::admin::AdminSocketError;
use crate::allocate::WorkloadAddresses;
use crate::engine::{EngineError, EngineHandle};
use crate::identity::kubernetes::SecretError;
use crate::identity::token::JoinKeyError;
use crate::identity::{CaError, CertificateAuthority, JoinKey, TokenAuthenticator};
use crate::rules::Who;
use crate::source::kubernetes::KubernetesError;
use crate::source::{self, SourceError, SourceHandle, SourceOptions};
use crate::status::StatusHandle;
use running::{Running, Setup};

pub use cluster::{ClusterOptions, ClusterPlane, Replica, WebhookOptions};
pub use directory::EngineDirectory;
pub use lock::LockError;

/// What to run.
#[derive(Clone, Debug)]
pub struct ControlPlaneOptions {
    /// The folder of objects.
    pub folder: PathBuf,
    /// Where the CA, accepted copies, addresses and the admin socket are.
    pub state_dir: PathBuf,
    /// Where proxies connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Addresses of workloads that run as processes.
    pub workload_addresses: WorkloadAddresses,
    /// How connections reach the proxies.
    pub placement: Placement,
    /// Where proxies write their access log; absent means standard output.
    pub access_log_path: Option<String>,
    /// What the compiler is started with; what the fields above say goes over it.
    pub settings: Settings,
}

/// Why the control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one uses the state folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The objects cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The API server's objects cannot be read.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// No certificate authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// No certificate authority of a cluster.
    #[error(transparent)]
    CaSecret(#[from] SecretError),
    /// No key for join tokens.
    #[error(transparent)]
    JoinKey(#[from] JoinKeyError),
    /// The first compilation failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No admin socket.
    #[error(transparent)]
    Admin(#[from] AdminSocketError),
    /// The xDS port cannot be used.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that says so.
        flag: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    // Order matters at the end: streams first, then what they use, the lock last.
    running: Running<TokenAuthenticator<EngineDirectory>>,
    source: SourceHandle,
    _lock: lock::StateLock,
}

/// The publisher, for simulations and debugging.
pub type PublisherHandle = Publisher;

impl ControlPlane {
    /// Starts everything. When it returns, proxies can connect. Must be called within a tokio runtime.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self, StartError> {
        source::check_folder(&options.folder)?;
        let lock = lock::StateLock::take(&options.state_dir)?;
        // The port is taken before anything else is done that somebody could see.
        let listen = |source| StartError::Listen {
            address: options.listen,
            flag: "--listen",
            source,
        };
        let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(listen)?;
        let ca = Arc::new(CertificateAuthority::open(&options.state_dir, SystemTime::now())?);
        let join_key = Arc::new(JoinKey::open(&options.state_dir)?);
        let source = source::start(&SourceOptions {
            folder: options.folder,
            state_dir: options.state_dir.clone(),
            workload_addresses: options.workload_addresses,
            placement: options.placement,
        })?;
        let settings = Settings {
            trust_bundle: ca.bundle_pem(),
            access_log_path: options.access_log_path.map(Into::into),
            placement: options.placement,
            ..options.settings
        };
        let running = running::start(Setup {
            listener,
            state_dir: &options.state_dir,
            views: source.subscribe(),
            ca,
            settings,
            reviews: None,
            authenticators: |directory: &EngineDirectory| {
                let reporters = TokenAuthenticator::new(Arc::clone(&join_key), directory.clone());
                let who: Who = Arc::new(move |peer, header| Ok(reporters.holder(peer, header)?));
                (TokenAuthenticator::new(join_key, directory.clone()), who)
            },
        })?;
        Ok(Self {
            running,
            source,
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

    /// The file source: current objects, and `rescan` for tests.
    pub fn source(&self) -> &SourceHandle {
        &self.source
    }

    /// The engine: what is compiled, published and acknowledged.
    pub fn engine(&self) -> &EngineHandle {
        &self.running.engine
    }

    /// The newest status.
    pub fn status(&self) -> &StatusHandle {
        &self.running.status
    }

    /// The publisher, for simulations and debugging.
    pub fn publisher(&self) -> &PublisherHandle {
        &self.running.publisher
    }

    /// What the xDS server did so far.
    pub fn counters(&self) -> &xds::Counters {
        self.running.server.counters()
    }

    /// Reads the folder as it is now and waits until it is compiled and published.
    pub async fn settle(&self) -> Arc<crate::engine::EngineView> {
        let sequence = self.source.rescan().await;
        self.running.engine.processed(sequence).await
    }

    /// Ends everything. Streams are cut: proxies go on with what they have and come back later.
    pub async fn shutdown(self) {
        self.running.stop(self.source, Duration::from_secs(1)).await;
    }
}
