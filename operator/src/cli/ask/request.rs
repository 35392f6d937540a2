//! FROM, TO, method, path and headers on a command line -> a question for the evaluator.

use std::sync::Arc;

use clap::Args;
use config::Model;
use config::evaluator::{Destination, HttpRequest, Operation, Request};
use config::model::Protocol;

use super::names::{self, Who};

/// Who calls what.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RequestArgs {
    /// Who calls: namespace/workload, its group or service account, a spiffe:// URI, or `plaintext`.
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,
    /// What is called: service, namespace/service[:port or port name], or workload/<namespace>/<name>:port. A short name is one of
    /// the caller's namespace.
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    /// The method; without method and path: a connection, or any request at all.
    #[arg(value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Path and query, as sent; for gRPC /package.Service/Method.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// A header, NAME=VALUE; may be given again.
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    pub(crate) header: Vec<String>,
    /// The host that the request names. Default: the Service's name
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// So that an arrow may stand between FROM and TO (in quotes: shells take `>` for themselves).
    #[arg(short = '>', hide = true)]
    arrow: bool,
}

impl RequestArgs {
    /// The question, and who asks.
    pub(crate) fn question(&self, model: &Model) -> anyhow::Result<(Who, Request)> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            anyhow::bail!("say who calls what, for example: shop/orders payments POST /charges");
        };
        let who = names::caller(model, from)?;
        let to = names::destination(model, to, who.namespace.as_deref())?;
        let who = names::arriving(who, from, &to);
        let operation = self.operation(model, &to)?;
        let request = Request {
            from: who.caller.clone(),
            to,
            operation,
        };
        Ok((who, request))
    }

    fn operation(&self, model: &Model, to: &Destination) -> anyhow::Result<Operation> {
        let (method, path) = match (self.method.as_deref(), self.path.as_deref()) {
            (None, _) => {
                anyhow::ensure!(
                    self.header.is_empty() && self.host.is_none(),
                    "headers belong to a request; add METHOD and PATH"
                );
                return Ok(Operation::Connect);
            }
            (Some(path), None) if path.starts_with('/') => {
                let grpc = protocol(model, to) == Some(Protocol::Grpc);
                (if grpc { "POST" } else { "GET" }, path)
            }
            (Some(method), Some(path)) => (method, path),
            (Some(method), None) => anyhow::bail!("{method} of what? add the path, for example {method} /"),
        };
        anyhow::ensure!(
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic()),
            "{method:?} is no method; write FROM TO METHOD PATH"
        );
        let headers: anyhow::Result<Vec<_>> = self.header.iter().map(|header| pair(header)).collect();
        Ok(Operation::Http(HttpRequest {
            method: method.to_uppercase().into(),
            target: path.into(),
            authority: self.host.as_deref().unwrap_or(host(to)).into(),
            headers: headers?,
        }))
    }
}

/// What is spoken there, as far as it is known.
pub(crate) fn protocol(model: &Model, to: &Destination) -> Option<Protocol> {
    match to {
        Destination::Service { service, port } => Some(model.services.get(service)?.ports.get(port)?.protocol),
        Destination::Workload { workload, port } => {
            let workload = model.workloads.get(workload)?;
            Some(workload.ports.get(port).unwrap_or(&workload.undeclared).protocol)
        }
    }
}

fn host(to: &Destination) -> &str {
    match to {
        Destination::Service { service: key, .. } | Destination::Workload { workload: key, .. } => &key.name,
    }
}

/// `x-role=admin`; `x-role: admin` is understood too. No name holds either sign, values may.
fn pair(text: &str) -> anyhow::Result<(Arc<str>, Arc<str>)> {
    let split = text.split_once(['=', ':']);
    let Some((name, value)) = split.filter(|(name, _)| !name.trim().is_empty()) else {
        anyhow::bail!("{text:?} is no header; write NAME=VALUE, for example x-role=admin");
    };
    Ok((name.trim().to_lowercase().into(), value.trim().into()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_header_is_split_at_the_first_sign() {
        for (text, name, value) in [
            ("x-role=admin", "x-role", "admin"),
            ("Cookie: a=b", "cookie", "a=b"),
            ("referer=http://a", "referer", "http://a"),
        ] {
            let (is_name, is_value) = super::pair(text).unwrap();
            assert_eq!((&*is_name, &*is_value), (name, value));
        }
        assert!(super::pair(":authority=a").is_err() && super::pair("x").is_err());
    }
}
