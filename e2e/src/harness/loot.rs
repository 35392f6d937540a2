//! What a thief on a workload's machine has: its join token and, with that, its certificate and key.
//!
//! The control plane gives them to a stream that is not the proxy's, from the workload's own address; the proxy keeps its
//! own. Files lie where Envoy's user can read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::mesh::Mesh;

/// What belongs to one workload, as files.
#[derive(Clone, Debug)]
pub struct Loot {
    /// Its certificate chain, PEM.
    pub cert: String,
    /// Its private key, PEM.
    pub key: String,
}

impl Loot {
    /// Takes a workload's certificate.
    pub fn take(mesh: &Mesh, id: &str) -> Result<Self> {
        let place = |name: &str| mesh.state().with_file_name(format!("{}.{name}", id.replace('/', ".")));
        let run = operator::process::RunId::for_folder(mesh.state());
        let token = format!("/run/tulle/{run}/{}/token", id.replace('/', "."));
        let token = readable(&place("token"), &fs::read_to_string(token)?)?;
        let root = readable(&place("root"), &fs::read_to_string(mesh.state().join("ca/root.pem"))?)?;
        let owner = mesh.workload(id)?.as_envoy();
        let (server, source) = (mesh.xds_address()?.to_string(), owner.address.to_string());
        let report = owner.ads(&[
            &server,
            "--root",
            &root,
            "--token",
            &token,
            "--source",
            &source,
            "--node",
            id,
            "--identity",
        ])?;
        let pem = report
            .identity
            .with_context(|| format!("{id} was given no certificate: {:?}", report.ended))?;
        Ok(Self {
            cert: readable(&place("cert"), &pem.chain)?,
            key: readable(&place("key"), &pem.key)?,
        })
    }

    /// The arguments of our tools that show it.
    pub fn arguments(&self) -> [&str; 4] {
        ["--cert", &self.cert, "--key", &self.key]
    }
}

/// Writes a file that everybody can read.
fn readable(path: &Path, text: &str) -> Result<String> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    Ok(path.to_string_lossy().into_owned())
}
