//! One-shot questions to ask from inside a network namespace: requests, a TCP connection, a TLS handshake, an xDS stream.
//!
//! Each runs as a process of its own (`tulle-e2e call|tcp|tls|ads ...`) and prints one JSON object; the types are what the
//! harness reads back.

pub mod ads;
pub mod call;
pub mod sidecar;
pub mod tcp;
pub mod tls;

pub use ads::{AdsReport, Pem};
pub use call::{CallSummary, Status};
pub use tcp::TcpReport;
pub use tls::TlsReport;
