//! What this machine allows, said loudly if it does not.

use std::fs;

use super::mesh::say;

/// Whether this machine allows network namespaces; says so if not.
pub fn can_run() -> bool {
    let root = effective_user() == Some(0);
    if !root {
        say("skipped: end-to-end tests make network namespaces and need root");
        return false;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Err(error) = operator::packages::install_missing(&operator::packages::INTERCEPTION, &path, &say) {
        // The test itself fails then, with the words of whoever misses the program.
        say(&error.to_string());
    }
    true
}

/// The second number of the `Uid` line of our own status.
fn effective_user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}
