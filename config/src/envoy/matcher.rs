//! String and header matchers. Literals stay literals; only what a user wrote as a regex becomes one.

use super::api::{matcher, route};
use crate::model::{HeaderMatch, HeaderMatchType};

use matcher::string_matcher::MatchPattern;

fn pattern(pattern: MatchPattern) -> matcher::StringMatcher {
    matcher::StringMatcher {
        match_pattern: Some(pattern),
        ignore_case: false,
    }
}

/// The whole value.
pub(crate) fn exact(text: impl Into<String>) -> matcher::StringMatcher {
    pattern(MatchPattern::Exact(text.into()))
}

/// The beginning of the value.
pub(crate) fn prefix(text: impl Into<String>) -> matcher::StringMatcher {
    pattern(MatchPattern::Prefix(text.into()))
}

/// The end of the value.
pub(crate) fn suffix(text: impl Into<String>) -> matcher::StringMatcher {
    pattern(MatchPattern::Suffix(text.into()))
}

/// Anywhere in the value.
pub(crate) fn contains(text: impl Into<String>) -> matcher::StringMatcher {
    pattern(MatchPattern::Contains(text.into()))
}

/// An RE2 regex over the whole value.
pub(crate) fn regex(text: impl Into<String>) -> matcher::StringMatcher {
    pattern(MatchPattern::SafeRegex(re2(text)))
}

/// An RE2 regex where the API wants it bare.
pub(crate) fn re2(text: impl Into<String>) -> matcher::RegexMatcher {
    matcher::RegexMatcher {
        regex: text.into(),
        ..Default::default()
    }
}

/// A value as a user matches it.
pub(crate) fn value(value: &HeaderMatchType) -> matcher::StringMatcher {
    match value {
        HeaderMatchType::Exact(text) => exact(&**text),
        HeaderMatchType::Regex(text) => regex(&**text),
    }
}

/// A header whose value matches; an absent header does not match.
pub(crate) fn header(name: &str, value: matcher::StringMatcher) -> route::HeaderMatcher {
    route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::StringMatch(value)),
        ..Default::default()
    }
}

/// A header as a user matches it: the whole (joined) value.
pub(crate) fn user_header(user: &HeaderMatch) -> route::HeaderMatcher {
    header(&user.name, value(&user.value))
}

/// Matchers of which any one means that some occurrence of the header has the value. Envoy joins occurrences by commas.
pub(crate) fn any_occurrence(user: &HeaderMatch) -> Vec<route::HeaderMatcher> {
    let matchers = match &user.value {
        HeaderMatchType::Exact(text) => vec![
            exact(&**text),
            prefix(format!("{text},")),
            suffix(format!(",{text}")),
            suffix(format!(", {text}")),
            contains(format!(",{text},")),
            contains(format!(", {text},")),
        ],
        // Parse has checked that the regex stands by itself, so the group around it is not left.
        HeaderMatchType::Regex(text) => vec![regex(&**text), regex(format!("(?:.*,)?[ \t]*(?:{text})[ \t]*(?:,.*)?"))],
    };
    matchers
        .into_iter()
        .map(|matcher| header(&user.name, matcher))
        .collect()
}
