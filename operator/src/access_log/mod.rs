//! One line of our access log (`config/src/envoy/access_log.rs`), read in one place: what was called by whom, and what was
//! decided by which rule.
//!
//! Pure, and without a model: what is called by which name today is not known here.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use config::names::{ListenerName, SNI_SUFFIX};
use serde_json::{Map, Value};

/// Why a line is not of our log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is no object.
    #[error("this is no line of an access log: it is no JSON")]
    NoJson,
    /// Each of our lines has this field.
    #[error("this is no line of our access log: it has no `{0}`")]
    Without(&'static str),
}

/// Which side wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The destination's proxy.
    Inbound,
    /// The caller's own.
    Outbound,
}

/// What became of a request or connection at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Permissions let it in.
    Allowed,
    /// It was refused or ended for who called or what was asked: by a permission, or since the port takes nobody without an
    /// identity of the mesh.
    Denied,
    /// It was answered, or broken off, before anybody asked a permission, as a malformed request is.
    Unasked,
}

/// A request, as far as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The host.
    pub authority: String,
}

/// One request or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub direction: Direction,
    /// When it began.
    pub time: String,
    /// The listener that took it.
    pub listener: Option<ListenerName>,
    /// The caller's identity. Of a handshake that a permission refused it is what the certificate says.
    pub caller: Option<String>,
    /// Where it came from.
    pub downstream: Option<SocketAddr>,
    /// Where it went.
    pub destination: Option<SocketAddr>,
    /// The Service port that the caller's proxy announced: `<namespace>/<service>:<port>`.
    pub announced: Option<String>,
    /// Absent for a connection of a TCP port.
    pub request: Option<LoggedRequest>,
    /// The answer's status.
    pub status: Option<String>,
    /// What was decided; for a caller's own proxy it means nothing.
    pub decided: Decided,
    /// The permission rule or default that decided; for a caller's own proxy the route.
    pub rule: Option<String>,
    /// The limit that refused it.
    pub limited_by: Option<String>,
    /// The fault that was injected.
    pub fault: Option<String>,
    /// What in the candidate policy would have denied it.
    pub would_deny: Option<String>,
    /// What in the candidate policy would have allowed it.
    pub would_allow: Option<String>,
}

