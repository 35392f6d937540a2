//! A made-up mesh as YAML: services, and workloads on loopback addresses, so that simulated proxies can have them.
//!
//! One file for each service with its workloads, so that an edit touches one file; one file for a mesh-wide permission.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Result;

/// The namespace of everything in it.
pub const NAMESPACE: &str = "bench";
/// The file of the mesh-wide permission.
pub const PERMISSION_FILE: &str = "permission.yaml";
/// The port of every workload.
const PORT: u16 = 8080;

/// How large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Services.
    pub services: usize,
    /// Workloads; workload `w` belongs to service `w % services`.
    pub workloads: usize,
}

impl World {
    /// A mesh with so many services, each with at least one workload, and at least so many workloads.
    pub fn new(services: usize, workloads: usize) -> Self {
        Self {
            services: services.max(1),
            workloads: workloads.max(services),
        }
    }

    /// The name of a service.
    pub fn service(index: usize) -> String {
        format!("s{index:04}")
    }

    /// The name of a workload.
    pub fn workload(index: usize) -> String {
        format!("w{index:05}")
    }

    /// The address of a workload: one of 127.64.0.0/10, to which a client can bind.
    pub fn address(index: usize) -> IpAddr {
        let low = u32::try_from(index).unwrap_or(u32::MAX).wrapping_add(1) & 0x003f_ffff;
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 64, 0, 0)) | low))
    }

    /// The file of a service.
    pub fn file(service: usize) -> String {
        format!("{}.yaml", Self::service(service))
    }

    /// The content of a service's file, with `more` workloads beside its own.
    pub fn text(&self, service: usize, more: usize) -> String {
        let name = Self::service(service);
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  selector: {{app: {name}}}\n  \
             ports: [{{name: http, port: 80, targetPort: {PORT}}}]\n"
        );
        let own = (service..self.workloads).step_by(self.services);
        let extra = (0..more).map(|n| self.workloads + service + n * self.services);
        for workload in own.chain(extra) {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "---\napiVersion: mesh.tulle.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {}, namespace: {NAMESPACE}, \
                 labels: {{app: {name}}}}}\nspec:\n  address: {}\n  serviceAccount: {name}\n  ports: [{{name: http, port: {PORT}}}]\n",
                Self::workload(workload),
                Self::address(workload),
            );
        }
        text
    }

    /// A permission that concerns every workload; each round reads differently.
    pub fn permission(round: usize) -> String {
        format!(
            "apiVersion: mesh.tulle.dev/v1alpha1\nkind: TrafficPermission\nmetadata: {{name: bench, namespace: {NAMESPACE}}}\nspec:\n  \
             targetRefs: [{{kind: Namespace, name: {NAMESPACE}}}]\n  action: Allow\n  rules:\n  - name: round\n    \
             sources: [{{type: Authenticated}}]\n    http: [{{path: {{type: PathPrefix, value: /round-{round}}}}}]\n"
        )
    }

    /// Writes the folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for service in 0..self.services {
            std::fs::write(folder.join(Self::file(service)), self.text(service, 0))?;
        }
        std::fs::write(folder.join(PERMISSION_FILE), Self::permission(0))?;
        Ok(())
    }
}
