//! `tulle-e2e ads`: opens an xDS stream with any token and node id, and counts what it is given. On demand it keeps the
//! certificate too: what a proxy is given, whoever is on its machine can take.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use prost::Message;
use serde::{Deserialize, Serialize};

use xds::Kind;
use xds::proto::envoy::config::core::v3::{DataSource, data_source};
use xds::proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use xds::proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;

use crate::sim::{Behaviour, Client, ClientSpec, Received, Server, Session};

/// Arguments of `tulle-e2e ads`.
#[derive(clap::Args, Clone, Debug)]
pub struct AdsArgs {
    /// The control plane.
    pub server: SocketAddr,
    /// PEM file of the mesh's root.
    #[arg(long)]
    pub root: PathBuf,
    /// The node id to claim.
    #[arg(long)]
    pub node: String,
    /// File with the join token to show.
    #[arg(long)]
    pub token: PathBuf,
    /// The address to come from.
    #[arg(long)]
    pub source: IpAddr,
    /// Milliseconds to listen.
    #[arg(long, default_value_t = 8000)]
    pub listen: u64,
    /// Print the certificate and its key.
    #[arg(long)]
    pub identity: bool,
    /// Print when everything has arrived, go on listening, and print again when the stream ends.
    #[arg(long)]
    pub hold: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdsReport {
    /// Everything that was asked for arrived.
    pub complete: bool,
    /// Resources received.
    pub resources: usize,
    /// Why the stream ended.
    pub ended: Option<String>,
    /// The certificate, if it was asked for and given.
    pub identity: Option<Pem>,
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pem {
    /// The chain.
    pub chain: String,
    /// The key.
    pub key: String,
}

/// Probes and prints.
pub async fn run(args: AdsArgs) -> Result<()> {
    let server = Server::new(args.server, &std::fs::read_to_string(&args.root)?)?;
    let spec = ClientSpec {
        session: Session::new(&args.node),
        token: std::fs::read_to_string(&args.token)?.trim().to_owned(),
        source: args.source,
        behaviour: Behaviour::Ack,
    };
    let report = match Client::start(&server, spec).await {
        Err(error) => AdsReport {
            ended: Some(format!("{error:#}")),
            ..AdsReport::default()
        },
        Ok(client) => {
            if args.identity {
                client.log().keep_messages();
            }
            let limit = Duration::from_millis(args.listen);
            // Neither complete nor ended within the time is an answer too.
            let _ = client
                .log()
                .until("an answer", limit, |now| now.complete || now.ended.is_some())
                .await;
            if args.hold {
                print(&report(&client))?;
                let _ = client.log().until("the end", limit, |now| now.ended.is_some()).await;
            }
            report(&client)
        }
    };
    print(&report)
}

/// Where the stream stands.
fn report(client: &Client) -> AdsReport {
    let (now, received) = (client.log().now(), client.log().received());
    AdsReport {
        complete: now.complete,
        resources: received.iter().map(|response| response.resources.len()).sum(),
        ended: now.ended,
        identity: received.iter().find_map(identity),
    }
}

fn print(report: &AdsReport) -> Result<()> {
    Ok(writeln!(
        std::io::stdout().lock(),
        "{}",
        serde_json::to_string(report)?
    )?)
}

/// The certificate in a response whose message was kept.
fn identity(response: &Received) -> Option<Pem> {
    let raw = response.raw.clone().filter(|_| response.kind == Some(Kind::Secret))?;
    let message = DeltaDiscoveryResponse::decode(raw).ok()?;
    let text = |source: Option<DataSource>| match source?.specifier? {
        data_source::Specifier::InlineString(text) => Some(text),
        _ => None,
    };
    message.resources.into_iter().find_map(|resource| {
        let secret = Secret::decode(&*resource.resource?.value).ok()?;
        match secret.r#type? {
            secret::Type::TlsCertificate(certificate) => Some(Pem {
                chain: text(certificate.certificate_chain)?,
                key: text(certificate.private_key)?,
            }),
            _ => None,
        }
    })
}
