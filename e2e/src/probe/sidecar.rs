//! `tulle-e2e sidecar`: a simulated proxy in a Pod, which stays connected and does what a file says.
//!
//! It takes the first control plane of its list that answers. The file holds one word: `ack`, `nack` (refuses whatever arrives
//! from then on) or `down` (has no stream, as a sidecar that crashes again and again).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::sim::{Behaviour, Client, ClientSpec, Server, Session};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(50);
/// Before it connects again.
const AGAIN: Duration = Duration::from_millis(200);

/// Arguments of `tulle-e2e sidecar`.
#[derive(clap::Args, Clone, Debug)]
pub struct SidecarArgs {
    /// The control planes, the preferred one first.
    #[arg(required = true)]
    servers: Vec<SocketAddr>,
    /// PEM file of the mesh's root.
    #[arg(long)]
    root: PathBuf,
    /// Its namespace and name.
    #[arg(long)]
    node: String,
    /// File with the token to show.
    #[arg(long)]
    token: PathBuf,
    /// The address to come from.
    #[arg(long)]
    source: IpAddr,
    /// What to do.
    #[arg(long)]
    mode: PathBuf,
}

/// Runs until it is killed.
pub async fn run(args: SidecarArgs) -> Result<()> {
    let root = std::fs::read_to_string(&args.root)?;
    let mut session = Session::new(&args.node);
    loop {
        for server in &args.servers {
            let server = Server::new(*server, &root)?;
            session = converse(&args, &server, session).await?;
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn mode(args: &SidecarArgs) -> String {
    std::fs::read_to_string(&args.mode)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// One stream, as long as it lasts and the file says the same.
async fn converse(args: &SidecarArgs, server: &Server, session: Session) -> Result<Session> {
    let mut now = mode(args);
    while now == "down" {
        tokio::time::sleep(LOOK).await;
        now = mode(args);
    }
    let spec = ClientSpec {
        session: session.clone(),
        token: std::fs::read_to_string(&args.token)?.trim().to_owned(),
        source: args.source,
        behaviour: if now == "nack" { Behaviour::Nack } else { Behaviour::Ack },
    };
    let Ok(client) = Client::start(server, spec).await else {
        return Ok(session);
    };
    while mode(args) == now && client.log().now().ended.is_none() {
        tokio::time::sleep(LOOK).await;
    }
    client.stop().await
}
