//! Path expressions of a Deny that a request passes by spelling its path another way: `/a:b.*` is not `/a%3Ab`, which most servers
//! read as the same.
//!
//! Literal paths of a Deny are compared in every spelling, an expression only as it is written. Exact about characters that
//! stand in the expression, alone or in a class; what ranges and dots leave out is not judged.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crds::conditions::Reason;

use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::envoy::spelling::{escape, fixed, spellings};
use crate::model::{Model, PathMatch};
use crate::origin::Origin;

pub(super) fn check(model: &Model, rules: &Rules, found: &mut Vec<Diagnostic>) {
    for rule in denies(model).iter().filter_map(|origin| rules.get(origin)) {
        for (index, one) in rule.http.iter().flatten().enumerate() {
            let Some(PathMatch::Regex(regex)) = &one.path else {
                continue;
            };
            let Some((text, all)) = narrow(regex) else { continue };
            let message = format!(
                "{regex:?} takes {text:?} in this spelling only, so a request passes it by another that servers read the same; write Exact or PathPrefix, which know all spellings, or {all} in its place"
            );
            let part = if rule.http_at == ".grpc" {
                "method"
            } else {
                "path.value"
            };
            let field = format!("{}[{index}].{part}", rule.http_at);
            let reason = Reason::NarrowerThanItLooks;
            found.push(warning(&rule.origin, &rule.path, &field, reason, message));
        }
    }
}

/// All Deny rules that reach a port, and those that would.
fn denies(model: &Model) -> BTreeSet<Origin> {
    let workloads = model.workloads.values();
    let ports = workloads.flat_map(|workload| workload.ports.values().chain([&workload.undeclared]));
    ports
        .flat_map(|port| {
            let candidate = port.permission.candidate.iter().flat_map(|one| &one.deny);
            port.permission.deny.iter().chain(candidate)
        })
        .map(|rule| rule.origin.clone())
        .collect()
}

/// The first literal of an expression that is spelled in one way of several, and an expression for all of them.
fn narrow(regex: &str) -> Option<(String, String)> {
    let literals = literals(regex);
    let folded = regex.contains("(?i");
    let upper = regex.to_ascii_uppercase();
    let mut rest = literals.as_slice();
    while let [c, after @ ..] = rest {
        rest = after;
        let (text, bytes) = match (c, after) {
            ('%', [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = high
                    .to_digit(16)
                    .zip(low.to_digit(16))
                    .map(|(high, low)| high * 16 + low);
                (
                    format!("%{high}{low}"),
                    byte.and_then(|byte| u8::try_from(byte).ok()).into_iter().collect(),
                )
            }
            _ => (c.to_string(), c.to_string().into_bytes()),
        };
        let several = text.len() == 1 || !c.is_ascii() || text.chars().any(char::is_alphabetic);
        if !several || text == "%" || bytes.iter().copied().all(fixed) {
            continue;
        }
        let escapes: String = bytes.iter().copied().map(escape).collect();
        let plain: String = bytes
            .iter()
            .flat_map(|byte| format!("%{byte:02X}").into_bytes())
            .map(char::from)
            .collect();
        let all = regex.contains(&escapes) || (folded && upper.contains(&plain));
        if !all {
            return Some((text, bytes.into_iter().map(spellings).collect()));
        }
    }
    None
}

/// The characters that an expression takes as they are, in order. What is none of them, a class that leaves out what it names for
/// example, stands as an `x`, so that nothing is joined that stands apart.
fn literals(regex: &str) -> Vec<char> {
    let mut out = Vec::new();
    let mut rest = regex.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next().filter(char::is_ascii_punctuation).unwrap_or('x')),
            '[' => class(&mut rest, &mut out),
            '(' => group(&mut rest),
            '{' => while rest.next().is_some_and(|c| c != '}') {},
            '.' | '*' | '+' | '?' | '|' | ')' => out.push('x'),
            c => out.push(c),
        }
    }
    out
}

/// A group's flags or name, its `(` being read.
fn group(rest: &mut Peekable<Chars<'_>>) {
    if rest.next_if_eq(&'?').is_some() {
        while rest.next().is_some_and(|c| !":)>".contains(c)) {}
    }
}

/// A class, its `[` being read.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut Vec<char>) {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut members = Vec::new();
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') => while rest.next().is_some_and(|c| c != ']') {},
            '\\' => members.extend(rest.next().filter(char::is_ascii_punctuation)),
            c => members.push(c),
        }
        first = false;
    }
    // A range, or what is not written as it is: not judged.
    if negated || members.contains(&'-') {
        members.retain(|_| false);
    }
    out.push('x');
    for member in members {
        out.extend([member, 'x']);
    }
}

#[cfg(test)]
mod tests {
    use super::narrow;

    #[test]
    fn only_what_has_several_spellings_is_narrow() {
        for (regex, text) in [
            ("/a:b.*", Some(":")),
            (r"/a\:b", Some(":")),
            (r"/a\.b/[^:]*/x-y_z~", None),
            ("/a[:,]b", Some(":")),
            ("/a[!-~]b", None),
            ("/a(?::|%3[Aa])b", None),
            ("/a(?::|%3a)b", Some(":")),
            ("(?i)/a(?::|%3a)b", None),
            ("/caf%c3%a9", Some("%c3")),
            ("/caf%[Cc]3%[Aa]9", None),
            ("/a%20b", None),
            ("/a(?P<n>b@c){1,3}", Some("@")),
            ("/a(?P<n>b){1,3}(?:c)?", None),
            ("/zoë", Some("ë")),
            (r"/\d+(?:/.*)?", None),
            ("/x;y", Some(";")),
        ] {
            assert_eq!(narrow(regex).map(|(text, _)| text).as_deref(), text, "{regex}");
        }
    }

    #[test]
    fn the_expression_for_all_spellings_is_not_narrow() {
        for regex in ["/a:b", "/a@b", "/caf%c3", "/zoë", "/a;b", "/a(b)!"] {
            let Some((text, all)) = narrow(regex) else { continue };
            assert_eq!(narrow(&regex.replacen(&text, &all, 1)), None, "{regex} {all}");
        }
    }
}
