//! Who is who: the built-in certificate authority, the leaves it issues, the join tokens by which proxies prove
//! themselves, and the TLS of the xDS port.
//!
//! Each file is one noun. Nothing here opens a socket except `tls_incoming`, and nothing reads the environment: time,
//! paths and lifetimes are arguments. Private keys live in memory and in files of mode 0600, never in a log or an error.

pub mod authenticator;
pub mod ca;
mod ca_files;
pub mod files;
pub mod kubernetes;
pub mod leaf;
pub mod secrets;
pub mod server_tls;
pub mod spiffe;
pub mod tls_incoming;
pub mod token;
pub mod version;

pub use authenticator::{TokenAuthenticator, WorkloadDirectory, WorkloadInfo};
pub use ca::{CaError, CertificateAuthority};
pub use leaf::{Leaf, LeafPolicy};
pub use secrets::IdentitySecrets;
pub use server_tls::{XDS_SERVER_NAME, server_config, server_config_for};
pub use spiffe::SpiffeId;
pub use tls_incoming::{IncomingLimits, TlsConnection, tls_incoming};
pub use token::{JoinClaims, JoinKey, TokenError};
pub use version::Held;
