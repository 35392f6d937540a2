//! The way to the API server.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A KUBECONFIG that cannot be used.
    #[error(
        "cannot use the KUBECONFIG {path}; correct it, or give another one with --kubeconfig or another context with --context"
    )]
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
    match kubeconfig {
        None => Ok(Client::try_from(Config::incluster()?)?),
        Some(path) => Ok(connect_by(Some(path), None).await?.0),
    }
}

/// A client for a person: by this KUBECONFIG or the one that kubectl would take, and this context or the current one.
pub async fn connect_by(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<(Client, Config), ConnectError> {
    let broken = |source| ConnectError::Kubeconfig {
        path: kubeconfig.map_or_else(|| "that kubectl would take".into(), Path::to_owned),
        source,
    };
    let read = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(read.map_err(broken)?, &options).await;
    let config = config.map_err(broken)?;
    Ok((Client::try_from(config.clone())?, config))
}
