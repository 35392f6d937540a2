//! A network namespace of a mesh, and the processes that a test runs in it.
//!
//! Processes run as root, who is intercepted like every application; only Envoy's own user is not, and a test may borrow it
//! to act as an attacker would. The kernel kills them with the test's thread.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use operator::process::ENVOY_UID;
use serde::de::DeserializeOwned;

use super::binary::{for_everybody, own_program};
use super::load::Load;
use crate::bypass::Answer;
use crate::probe::{AdsReport, CallSummary, TcpReport, TlsReport};
use crate::traffic::Spec;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// As `ip netns` knows it.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Run as Envoy's user, past the interception.
    pub as_envoy: bool,
}

impl Namespace {
    /// The same namespace, but past the interception: what a compromised proxy could do.
    #[must_use]
    pub fn as_envoy(mut self) -> Self {
        self.as_envoy = true;
        self
    }

    /// A command in the namespace.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv"]);
        if self.as_envoy {
            command.args([format!("--reuid={ENVOY_UID}"), "--clear-groups".to_owned()]);
            // The kernel forgets the signal when the user changes, so it is set in a step of its own.
            command.args(["--", "setpriv"]);
        }
        command.args(["--pdeathsig=KILL", "--"]).arg(program.into());
        command.stdin(Stdio::null());
        command
    }

    /// One of our own tools in the namespace.
    pub fn tool(&self, arguments: &[&str]) -> Result<Command> {
        let program = own_program()?;
        let mut command = self.command(if self.as_envoy {
            for_everybody(&program)?
        } else {
            program
        });
        command.args(arguments);
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(program).args(arguments).output()?)
    }

    /// The TCP ports that are listened on.
    pub fn listening(&self) -> Result<BTreeSet<u16>> {
        let tables = self.exec("cat", &["/proc/net/tcp", "/proc/net/tcp6"])?.stdout;
        // "0: 0100007F:1F90 00000000:0000 0A ...": local address and state, in hexadecimal; 0A is LISTEN.
        let port = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            (state == "0A").then(|| u16::from_str_radix(local.rsplit(':').next()?, 16).ok())?
        };
        Ok(String::from_utf8_lossy(&tables).lines().filter_map(port).collect())
    }

    /// Sends requests: `tulle-e2e call`.
    pub fn call(&self, arguments: &[&str]) -> Result<CallSummary> {
        self.ask("call", arguments)
    }

    /// Opens a plain TCP connection: `tulle-e2e tcp`.
    pub fn tcp(&self, arguments: &[&str]) -> Result<TcpReport> {
        self.ask("tcp", arguments)
    }

    /// Tries a TLS handshake: `tulle-e2e tls`.
    pub fn tls(&self, arguments: &[&str]) -> Result<TlsReport> {
        self.ask("tls", arguments)
    }

    /// Opens an xDS stream: `tulle-e2e ads`.
    pub fn ads(&self, arguments: &[&str]) -> Result<AdsReport> {
        self.ask("ads", arguments)
    }

    /// Sends every attempt to reach a denied resource: `tulle-e2e bypass`.
    pub fn bypass(&self, arguments: &[&str]) -> Result<Vec<Answer>> {
        self.ask("bypass", arguments)
    }

    /// Starts a load; it runs until it is stopped or dropped.
    pub fn load(&self, spec: &Spec) -> Result<Load> {
        Load::start(self.tool(&["traffic", "--spec", &serde_json::to_string(spec)?])?)
    }

    fn ask<T: DeserializeOwned>(&self, tool: &str, arguments: &[&str]) -> Result<T> {
        let output = self.tool(&[&[tool], arguments].concat())?.output()?;
        let words = || String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{tool} {arguments:?} in {}: {}",
            self.name,
            words()
        );
        serde_json::from_slice(&output.stdout).with_context(|| format!("{tool} {arguments:?}: no JSON: {}", words()))
    }
}