impl LogLine {
    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, NotOurs> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(line) else {
            return Err(NotOurs::NoJson);
        };
        let always = ["direction", "time", "listener", "peer", "destination"];
        if let Some(missing) = always.into_iter().find(|field| !fields.contains_key(*field)) {
            return Err(NotOurs::Without(missing));
        }
        let fields = Fields(fields);
        let direction = match fields.text("direction").as_deref() {
            Some("inbound") => Direction::Inbound,
            Some("outbound") => Direction::Outbound,
            _ => return Err(NotOurs::Without("direction")),
        };
        Ok(fields.line(direction))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    /// A field that says something; Envoy writes null or `-` for nothing.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str()?;
        (!text.is_empty() && text != "-").then(|| text.to_owned())
    }

    fn line(&self, direction: Direction) -> LogLine {
        let address = |name: &str| self.text(name)?.parse().ok();
        LogLine {
            direction,
            time: self.text("time").unwrap_or_default(),
            listener: self.text("listener").and_then(|name| ListenerName::parse(&name)),
            caller: self.text("peer").filter(|_| self.handshake().says_who()),
            downstream: address("downstream"),
            destination: address("destination"),
            announced: self.text("sni").as_deref().and_then(service),
            request: self.request(),
            status: self.status(),
            decided: self.decided(),
            rule: match direction {
                Direction::Inbound => self.permission(),
                Direction::Outbound => self.text("rule").or_else(|| self.text("route")),
            },
            limited_by: self.text("limited_by"),
            fault: self.text("fault"),
            would_deny: self.text("shadow_denied_by"),
            would_allow: self.text("shadow_allowed_by"),
        }
    }

    /// 0 is the status of what was never answered.
    fn status(&self) -> Option<String> {
        let status = self.0.get("status")?.as_u64()?;
        (status != 0).then(|| status.to_string())
    }

    /// A connection of a TCP port has no such fields, a request without a path has them empty.
    fn is_request(&self) -> bool {
        self.0.contains_key("method")
    }

    fn request(&self) -> Option<LoggedRequest> {
        self.is_request().then(|| LoggedRequest {
            method: self.text("method").unwrap_or_default(),
            target: self.text("path").unwrap_or_default(),
            authority: self.text("authority").unwrap_or_default(),
        })
    }

    fn handshake(&self) -> Handshake {
        if self.0.contains_key("verified")
            && ["verified", "denied_by", "tls_failure"]
                .iter()
                .all(|one| self.text(one).is_none())
        {
            return Handshake::BrokenOff;
        }
        let failure = self.text("tls_failure");
        // An error of TLS may also end a connection that was let in.
        if failure.is_none() || self.is_request() || self.text("allowed_by").is_some() {
            return Handshake::Done;
        }
        if failure.is_some_and(|why| why.contains(NOT_ACCEPTED)) {
            Handshake::Refused
        } else if self.text("denied_by").is_some() {
            // A plaintext caller; of its first bytes Envoy says that they are no TLS.
            Handshake::Done
        } else {
            Handshake::Failed
        }
    }

    /// Envoy's words for a refusal by an RBAC filter, which cuts connections too.
    fn refusal(&self) -> Option<String> {
        let words = [self.text("details"), self.text("termination")];
        words
            .into_iter()
            .flatten()
            .find(|why| why.starts_with("rbac_access_denied"))
    }

    fn decided(&self) -> Decided {
        let unmatched = !self.is_request()
            && self
                .text("flags")
                .is_some_and(|flags| flags.split(',').any(|flag| flag == NO_CHAIN));
        let denied_by = !self.is_request() && self.text("denied_by").is_some();
        let refused = match self.handshake() {
            Handshake::BrokenOff => return Decided::Unasked,
            Handshake::Refused | Handshake::Failed => true,
            Handshake::Done => false,
        };
        if self.refusal().is_some() || refused || unmatched || denied_by {
            Decided::Denied
        } else if !self.is_request() || self.text("allowed_by").is_some() {
            Decided::Allowed
        } else {
            Decided::Unasked
        }
    }

    fn permission(&self) -> Option<String> {
        // Who failed to prove an identity was asked for nothing else.
        if !self.handshake().says_who() {
            return None;
        }
        let refusal = self.refusal();
        let default = || self.text("default").filter(|_| self.is_request() && refusal.is_some());
        self.text("denied_by")
            .or_else(|| refusal.as_deref().and_then(named).map(ToOwned::to_owned))
            .or_else(|| self.text("allowed_by"))
            .or_else(default)
    }
}

/// How a connection's handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    /// It succeeded, or there was none.
    Done,
    /// The identity is not among those that the port accepts.
    Refused,
    /// There was no certificate, or none of the mesh: whatever it says is nobody's identity.
    Failed,
    /// The caller left before it had proved anything: a certificate that it may have sent is anybody's.
    BrokenOff,
}

impl Handshake {
    /// Whether the identity is the caller's.
    fn says_who(self) -> bool {
        match self {
            Self::Done | Self::Refused => true,
            Self::Failed | Self::BrokenOff => false,
        }
    }
}

/// Envoy's words for a certificate of the mesh that is not accepted, as its log spells them.
const NOT_ACCEPTED: &str = "CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher";

/// Envoy's flag for a connection that no filter chain takes.
const NO_CHAIN: &str = "NR";

/// The rule in `rbac_access_denied_matched_policy[...]`.
fn named(refusal: &str) -> Option<&str> {
    let rule = refusal.split_once('[')?.1.strip_suffix(']')?;
    Some(rule).filter(|rule| *rule != "none")
}

/// `80.payments.shop.tulle.mesh` as `shop/payments:80`.
fn service(sni: &str) -> Option<String> {
    let (port, rest) = sni.strip_suffix(SNI_SUFFIX)?.split_once('.')?;
    let (name, namespace) = rest.rsplit_once('.')?;
    Some(format!("{namespace}/{name}:{port}"))
}
