//! Whether one match, or one list of callers, takes everything that another one takes.
//!
//! Sound and not complete: `true` is certain, `false` may only mean that it is not obvious. Two regular expressions cover each
//! other only if their text is the same, and the union of several rules is never considered.

use crate::model::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch, Source};

/// Every request that `narrow` takes is taken by `wide`.
pub fn match_covers(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    path_covers(wide.path.as_ref(), narrow.path.as_ref())
        && (wide.method.is_none() || wide.method == narrow.method)
        && wide.headers.iter().all(|header| narrow.headers.contains(header))
        && wide.query.iter().all(|query| narrow.query.contains(query))
}

/// The same for lists of which any match counts; an absent list takes every request.
pub(super) fn http_covers(wide: Option<&Vec<HttpMatch>>, narrow: Option<&Vec<HttpMatch>>) -> bool {
    let Some(wide) = wide else { return true };
    let anything = [HttpMatch::default()];
    let narrow = narrow.map_or(&anything[..], Vec::as_slice);
    narrow
        .iter()
        .all(|one| wide.iter().any(|other| match_covers(other, one)))
}

/// Whether headers mean the same in a Deny, which looks at each value of a list, and in an Allow, which looks at the whole.
pub(super) fn headers_agree(matches: Option<&Vec<HttpMatch>>) -> bool {
    let plain = |header: &HeaderMatch| matches!(&header.value, HeaderMatchType::Exact(value) if !value.contains(','));
    matches.into_iter().flatten().all(|one| one.headers.iter().all(plain))
}

/// Every caller of `narrow` is one of `wide`; absent means everybody.
pub(super) fn sources_cover(wide: Option<&Vec<Source>>, narrow: Option<&Vec<Source>>, trust_domain: &str) -> bool {
    let (Some(wide), Some(narrow)) = (wide, narrow) else {
        return wide.is_none();
    };
    narrow
        .iter()
        .all(|one| wide.iter().any(|other| source_covers(other, one, trust_domain)))
}

fn source_covers(wide: &Source, narrow: &Source, trust_domain: &str) -> bool {
    let ours = format!("spiffe://{trust_domain}/");
    let below = |prefix: &str| match narrow {
        Source::Identity(identity) => identity.as_str().starts_with(prefix),
        Source::Prefix(other) => other.starts_with(prefix),
        Source::Authenticated => ours.starts_with(prefix),
        Source::Unauthenticated => false,
    };
    match wide {
        Source::Identity(_) | Source::Unauthenticated => wide == narrow,
        Source::Prefix(prefix) => below(prefix),
        Source::Authenticated => below(&ours),
    }
}

fn path_covers(wide: Option<&PathMatch>, narrow: Option<&PathMatch>) -> bool {
    let Some(wide) = wide else { return true };
    let Some(narrow) = narrow else {
        return matches!(wide, PathMatch::Prefix(prefix) if prefix.is_empty());
    };
    if wide == narrow {
        return true;
    }
    match (wide, narrow) {
        (PathMatch::Prefix(prefix), _) if prefix.is_empty() => true,
        (PathMatch::Prefix(prefix), PathMatch::Exact(path) | PathMatch::Prefix(path)) => path
            .strip_prefix(&**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        (PathMatch::Suffix(suffix), PathMatch::Exact(path) | PathMatch::Suffix(path)) => path.ends_with(&**suffix),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{http_covers, match_covers, sources_cover};
    use crate::model::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch, Source, SpiffeId};

    fn on(path: PathMatch) -> HttpMatch {
        HttpMatch {
            path: Some(path),
            ..HttpMatch::default()
        }
    }

    fn prefix(path: &str) -> HttpMatch {
        on(PathMatch::Prefix(path.into()))
    }

    #[test]
    fn paths_cover_in_whole_segments() {
        for (wide, narrow, covers) in [
            (prefix(""), prefix("/a"), true),
            (prefix(""), HttpMatch::default(), true),
            (prefix("/a"), prefix("/a/b"), true),
            (prefix("/a"), on(PathMatch::Exact("/a".into())), true),
            (prefix("/a"), prefix("/ab"), false),
            (prefix("/a"), on(PathMatch::Regex("/a/.*".into())), false),
            (prefix("/a"), HttpMatch::default(), false),
            (HttpMatch::default(), on(PathMatch::Regex("x".into())), true),
            (
                on(PathMatch::Suffix("/M".into())),
                on(PathMatch::Exact("/s/M".into())),
                true,
            ),
            (on(PathMatch::Exact("/a".into())), prefix("/a"), false),
        ] {
            assert_eq!(match_covers(&wide, &narrow), covers, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn each_condition_of_the_wide_one_must_be_in_the_narrow_one() {
        let header = |value: &str| HeaderMatch {
            name: "x".into(),
            value: HeaderMatchType::Exact(value.into()),
        };
        let with = |headers: &[HeaderMatch], method: Option<&str>| HttpMatch {
            headers: headers.to_vec(),
            method: method.map(Into::into),
            ..HttpMatch::default()
        };
        assert!(match_covers(
            &with(&[header("a")], None),
            &with(&[header("a")], Some("GET"))
        ));
        assert!(!match_covers(&with(&[header("a")], None), &with(&[header("b")], None)));
        assert!(!match_covers(&with(&[], Some("GET")), &with(&[], None)));
        let both = vec![with(&[], Some("GET")), with(&[], Some("POST"))];
        assert!(http_covers(Some(&both), Some(&vec![with(&[], Some("POST"))])));
        assert!(!http_covers(Some(&both), None), "every method is more than two");
        assert!(http_covers(None, None));
    }

    #[test]
    fn callers_cover_by_segments_and_trust_domain() {
        let shop = Source::Prefix("spiffe://t/ns/shop/".into());
        let orders = Source::Identity(SpiffeId::of("t", "shop", "orders"));
        let all = vec![Source::Authenticated];
        assert!(sources_cover(
            Some(&all),
            Some(&vec![shop.clone(), orders.clone()]),
            "t"
        ));
        assert!(!sources_cover(Some(&all), Some(&vec![orders.clone()]), "other"));
        assert!(!sources_cover(Some(&all), Some(&vec![Source::Unauthenticated]), "t"));
        assert!(sources_cover(
            Some(&vec![shop.clone()]),
            Some(&vec![orders.clone()]),
            "t"
        ));
        assert!(!sources_cover(Some(&vec![orders]), Some(&vec![shop.clone()]), "t"));
        assert!(sources_cover(None, Some(&vec![shop.clone()]), "t"));
        assert!(!sources_cover(Some(&vec![shop]), None, "t"));
    }
}
