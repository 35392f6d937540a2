//! Parts of match trees that end in an RBAC verdict, which has a name.

use super::api::{any, ext, match_tree, matcher as inputs, rbac};

use match_tree::matcher::matcher_list::predicate::single_predicate::Matcher as With;
use match_tree::matcher::matcher_list::predicate::{MatchType, PredicateList, SinglePredicate};
use match_tree::matcher::matcher_list::{FieldMatcher, Predicate};
use match_tree::matcher::{MatcherList, MatcherType, OnMatch, on_match};
use match_tree::string_matcher::MatchPattern;
use xds::proto::xds::core::v3::TypedExtensionConfig;

/// Ends with this verdict, reported under this name.
pub(crate) fn verdict(name: &str, action: rbac::rbac::Action) -> OnMatch {
    let action = rbac::Action {
        name: name.to_owned(),
        action: action.into(),
    };
    OnMatch {
        on_match: Some(on_match::OnMatch::Action(typed("action", &action))),
        ..Default::default()
    }
}

/// The first entry that holds decides, else the last word. A list without entries is refused, so then there is none.
pub(crate) fn first_of(entries: Vec<(Predicate, OnMatch)>, otherwise: OnMatch) -> match_tree::Matcher {
    let field = |(predicate, on_match)| FieldMatcher {
        predicate: Some(predicate),
        on_match: Some(on_match),
    };
    let matchers: Vec<_> = entries.into_iter().map(field).collect();
    let list = (!matchers.is_empty()).then_some(MatcherType::MatcherList(MatcherList { matchers }));
    match_tree::Matcher {
        on_no_match: Some(Box::new(otherwise)),
        matcher_type: list,
    }
}

/// The first entry that holds decides, and without one there is no name; absent without entries, which Envoy refuses.
pub(crate) fn only(entries: Vec<(Predicate, OnMatch)>) -> Option<match_tree::Matcher> {
    let unused = OnMatch::default();
    (!entries.is_empty()).then(|| match_tree::Matcher {
        on_no_match: None,
        ..first_of(entries, unused)
    })
}

/// Goes on with another tree.
pub(crate) fn then(matcher: match_tree::Matcher) -> OnMatch {
    OnMatch {
        on_match: Some(on_match::OnMatch::Matcher(Box::new(matcher))),
        ..Default::default()
    }
}

/// The peer's URI SAN.
pub(crate) fn peer() -> TypedExtensionConfig {
    typed(
        "envoy.matching.inputs.uri_san",
        &ext::matching::common_inputs::ssl::v3::UriSanInput {},
    )
}

/// The caller's address, which every connection has.
pub(crate) fn source_address() -> TypedExtensionConfig {
    typed(
        "envoy.matching.inputs.source_ip",
        &ext::matching::common_inputs::network::v3::SourceIpInput {},
    )
}

/// A request header; several occurrences are one value, joined by commas.
pub(crate) fn header(name: &str) -> TypedExtensionConfig {
    let input = inputs::HttpRequestHeaderMatchInput {
        header_name: name.to_owned(),
    };
    typed("envoy.matching.inputs.request_headers", &input)
}

/// The input is exactly this.
pub(crate) fn is(input: TypedExtensionConfig, text: impl Into<String>) -> Predicate {
    value(input, MatchPattern::Exact(text.into()))
}

/// The input begins with this.
pub(crate) fn begins(input: TypedExtensionConfig, text: impl Into<String>) -> Predicate {
    value(input, MatchPattern::Prefix(text.into()))
}

/// The input ends in this.
pub(crate) fn ends(input: TypedExtensionConfig, text: impl Into<String>) -> Predicate {
    value(input, MatchPattern::Suffix(text.into()))
}

/// The whole input matches this RE2 regex.
pub(crate) fn matches(input: TypedExtensionConfig, regex: impl Into<String>) -> Predicate {
    let engine = match_tree::regex_matcher::EngineType::GoogleRe2(match_tree::regex_matcher::GoogleRe2 {});
    let regex = match_tree::RegexMatcher {
        regex: regex.into(),
        engine_type: Some(engine),
    };
    value(input, MatchPattern::SafeRegex(regex))
}

fn value(input: TypedExtensionConfig, pattern: MatchPattern) -> Predicate {
    let matcher = match_tree::StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    };
    single(input, With::ValueMatch(matcher))
}

/// The input passes an extension's test.
pub(crate) fn passes(input: TypedExtensionConfig, test: TypedExtensionConfig) -> Predicate {
    single(input, With::CustomMatch(test))
}

fn single(input: TypedExtensionConfig, matcher: With) -> Predicate {
    predicate(MatchType::SinglePredicate(SinglePredicate {
        input: Some(input),
        matcher: Some(matcher),
    }))
}

/// At least one holds; absent when there is none.
pub(crate) fn any_of(predicates: Vec<Predicate>) -> Option<Predicate> {
    combined(predicates, MatchType::OrMatcher)
}

/// All hold; absent when there is none, which demands nothing.
pub(crate) fn all_of(predicates: Vec<Predicate>) -> Option<Predicate> {
    combined(predicates, MatchType::AndMatcher)
}

/// It does not hold.
pub(crate) fn not(one: Predicate) -> Predicate {
    predicate(MatchType::NotMatcher(Box::new(one)))
}

/// Envoy refuses lists of less than two.
fn combined(mut predicates: Vec<Predicate>, combine: fn(PredicateList) -> MatchType) -> Option<Predicate> {
    if predicates.len() < 2 {
        return predicates.pop();
    }
    Some(predicate(combine(PredicateList { predicate: predicates })))
}

fn predicate(match_type: MatchType) -> Predicate {
    Predicate {
        match_type: Some(match_type),
    }
}

/// An extension by name and configuration.
pub(crate) fn typed<M: prost::Message + prost::Name>(name: &str, message: &M) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(any(message)),
    }
}
