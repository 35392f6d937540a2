//! The Debian packages that a node needs.

use anyhow::Result;
use operator::packages::{Program, install_missing, missing};

/// Programs with their package. Plugins are not on PATH; an absolute name is looked for where it says.
const NEEDED: [Program; 9] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("buildah", "buildah"),
    ("debootstrap", "debootstrap"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("umount", "mount"),
];

/// Installs what is missing.
pub(in crate::cluster) fn install(progress: &dyn Fn(&str)) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(install_missing(&NEEDED, &path, progress)?)
}

/// Why what is missing cannot be installed; none if nothing is, or if it can.
pub(in crate::cluster) fn refusal() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (first, _) = *missing(&NEEDED, &path).first()?;
    let absent = !missing(&[("apt-get", "apt")], &path).is_empty();
    absent.then(|| format!("{first} is missing, and there is no apt-get to install it"))
}
