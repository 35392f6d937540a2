//! One-shot questions to ask from inside a network namespace: requests, a plain TCP connection, a TLS handshake.
//!
//! Each runs as a process of its own (`tulle-e2e call|tcp|tls ...`) and prints one JSON object; the types are what the
//! harness reads back.

pub mod call;
pub mod tcp;
pub mod tls;

pub use call::{CallSummary, Status};
pub use tcp::TcpReport;
pub use tls::TlsReport;
