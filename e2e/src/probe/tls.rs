//! `tulle-e2e tls`: a TLS client of bad intentions: any certificate or none, no verification of the server, any SNI.
//!
//! In TLS 1.3 the client's side of the handshake is done before the server has judged the client's certificate, so
//! "handshake done" means little; bytes received are what counts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tcp::TcpReport;

/// Arguments of `tulle-e2e tls`.
#[derive(clap::Args, Clone, Debug)]
pub struct TlsArgs {
    /// `host:port`.
    pub address: String,
    /// The server name to ask for.
    #[arg(long)]
    pub sni: String,
    /// PEM file with the client's certificate chain; without it none is offered.
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Protocols to offer.
    #[arg(long, value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// What to write after the handshake.
    #[arg(long)]
    pub send: Option<String>,
    /// Milliseconds for the handshake, and again to listen.
    #[arg(long, default_value_t = 1000)]
    pub listen: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsReport {
    /// Our side of the handshake is done.
    pub handshake: bool,
    /// Why not.
    pub handshake_error: Option<String>,
    /// Length of the leaf that the server showed, in bytes.
    pub server_certificate: usize,
    /// Application data after the handshake.
    pub data: TcpReport,
}

/// Probes and prints.
pub async fn run(args: TlsArgs) -> Result<()> {
    let report = probe(&args).await?;
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

async fn probe(args: &TlsArgs) -> Result<TlsReport> {
    let mut config = client_config(args.cert.as_deref(), args.key.as_deref())?;
    config.alpn_protocols = args.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let limit = Duration::from_millis(args.listen);
    let name =
        ServerName::try_from(args.sni.clone()).with_context(|| format!("{:?} is not a server name", args.sni))?;
    let mut report = TlsReport::default();
    let handshake = async {
        let stream = TcpStream::connect(&args.address).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let mut stream = match timeout(limit, handshake).await {
        Err(_) => {
            return Ok(TlsReport {
                handshake_error: Some("timeout".into()),
                ..report
            });
        }
        Ok(Err(error)) => {
            return Ok(TlsReport {
                handshake_error: Some(error.to_string()),
                ..report
            });
        }
        Ok(Ok(stream)) => stream,
    };
    report.handshake = true;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    report.server_certificate = shown.map_or(0, |leaf| leaf.len());
    report.data.connected = true;
    if let Some(text) = &args.send
        && let Err(error) = stream.write_all(text.as_bytes()).await
    {
        report.data.error = Some(error.to_string());
    }
    report.data.listen(&mut stream, limit, None).await;
    Ok(report)
}

/// A client that trusts every server and shows this certificate, or none.
pub(crate) fn client_config(cert: Option<&Path>, key: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    Ok(match (cert, key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
        _ => builder.with_no_client_auth(),
    })
}

/// Trusts every server: here it is the server that must not trust us.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
