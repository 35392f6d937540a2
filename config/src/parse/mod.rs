//! Parse: one object -> one typed node and its diagnostics.
//!
//! Never an `Err`, never a panic, never a log line: a user's mistake is data. Nothing here looks at a second object; names are
//! resolved and objects merged by link. The advisory webhook runs the same functions.

pub(crate) mod findings;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod mesh;
mod nodes;
pub(crate) mod path;
pub(crate) mod protocol;
pub(crate) mod regex;
pub(crate) mod service;
pub(crate) mod source;
pub(crate) mod target;
pub(crate) mod value;
pub(crate) mod workload;

use crds::UnknownFields;
use crds::conditions::Reason;

use findings::Findings;
pub use nodes::{Parsed, parse};

/// Reports each field that nobody knows in a narrowing place and below it, and says whether there was one.
pub(crate) fn report_unknown(narrowing: &impl UnknownFields, path: &str, findings: &mut Findings) -> bool {
    let mut paths = Vec::new();
    narrowing.collect_unknown(path, &mut paths);
    for path in &paths {
        nobody_knows(path, findings);
    }
    !paths.is_empty()
}

/// The same for one object itself, when the parts below it are parsed one by one.
pub(crate) fn report_own_unknown(unknown: &crds::unknown::Unknown, path: &str, findings: &mut Findings) -> bool {
    for (field, value) in unknown {
        if field == crds::unknown::UNREADABLE {
            unreadable(value, findings);
        } else {
            nobody_knows(&format!("{path}.{field}"), findings);
        }
    }
    !unknown.is_empty()
}

/// Why the object, in whose place another one stands, could not be read.
fn unreadable(why: &serde_json::Value, findings: &mut Findings) {
    let text = |name: &str| why.get(name).and_then(serde_json::Value::as_str);
    if let (Some(path), Some(message)) = (text("path"), text("message")) {
        findings.error(path, Reason::Invalid, message);
    }
}

fn nobody_knows(path: &str, findings: &mut Findings) {
    let field = path.rsplit('.').next().unwrap_or_default();
    let message = format!("nobody knows the field {field:?}; correct its name or remove it");
    findings.error(path, Reason::UnknownField, message);
}
