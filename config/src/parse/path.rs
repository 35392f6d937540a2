//! Checks of path values: a value that no normalised path can equal is refused, because as a Deny it would deny nothing.
//!
//! Envoy hands over paths without dot segments and double slashes, with unreserved characters decoded, and refuses escaped
//! slashes; values must look the same.

use std::sync::Arc;

/// The longest path value that is taken (Gateway API's).
const LONGEST: usize = 1024;

/// Why no normalised path can be like this value, if so.
pub(crate) fn problem(value: &str) -> Option<String> {
    if !value.starts_with('/') {
        return Some("must start with `/`".to_owned());
    }
    if value.len() > LONGEST {
        return Some(format!("is longer than {LONGEST} bytes"));
    }
    if let Some(c) = value.chars().find(|c| !c.is_ascii_graphic()) {
        return Some(format!(
            "contains {c:?}, which cannot occur in a path; write it percent-encoded"
        ));
    }
    if value.contains(['?', '#']) {
        return Some("contains `?` or `#`; paths are compared without query and fragment".to_owned());
    }
    if value.contains('\\') {
        return Some("contains a backslash, which normalisation turns into `/`".to_owned());
    }
    if let Some(c) = value.chars().find(|c| "\"<>^`{|}".contains(*c)) {
        return Some(format!(
            "contains {c:?}, which normalisation escapes; write %{:02X}",
            u32::from(c)
        ));
    }
    if value.contains("//") {
        return Some("contains `//`, which normalisation merges; write one slash".to_owned());
    }
    if value.split('/').any(|segment| segment == "." || segment == "..") {
        return Some(
            "contains a `.` or `..` segment, which normalisation removes; write the resulting path".to_owned(),
        );
    }
    bad_escape(value)
}

/// A percent escape that cannot be in a normalised path.
fn bad_escape(value: &str) -> Option<String> {
    for (index, _) in value.match_indices('%') {
        let digits = value.get(index + 1..index + 3).unwrap_or_default();
        let Some(byte) = decoded(digits) else {
            return Some(
                "contains a `%` that is not followed by two hexadecimal digits; write `%25` for a percent sign"
                    .to_owned(),
            );
        };
        if matches!(byte, b'/' | b'\\') {
            return Some(format!(
                "contains %{digits}: escaped slashes are refused by every proxy, so nothing can match"
            ));
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            return Some(format!(
                "contains %{digits}, which normalisation decodes; write {:?}",
                char::from(byte)
            ));
        }
        if byte == 0 {
            return Some("contains %00, which every proxy refuses".to_owned());
        }
    }
    None
}

fn decoded(digits: &str) -> Option<u8> {
    if digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// A checked prefix as the model keeps it: without the trailing slash, so `/` becomes the empty string.
pub(crate) fn prefix(value: &str) -> Arc<str> {
    value.strip_suffix('/').unwrap_or(value).into()
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn takes_normalised_paths() {
        for good in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/a..b",
            "/%20",
            "/a;b",
            "/%3b",
            "/a:b@c",
            "/.well-known/x",
            "/...",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn refuses_what_no_normalised_path_equals() {
        for bad in [
            "", "a", "//", "/a//b", "/./a", "/a/..", "/a/.", "/a?x", "/a#x", "/a b", "/é", "/%2f", "/%5C", "/%41",
            "/%4", "/%", "/%zz", "/a\\b", "/%00", "/{id}", "/a|b", "/a^b", "/<a>", "/a`", "/\"a\"",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
