//! Paths in one form, in Envoy's order: escaped slashes refused, dot segments resolved, characters decoded or escaped, slashes merged.

use std::fmt::Write;

use super::Side;

/// The path in one form, or why it is refused.
pub(super) fn normalised(path: &str, side: Side) -> Result<String, &'static str> {
    let lower = path.to_ascii_lowercase();
    if side == Side::Inbound && (lower.contains("%2f") || lower.contains("%5c")) {
        return Err("the path contains an escaped slash");
    }
    if lower.contains("%00") {
        return Err("the path contains an escaped NUL");
    }
    Ok(merged(&resolved(&one_form(&without_parameters(path)))))
}

/// `..;x` and `.;x` mean `..` and `.` to many servers, so they do here; only if spelled literally (measured).
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.split_once(';') {
        Some((dots @ ("." | ".."), _)) => dots,
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Backslashes become slashes, escaped unreserved characters themselves, and what may not stand in a path is escaped.
fn one_form(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push('/'),
            '%' => match unreserved(rest.as_str()) {
                Some(meant) => {
                    out.push(meant);
                    rest.nth(1);
                }
                None => out.push('%'),
            },
            '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}' => _ = write!(out, "%{:02X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// The unreserved character that these two digits escape.
fn unreserved(rest: &str) -> Option<char> {
    let digits = rest.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let meant = char::from(u8::from_str_radix(digits, 16).ok()?);
    (meant.is_ascii_alphanumeric() || "-._~".contains(meant)).then_some(meant)
}

/// Resolves dot segments. Slashes are merged later, so that an empty segment counts as one here.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        if segment == ".." {
            kept.pop();
        }
        if !dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// Double slashes merged. A path of nothing but several slashes stays `//`, as Envoy has it (measured).
fn merged(path: &str) -> String {
    if !path.contains("//") {
        return path.to_owned();
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}
