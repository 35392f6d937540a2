//! The system's programs that interception needs, installed through apt where they are missing.
//!
//! Only the demo and the tests install: they promise to need nothing prepared. Everybody else gets an error that names the
//! package, because a mesh should not change a machine's packages by itself.

use std::collections::BTreeSet;
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

/// What of it is not on this machine.
pub fn missing(needed: &[Program], path: &OsStr) -> Vec<Program> {
    let absent = |&&(program, _): &&Program| !is_there(program, path);
    needed.iter().filter(absent).copied().collect()
}

/// Installs what is missing, all at once, with a line before. Needs root. Safe to call from several processes at once: apt
/// waits for its own lock.
pub fn install_missing(needed: &[Program], path: &OsStr, progress: &dyn Fn(&str)) -> Result<(), PackageError> {
    let absent = missing(needed, path);
    let Some(&first) = absent.first() else {
        return Ok(());
    };
    let packages: BTreeSet<&str> = absent.iter().map(|&(_, package)| package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    let programs: Vec<&str> = absent.iter().map(|&(program, _)| program).collect();
    progress(&format!(
        "{} {} missing; installing {} with apt-get",
        programs.join(", "),
        if programs.len() == 1 { "is" } else { "are" },
        packages.join(", ")
    ));
    let failed = |(program, package): Program, reason: String| PackageError {
        program,
        package,
        reason,
    };
    // An old or empty list of packages is the usual state of a fresh machine.
    apt(&["update"]).map_err(|reason| failed(first, reason))?;
    let install = ["install", "--yes", "--no-install-recommends"];
    apt(&[&install, &packages[..]].concat()).map_err(|reason| failed(first, reason))?;
    match missing(needed, path).first() {
        Some(&still) => Err(failed(still, format!("the package {} does not have it", still.1))),
        None => Ok(()),
    }
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
        let needed = [("no-such-program", "no-such-package"), ("sh", "dash")];
        let path = std::env::join_paths([folder.path(), Path::new("/bin")]).unwrap();
        assert_eq!(missing(&needed, &path), [("no-such-program", "no-such-package")]);
        std::fs::write(folder.path().join("no-such-program"), "").unwrap();
        assert_eq!(missing(&needed, &path), []);
        assert!(install_missing(&needed, &path, &|_| {}).is_ok());
    }
}
