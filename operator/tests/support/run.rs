//! A run with a network, applications in its namespaces, and what must be left of it: nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tulle_operator::netns::{Member, MemberSpec, Network, NetworkSettings, cleanup};
use tulle_operator::process::{ProcessSpec, ProcessState, Registry, Restart, RunId, User};

use super::{get, open_folder, within};

/// A run in a fresh folder.
pub(crate) struct Run {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Arc<Registry>,
    pub(crate) network: Network,
}

impl Run {
    pub(crate) fn new() -> Self {
        let folder = open_folder();
        let id = RunId::for_folder(folder.path());
        let registry = Arc::new(Registry::create(folder.path(), &id).unwrap());
        let network = Network::create(&NetworkSettings::default(), Arc::clone(&registry)).unwrap();
        Self {
            folder,
            registry,
            network,
        }
    }

    pub(crate) fn add(&mut self, names: &[&str]) -> Vec<Member> {
        let spec = |name: &&str| MemberSpec {
            name: (*name).to_owned(),
            address: None,
        };
        self.network.add(&names.iter().map(spec).collect::<Vec<_>>()).unwrap()
    }

    pub(crate) fn spec(&self, name: &str, member: Option<&Member>, uid: u32, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: name.to_owned(),
            program: "bash".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: [("HOME".into(), "/".into())].into(),
            inherit_environment: false,
            folder: None,
            namespace: member.map(|m| m.namespace.clone()),
            user: Some(User { uid, gid: uid }),
            log: self.folder.path().join(format!("{name}.log")),
            die_with_parent: true,
            restart: Restart::Never,
        }
    }
}

impl Drop for Run {
    /// A failed test leaves nothing either.
    fn drop(&mut self) {
        drop(cleanup(&self.registry));
    }
}

/// Everything on this machine whose name begins like this run's.
pub(crate) fn left_of(id: &RunId) -> Vec<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let all = [names("/run/netns"), names("/etc/netns"), names("/sys/class/net")].concat();
    all.into_iter()
        .filter(|n| n.starts_with(&format!("tulle-{id}-")) || *n == format!("tul{id}"))
        .collect()
}

pub(crate) async fn ended(mut state: tokio::sync::watch::Receiver<ProcessState>) -> ProcessState {
    let wait = state.wait_for(|s| matches!(s, ProcessState::Ended { .. }));
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("the process does not end")
        .unwrap()
        .clone()
}

/// Answers each connection on `address` with who it is and who called, within a namespace, until the test ends.
pub(crate) fn application(namespace: Option<&str>, address: SocketAddr, name: &'static str) {
    let listen = move || TcpListener::bind(address).unwrap();
    let listener = match namespace {
        Some(namespace) => within(namespace, listen),
        None => listen(),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let caller = stream.peer_addr().unwrap().ip();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let body = format!("{name} called by {caller}");
            let _written = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
}

pub(crate) fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// Where a call from a namespace ends up: `<listener> <destination>`, or the application's words.
pub(crate) fn call(namespace: &str, to: SocketAddr) -> String {
    reached(&within(namespace, || get(to)).unwrap_or_else(|error| panic!("{to} from {namespace}: {error}")))
}

pub(crate) fn reached(answer: &str) -> String {
    let hop = answer.lines().find_map(|line| line.strip_prefix("hop: "));
    hop.map_or_else(
        || answer.lines().last().unwrap_or_default().to_owned(),
        ToOwned::to_owned,
    )
}

/// Cleans up and checks that it did.
pub(crate) fn finish(run: &Run) {
    assert!(!left_of(run.registry.id()).is_empty());
    cleanup(&run.registry).unwrap();
    assert_eq!(left_of(run.registry.id()), Vec::<String>::new());
    assert!(Registry::previous(run.folder.path()).unwrap().is_empty());
}
