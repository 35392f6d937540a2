//! The system's programs that interception needs, installed through apt where they are missing.
//!
//! Only the demo and the tests install: they promise to need nothing prepared. Everybody else gets an error that names the
//! package, because a mesh should not change a machine's packages by itself.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program with the Debian package that has it.
pub type Program = (&'static str, &'static str);

/// What interception and namespaces need.
pub const INTERCEPTION: [Program; 4] = [
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("ip6tables-restore", "iptables"),
    ("setpriv", "util-linux"),
];

/// Why a program is still missing.
#[derive(Debug, thiserror::Error)]
#[error("{program} is missing and could not be installed ({reason}); install the package {package} and try again")]
pub struct PackageError {
    program: &'static str,
    package: &'static str,
    reason: String,
}

/// Installs what is missing, with a line before each step. Needs root. Safe to call from several processes at once: apt
/// waits for its own lock.
pub fn install_missing(needed: &[Program], path: &OsStr, progress: &dyn Fn(&str)) -> Result<(), PackageError> {
    for &(program, package) in needed {
        if is_there(program, path) {
            continue;
        }
        progress(&format!(
            "{program} is missing; installing the package {package} with apt-get"
        ));
        let failed = |reason: String| PackageError {
            program,
            package,
            reason,
        };
        // An old or empty list of packages is the usual state of a fresh machine.
        apt(&["update"]).map_err(failed)?;
        apt(&["install", "--yes", "--no-install-recommends", package]).map_err(failed)?;
        if !is_there(program, path) {
            return Err(failed(format!("the package {package} does not have it")));
        }
    }
    Ok(())
}

/// Root's programs are there even where PATH does not say so.
fn is_there(program: &str, path: &OsStr) -> bool {
    let folders = std::env::split_paths(path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    folders
        .map(|folder| folder.join(program))
        .any(|file| Path::is_file(&file))
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=120", "-qq"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("apt-get: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_there("no-such-program", folder.path().as_os_str()));
        std::fs::write(folder.path().join("no-such-program"), "").unwrap();
        assert!(is_there("no-such-program", folder.path().as_os_str()));
    }
}
