//! Path expressions that take more than they look: `/charges.*` also takes `/chargesx`.
//!
//! Exact: the expression ends in `.*` or `.+` right behind an ordinary character of a segment, so what follows may go on with
//! the same segment. Others are not judged. SPIFFE prefixes and `PathPrefix` compare whole segments and cannot be wider.

use crds::conditions::Reason;

use super::rules::Rules;
use super::warning;
use crate::diagnostic::Diagnostic;
use crate::model::PathMatch;

pub(super) fn check(rules: &Rules, found: &mut Vec<Diagnostic>) {
    for rule in rules.good() {
        for (index, one) in rule.http.iter().flatten().enumerate() {
            let Some(PathMatch::Regex(regex)) = &one.path else {
                continue;
            };
            let Some(open) = open_segment(regex) else { continue };
            let message = format!(
                "{regex:?} takes {open}x too, in the middle of a segment; write PathPrefix {open}, or {open}(/.*)?"
            );
            let field = format!("{}[{index}].path.value", rule.http_at);
            found.push(warning(
                &rule.origin,
                &rule.path,
                &field,
                Reason::WiderThanItLooks,
                message,
            ));
        }
    }
}

/// The literal path before a final `.*` or `.+`, if it ends inside a segment.
fn open_segment(regex: &str) -> Option<&str> {
    let path = regex.strip_suffix(".*").or_else(|| regex.strip_suffix(".+"))?;
    let literal = path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/-_~".contains(&byte));
    (literal && !path.ends_with('/')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::open_segment;

    #[test]
    fn only_an_open_segment_is_wider_than_it_looks() {
        for (regex, open) in [
            ("/charges.*", Some("/charges")),
            ("/v1/charges.+", Some("/v1/charges")),
            ("/charges/.*", None),
            ("/charges(/.*)?", None),
            ("/.*", None),
            (".*", None),
            (r"/a\.b.*", None),
            ("/charges", None),
            ("/charge[s]*.*", None),
        ] {
            assert_eq!(open_segment(regex), open, "{regex}");
        }
    }
}
