//! What several test files need: a real Envoy, root, and code that runs inside a network namespace.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod run;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tulle_operator::envoy_binary::{EnvoyBinary, Search, default_cache_dir, locate};

/// A real Envoy; the test fails loudly if it cannot be had.
pub(crate) fn envoy() -> &'static EnvoyBinary {
    static ENVOY: OnceLock<EnvoyBinary> = OnceLock::new();
    ENVOY.get_or_init(|| {
        let variable = |name| std::env::var_os(name);
        let (xdg, home) = (variable("XDG_CACHE_HOME"), variable("HOME"));
        let search = Search {
            explicit: variable("TULLE_ENVOY").map(PathBuf::from),
            path: variable("PATH"),
            cache_dir: default_cache_dir(is_root(), xdg.as_deref(), home.as_deref()),
        };
        locate(&search, &|line| eprintln!("{line}"))
            .unwrap_or_else(|error| panic!("this test needs a real Envoy: {error}"))
    })
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Network namespaces need root. A machine without it must say so itself, or the test counts as failed.
pub(crate) fn need_root(test: &str) -> bool {
    if is_root() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        tulle_operator::packages::install_missing(&tulle_operator::packages::INTERCEPTION, &path, &|line| {
            eprintln!("{line}");
        })
        .unwrap();
        return true;
    }
    assert!(
        std::env::var_os("TULLE_SKIP_ROOT_TESTS").is_some(),
        "{test} needs root (network namespaces); run as root, or set TULLE_SKIP_ROOT_TESTS=1 to leave such tests out"
    );
    eprintln!("SKIPPED: {test} needs root (TULLE_SKIP_ROOT_TESTS is set)");
    false
}

/// A folder that other users may enter, removed at the end.
pub(crate) fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs `f` on a thread of its own inside a network namespace.
pub(crate) fn within<T: Send>(namespace: &str, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = File::open(format!("/run/netns/{namespace}")).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            f()
        });
        thread.join().unwrap()
    })
}

/// One HTTP/1.1 exchange; the whole answer as text, or the error.
pub(crate) fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    drop(stream.shutdown(Shutdown::Both));
    Ok(answer)
}

/// Waits until `f` says yes; `what` is for the failure.
pub(crate) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut f: F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !f().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
