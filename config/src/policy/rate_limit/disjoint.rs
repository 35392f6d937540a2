//! "Any of these" without overlap. Envoy can only say "all of these headers", and takes a token for each list that holds, so
//! a request that fulfils two of a limit's matches must fulfil only one of the lists.

use crate::envoy::api::{matcher, route};
use crate::model::Source;

use matcher::string_matcher::MatchPattern;
use route::header_matcher::HeaderMatchSpecifier;

type Conjunction = Vec<route::HeaderMatcher>;

/// More lists than this are not made: then a request in several matches takes several tokens, which errs to the safe side.
const MOST_LISTS: usize = 64;

/// Sources of which a caller is at most one; one absent source stands for every caller.
pub(super) fn sources(sources: Option<&[Source]>, trust_domain: &str) -> Vec<Option<Source>> {
    let Some(sources) = sources else { return vec![None] };
    let domain = format!("spiffe://{trust_domain}/");
    let below = |text: &str, other: &Source| match other {
        Source::Prefix(prefix) => text.starts_with(&**prefix),
        Source::Authenticated => text.starts_with(&domain),
        Source::Identity(id) => text == id.as_str(),
        Source::Unauthenticated => false,
    };
    let covered = |index: usize, source: &Source| {
        let text = match source {
            Source::Identity(id) => id.as_str(),
            Source::Prefix(prefix) => prefix,
            Source::Authenticated => &domain,
            Source::Unauthenticated => return sources.iter().take(index).any(|other| other == source),
        };
        // Of two that mean the same the first one stays.
        sources.iter().enumerate().any(|(position, other)| {
            position != index && below(text, other) && (position < index || !same(source, other, &domain))
        })
    };
    let kept = sources
        .iter()
        .enumerate()
        .filter(|(index, source)| !covered(*index, source));
    kept.map(|(_, source)| Some(source.clone())).collect()
}

fn same(a: &Source, b: &Source, domain: &str) -> bool {
    let text = |source: &Source| match source {
        Source::Prefix(prefix) => Some(prefix.to_string()),
        Source::Authenticated => Some(domain.to_owned()),
        Source::Identity(_) | Source::Unauthenticated => None,
    };
    a == b || (text(a).is_some() && text(a) == text(b))
}

/// Lists that hold for the same requests as the given ones, and of which at most one holds for a request.
pub(super) fn requests(lists: Vec<Conjunction>) -> Vec<Conjunction> {
    let mut disjoint: Vec<Conjunction> = Vec::new();
    for (index, list) in lists.iter().enumerate() {
        let mut pieces = vec![list.clone()];
        for earlier in lists.iter().take(index) {
            pieces = pieces.into_iter().flat_map(|piece| without(&piece, earlier)).collect();
        }
        disjoint.extend(pieces);
        if disjoint.len() > MOST_LISTS {
            return lists;
        }
    }
    disjoint
}

/// What is in `piece` but not in `earlier`: not its first header; its first but not its second; and so on.
fn without(piece: &Conjunction, earlier: &Conjunction) -> Vec<Conjunction> {
    if earlier
        .iter()
        .any(|header| piece.iter().any(|own| exclude_each_other(own, header)))
    {
        return vec![piece.clone()];
    }
    let mut pieces = Vec::new();
    let mut fulfilled = piece.clone();
    for header in earlier.iter().filter(|header| !piece.contains(header)) {
        let mut other = fulfilled.clone();
        other.push(not(header));
        if !fulfilled.contains(&not(header)) {
            pieces.push(other);
        }
        fulfilled.push(header.clone());
    }
    pieces
}

fn not(header: &route::HeaderMatcher) -> route::HeaderMatcher {
    // An absent header must count as "does not match", which it does not by itself in an inverted matcher.
    route::HeaderMatcher {
        invert_match: !header.invert_match,
        treat_missing_header_as_empty: true,
        ..header.clone()
    }
}

/// Whether no request can fulfil both, as far as that is plain to see.
fn exclude_each_other(a: &route::HeaderMatcher, b: &route::HeaderMatcher) -> bool {
    if a.name != b.name {
        return false;
    }
    if a.header_match_specifier == b.header_match_specifier {
        return a.invert_match != b.invert_match;
    }
    if a.invert_match || b.invert_match {
        return false;
    }
    match (literal(a), literal(b)) {
        (Some((a, true)), Some((b, true))) => a != b,
        (Some((a, true)), Some((b, false))) => !a.starts_with(b),
        (Some((a, false)), Some((b, true))) => !b.starts_with(a),
        (Some((a, false)), Some((b, false))) => !a.starts_with(b) && !b.starts_with(a),
        _ => false,
    }
}

/// The text of a literal matcher, and whether it is the whole value.
fn literal(header: &route::HeaderMatcher) -> Option<(&str, bool)> {
    match header.header_match_specifier.as_ref()? {
        HeaderMatchSpecifier::StringMatch(value) => match value.match_pattern.as_ref()? {
            MatchPattern::Exact(text) => Some((text, true)),
            MatchPattern::Prefix(text) => Some((text, false)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::matcher::{exact, header, prefix};
    use crate::model::SpiffeId;

    #[test]
    fn a_source_within_another_is_left_out() {
        let web = Source::Identity(SpiffeId::of("tulle.local", "shop", "web"));
        let shop = Source::Prefix("spiffe://tulle.local/ns/shop/".into());
        let all = [
            web.clone(),
            Source::Unauthenticated,
            shop.clone(),
            web.clone(),
            Source::Unauthenticated,
        ];
        assert_eq!(
            sources(Some(&all), "tulle.local"),
            [Some(Source::Unauthenticated), Some(shop.clone())]
        );
        let all = [
            shop,
            Source::Authenticated,
            Source::Prefix("spiffe://tulle.local/".into()),
        ];
        assert_eq!(sources(Some(&all), "tulle.local"), [Some(Source::Authenticated)]);
        assert_eq!(sources(None, "tulle.local"), [None]);
        assert_eq!(sources(Some(&[]), "tulle.local"), []);
    }

    #[test]
    fn lists_that_exclude_each_other_stay() {
        let get = vec![header(":method", exact("GET"))];
        let post = vec![header(":method", exact("POST")), header("a", exact("b"))];
        assert_eq!(requests(vec![get.clone(), post.clone()]), [get, post]);
    }

    #[test]
    fn overlapping_lists_are_cut() {
        let get = vec![header(":method", exact("GET"))];
        let path = vec![header("x-tulle-path", prefix("/a/"))];
        let cut = requests(vec![get.clone(), path.clone()]);
        assert_eq!(cut, [get.clone(), vec![path[0].clone(), not(&get[0])]]);
        assert_eq!(requests(vec![get.clone(), get.clone()]), std::slice::from_ref(&get));
        // Everything, then something: nothing is left of the second.
        assert_eq!(requests(vec![Vec::new(), get]), [Vec::new()]);
    }
}
