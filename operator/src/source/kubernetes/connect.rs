//! The way to the API server.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A KUBECONFIG that cannot be used.
    #[error("cannot use the KUBECONFIG {path}: {source}; correct it, or give another one with --kubeconfig")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// No Pod of a cluster.
    #[error("this does not run as a Pod of a cluster: {0}; give --kubeconfig")]
    NoPod(#[from] kube::config::InClusterError),
    /// The TLS or the credentials cannot be set up.
    #[error("cannot talk to the API server: {0}; check the certificates and credentials in the KUBECONFIG")]
    Client(#[from] kube::Error),
}

/// A client by this KUBECONFIG; without one as a Pod of a cluster is given it. Does not ask the API server yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let config = match kubeconfig {
        None => Config::incluster()?,
        Some(path) => {
            let broken = |source| ConnectError::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let read = Kubeconfig::read_from(path).map_err(broken)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(read, &options).await.map_err(broken)?
        }
    };
    Ok(Client::try_from(config)?)
}
