//! Puts the rules in place, in this network namespace or a named one, with the system's iptables programs.

use std::fs;
use std::process::Command;

use super::rules::{self, Family};
use super::{Interception, render};
use crate::process::feed;

/// Where to intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The network namespace of this process (an init container).
    Here,
    /// A namespace that `ip netns` knows.
    Namespace(&'a str),
}

/// Why a workload is not intercepted. It must then not be started: it would be outside the mesh.
#[derive(Debug, thiserror::Error)]
pub enum InterceptError {
    /// A program is not installed.
    #[error("{program} is not installed; install the package {package} (Debian: apt install {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program ran and failed.
    #[error(
        "{program} failed: {message}; interception needs root (CAP_NET_ADMIN) and a kernel with nat and owner matches"
    )]
    Failed {
        /// The program.
        program: &'static str,
        /// Its words.
        message: String,
    },
}

/// The programs of a family.
struct Programs {
    save: &'static str,
    restore: &'static str,
}

impl Family {
    fn programs(self) -> Programs {
        match self {
            Self::V4 => Programs {
                save: "iptables-save",
                restore: "iptables-restore",
            },
            Self::V6 => Programs {
                save: "ip6tables-save",
                restore: "ip6tables-restore",
            },
        }
    }
}

/// Intercepts, whatever was there before.
pub fn apply(input: &Interception, place: Place<'_>) -> Result<(), InterceptError> {
    for family in families(place) {
        if family == Family::V6 {
            // 127.0.0.6 is on every loopback device; its IPv6 counterpart has to be put there.
            run(
                place,
                "ip",
                &["-6", "addr", "replace", family.envoy_to_application(), "dev", "lo"],
                "",
            )?;
        }
        let Programs { save, restore } = family.programs();
        let existing = run(place, save, &["-t", "nat"], "")?;
        run(
            place,
            restore,
            &["--noflush", "--wait"],
            &render(input, family, &existing),
        )?;
    }
    Ok(())
}

/// Takes the rules away; nothing happens if there are none.
pub fn remove(place: Place<'_>) -> Result<(), InterceptError> {
    for family in families(place) {
        let Programs { save, restore } = family.programs();
        let existing = run(place, save, &["-t", "nat"], "")?;
        run(
            place,
            restore,
            &["--noflush", "--wait"],
            &rules::render_removal(&existing),
        )?;
    }
    Ok(())
}

/// IPv6 may be switched off; then there is nothing to go around by either.
fn families(place: Place<'_>) -> Vec<Family> {
    // The file lists the addresses of this namespace; a container without IPv6 has none, not even on its loopback.
    let addresses = fs::read_to_string("/proc/net/if_inet6");
    let has_v6 = addresses.is_ok_and(|list| !list.is_empty() || place != Place::Here);
    if has_v6 {
        vec![Family::V4, Family::V6]
    } else {
        vec![Family::V4]
    }
}

fn package_of(program: &'static str) -> &'static str {
    if program == "ip" { "iproute2" } else { "iptables" }
}

fn run(place: Place<'_>, program: &'static str, arguments: &[&str], input: &str) -> Result<String, InterceptError> {
    let mut command = match place {
        Place::Here => Command::new(program),
        Place::Namespace(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name, program]);
            command
        }
    };
    let failed = |message: String| InterceptError::Failed { program, message };
    let output = feed(command.args(arguments), input).map_err(|error| match (error.kind(), place) {
        (std::io::ErrorKind::NotFound, Place::Here) => InterceptError::Missing {
            program,
            package: package_of(program),
        },
        (std::io::ErrorKind::NotFound, Place::Namespace(_)) => InterceptError::Missing {
            program: "ip",
            package: "iproute2",
        },
        _ => failed(error.to_string()),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // What `ip netns exec` says if the program is not there.
    if message.contains("exec of") && message.contains("No such file") {
        return Err(InterceptError::Missing {
            program,
            package: package_of(program),
        });
    }
    Err(failed(message))
}
