//! What this machine allows, said loudly if it does not.

use super::mesh::say;

/// Whether this machine allows network namespaces; says so if not.
pub fn can_run() -> bool {
    if !rustix::process::geteuid().is_root() {
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
