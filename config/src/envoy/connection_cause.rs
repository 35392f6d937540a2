//! How the access log of a TCP port names what decided, also about a handshake that was refused.
//!
//! Who may connect is decided in the handshake, where Envoy names no rule. So a filter (`policy/traffic_permission/tcp_cause.rs`)
//! gives each connection, before the handshake, filter state that says under whose identity which rule decides; the log looks
//! the caller up in it with fixed CEL expressions. No text of a user is in an expression.

use super::access_log::operator;
use crate::names::{CAUSE, PLAIN_CAUSE, VERIFIED};

/// What Envoy says when it knows the certificate's issuer, but the port does not accept its identity. What a caller chose
/// stands only behind these words.
const NOT_ACCEPTED: &str = "CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher";

/// Which callers a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Those with an identity.
    Mesh,
    /// Those without, who are let in.
    Plain,
    /// Those without, who are not.
    PlainRefused,
}

/// What denied and what allowed, as operators of a format.
pub(super) fn operators(from: From) -> (String, String) {
    let plain = operator("FILTER_STATE", &format!("{PLAIN_CAUSE}:PLAIN"));
    let nothing = operator("FILTER_STATE", &format!("{NOTHING}:PLAIN"));
    match from {
        From::Mesh => (
            cel(&format!(
                "connection.transport_failure_reason.contains('{NOT_ACCEPTED}')"
            )),
            cel(&format!("'{VERIFIED}' in filter_state")),
        ),
        From::Plain => (nothing, plain),
        From::PlainRefused => (plain, nothing),
    }
}

/// A state that no connection has: looking it up gives no value.
const NOTHING: &str = "tulle.nothing";

/// The cause under the caller's identity, if the condition holds.
fn cel(condition: &str) -> String {
    const PEER: &str = "connection.uri_san_peer_certificate";
    let cause = format!("({PEER} in filter_state ? filter_state[{PEER}] : filter_state['{CAUSE}'])");
    operator("CEL", &format!("{condition} ? {cause} : filter_state['{NOTHING}']"))
}
