//! Who is at the other end of an xDS stream, on Kubernetes: projected service-account tokens bound to a Pod.
//!
//! Tokens are verified here, against the keys of the cluster's issuer (`issuer`), never by asking the API server about each.
//! A token counts only for the Pod that it is bound to (`authenticator`), with audience `tulle`, from that Pod's address. The
//! certificate authority of a cluster is in a Secret (`secret`).

mod authenticator;
mod claims;
mod issuer;
mod secret;

#[cfg(test)]
mod tests;

pub use authenticator::{PodAuthenticator, Reason};
pub use claims::{PodClaims, TokenError, verify};
pub use issuer::{ApiServer, IssuerKeys, KeySource, Published};
pub use secret::{CA_SECRET, SecretError, open as open_ca};
