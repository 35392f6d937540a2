//! A workload from which requests are sent: in its network namespace under the Services' names, or with the URLs that its
//! application was told.

use std::collections::BTreeMap;
use std::path::Path;

use crate::run::{Run, Seat};

/// Where requests come from.
#[derive(Clone, Debug)]
pub struct Caller {
    seat: Seat,
    told: BTreeMap<String, String>,
}

impl Caller {
    /// A workload of the run, `namespace/name`.
    pub(super) fn of(run: &Run, member: &str) -> Option<Self> {
        Some(Self {
            seat: run.members().remove(member)?,
            told: run.environment(member)?.clone(),
        })
    }

    /// The command line of a program there, as a user without rights.
    pub(super) fn command(&self, program: &Path) -> tokio::process::Command {
        let Seat::Namespace(namespace) = &self.seat else {
            return tokio::process::Command::new(program);
        };
        let mut command = tokio::process::Command::new("ip");
        command
            .args(["netns", "exec", namespace, "setpriv", "--reuid=65534", "--regid=65534"])
            .args(["--clear-groups", "--"])
            .arg(program);
        command
    }

    /// The URL at which this caller reaches what others call `http://<service>/...`.
    pub(super) fn url(&self, url: &str) -> String {
        let Some(rest) = url.strip_prefix("http://") else {
            return url.to_owned();
        };
        let (service, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let variable = format!("TULLE_{}_URL", service.to_uppercase().replace('-', "_"));
        match self.told.get(&variable) {
            Some(base) => format!("{base}{path}"),
            None => url.to_owned(),
        }
    }

    /// What a person types to call a URL from there.
    pub(super) fn curl(&self, url: &str) -> String {
        let call = format!("curl -i -X POST {}", self.url(url));
        match &self.seat {
            Seat::Namespace(namespace) => format!("ip netns exec {namespace} {call}"),
            Seat::Loopback => call,
        }
    }
}
