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

/// Matchers of which any one means that some occurrence of the header, or an element of the list in it, has the value. Envoy
/// joins occurrences by commas.
pub(crate) fn any_occurrence(user: &HeaderMatch) -> Vec<route::HeaderMatcher> {
    let matchers = match &user.value {
        // White space around commas comes in too many forms for literal matchers, so this literal becomes a regex, escaped.
        HeaderMatchType::Exact(text) => vec![exact(&**text), regex(element(&quote(text)))],
        // Parse has checked that the regex stands by itself, so the group around it is not left.
        HeaderMatchType::Regex(text) => vec![regex(&**text), regex(element(text))],
    };
    matchers
        .into_iter()
        .map(|matcher| header(&user.name, matcher))
        .collect()
}

/// A regex over a list that has such an element. The rest may be any bytes (`\C`), whatever the encoding.
fn element(regex: &str) -> String {
    format!(r"(?:\C*,)?[ \t]*(?:{regex})[ \t]*(?:,\C*)?")
}

/// A regex that matches a literal; if it is a list itself, with any white space around its commas.
pub(crate) fn quote(literal: &str) -> String {
    let mut quoted = String::with_capacity(literal.len() * 2);
    let mut elements = literal.split(',').map(|element| element.trim_matches([' ', '\t']));
    quoted.extend(elements.next().into_iter().flat_map(str::chars).flat_map(escaped));
    for element in elements {
        quoted.push_str(r"[ \t]*,[ \t]*");
        quoted.extend(element.chars().flat_map(escaped));
    }
    quoted
}

/// A character of a regex that matches just this character. RE2 takes no backslash before letters, digits and what is not ASCII.
pub(crate) fn escaped(c: char) -> impl Iterator<Item = char> {
    let backslash = (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some('\\');
    backslash.into_iter().chain([c])
}

#[cfg(test)]
mod tests {
    use super::{any_occurrence, element, exact, header, quote, regex};
    use crate::model::{HeaderMatch, HeaderMatchType};

    #[test]
    fn literals_are_escaped() {
        for (literal, quoted) in [
            ("admin", "admin"),
            ("", ""),
            ("a.b*c", r"a\.b\*c"),
            (r"a)|(.*\", r"a\)\|\(\.\*\\"),
            ("^x y_-$", r"\^x\ y\_\-\$"),
            ("Zoë 9", r"Zoë\ 9"),
            ("a, b", r"a[ \t]*,[ \t]*b"),
        ] {
            assert_eq!(quote(literal), quoted);
        }
        // Whatever the literal, no character of it means anything to RE2.
        let all: String = ('!'..='~').filter(|c| *c != ',').collect();
        let mut quoted = quote(&all);
        quoted.retain(|c| !c.is_ascii_alphanumeric());
        assert!(quoted.chars().step_by(2).all(|c| c == '\\'), "{quoted}");
    }

    /// Measured with Envoy 1.40: `user,  a.b`, `user,\ta.b`, `a.b ,user` and a list with bytes that are not UTF-8 match.
    #[test]
    fn an_element_of_a_list_with_any_white_space() {
        let user = HeaderMatch {
            name: "role".into(),
            value: HeaderMatchType::Exact("a.b".into()),
        };
        let list = r"(?:\C*,)?[ \t]*(?:a\.b)[ \t]*(?:,\C*)?";
        assert_eq!(element(r"a\.b"), list);
        assert_eq!(
            any_occurrence(&user),
            [exact("a.b"), regex(list)].map(|one| header("role", one))
        );
    }
}
