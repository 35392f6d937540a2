//! How a request changes at the caller: path and host rewrites, header edits.

use std::sync::Arc;

use super::normalise::Seen;
use crate::model::{Backend, HeaderEdit, PathMatch, Rewrite, RouteEntry};

/// The request as it leaves for a backend. The rule's edits come first, then the backend's.
pub(super) fn leaving(seen: &Seen, entry: &RouteEntry, backend: &Backend) -> Seen {
    let mut out = seen.clone();
    if let Some(rewrite) = &entry.rewrite_path {
        out.path = rewritten(&seen.path, entry.matches.path.as_ref(), rewrite).into();
    }
    if let Some(host) = &entry.rewrite_host {
        out.authority = Arc::clone(host);
    }
    edit(&mut out, &entry.request_headers);
    edit(&mut out, &backend.request_headers);
    out
}

/// A path with its matched prefix, or the whole of it, replaced.
fn rewritten(path: &str, matched: Option<&PathMatch>, rewrite: &Rewrite) -> String {
    let replacement = match rewrite {
        Rewrite::Full(whole) => return whole.to_string(),
        Rewrite::Prefix(replacement) => replacement.trim_end_matches('/'),
    };
    let prefix = match matched {
        None => "",
        Some(PathMatch::Prefix(prefix)) => prefix,
        // Parse refuses a prefix replacement without a prefix match.
        Some(PathMatch::Exact(_) | PathMatch::Suffix(_) | PathMatch::Regex(_)) => return path.to_owned(),
    };
    let rest = path.strip_prefix(prefix).unwrap_or(path);
    let whole = format!("{replacement}{rest}");
    if whole.is_empty() { "/".to_owned() } else { whole }
}

/// Sets, adds, removes.
fn edit(seen: &mut Seen, edit: &HeaderEdit) {
    for (name, value) in &edit.set {
        seen.headers.retain(|(known, _)| known != name);
        seen.headers.push((Arc::clone(name), Arc::clone(value)));
    }
    for (name, value) in &edit.add {
        seen.headers.push((Arc::clone(name), Arc::clone(value)));
    }
    seen.headers.retain(|(known, _)| !edit.remove.contains(known));
}
