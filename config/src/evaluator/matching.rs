//! Whether a request is what a match says, read by a purpose: a Deny reads broadly, an Allow narrowly.

use super::normalise::Seen;
use super::patterns::{Over, Patterns};
use crate::model::{HeaderMatch, HeaderMatchType, HttpMatch, PathMatch, QueryMatch, Source, SpiffeId};

/// How a header that occurs several times is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A Deny: any occurrence, or any element of the list in it.
    Any,
    /// An Allow: all occurrences joined by commas are one value.
    Joined,
    /// Routes: any occurrence, as a whole (Envoy's header matchers, measured on 1.40; Gateway API leaves it open).
    Each,
    /// Limits and faults: headers as routes, literal paths in every spelling as a Deny.
    Counted,
}

/// Matches with the regexes of one evaluator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matching<'a> {
    pub(super) patterns: &'a Patterns,
    pub(super) trust_domain: &'a str,
}

impl Matching<'_> {
    /// Whether one of the sources includes the caller; nobody has no certificate.
    pub(super) fn sources(&self, sources: &[Source], caller: Option<&SpiffeId>) -> bool {
        sources.iter().any(|source| self.source(source, caller))
    }

    /// Whether the source includes the caller.
    pub(super) fn source(&self, source: &Source, caller: Option<&SpiffeId>) -> bool {
        match (source, caller) {
            (Source::Unauthenticated, caller) => caller.is_none(),
            (_, None) => false,
            (Source::Identity(exact), Some(id)) => exact == id,
            // Whole segments: the identity that the prefix spells is included.
            (Source::Prefix(prefix), Some(id)) => format!("{id}/").starts_with(&**prefix),
            (Source::Authenticated, Some(id)) => in_domain(id, self.trust_domain),
        }
    }

    /// Whether any of the matches holds; an absent list holds for every request.
    pub(super) fn any(&self, list: Option<&[HttpMatch]>, seen: &Seen, reading: Reading) -> bool {
        list.is_none_or(|list| list.iter().any(|one| self.request(one, seen, reading)))
    }

    /// Whether everything in the match holds.
    pub(super) fn request(&self, one: &HttpMatch, seen: &Seen, reading: Reading) -> bool {
        method(one, seen)
            && one.path.as_ref().is_none_or(|path| self.path(path, seen, reading))
            && one.headers.iter().all(|header| self.header(header, seen, reading))
            && one.query.iter().all(|query| self.query(query, seen))
    }

    /// Whether the path, without the query, matches.
    pub(super) fn path(&self, path: &PathMatch, seen: &Seen, reading: Reading) -> bool {
        if matches!(reading, Reading::Any | Reading::Counted)
            && let Some(holds) = spelled(path, &seen.path)
        {
            return holds;
        }
        match path {
            PathMatch::Exact(text) => **text == *seen.path,
            PathMatch::Prefix(prefix) => {
                let rest = seen.path.strip_prefix(&**prefix);
                prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathMatch::Suffix(suffix) => seen.path.ends_with(&**suffix),
            PathMatch::Regex(regex) => self
                .patterns
                .matches(regex, Over::Whole, &seen.path)
                .unwrap_or(reading == Reading::Any),
        }
    }

    /// Whether the header matches; an absent one never does.
    pub(super) fn header(&self, header: &HeaderMatch, seen: &Seen, reading: Reading) -> bool {
        match reading {
            Reading::Any => seen
                .values(&header.name)
                .any(|value| self.value(&header.value, value, Over::Element)),
            Reading::Each | Reading::Counted => seen
                .values(&header.name)
                .any(|value| self.value(&header.value, value, Over::Whole)),
            Reading::Joined => seen
                .joined(&header.name)
                .is_some_and(|value| self.value(&header.value, &value, Over::Whole)),
        }
    }

    fn value(&self, wanted: &HeaderMatchType, value: &str, over: Over) -> bool {
        match (wanted, over) {
            (HeaderMatchType::Exact(text), Over::Whole) => **text == *value,
            (HeaderMatchType::Exact(text), Over::Element) => **text == *value || has_elements(value, text),
            (HeaderMatchType::Regex(regex), Over::Whole) => {
                self.patterns.matches(regex, Over::Whole, value).unwrap_or(false)
            }
            // What cannot be understood is denied.
            (HeaderMatchType::Regex(regex), Over::Element) => {
                let matches = |over| self.patterns.matches(regex, over, value).unwrap_or(true);
                matches(Over::Whole) || matches(Over::Element)
            }
        }
    }

    /// Whether the first parameter of this name matches.
    fn query(&self, query: &QueryMatch, seen: &Seen) -> bool {
        seen.parameter(&query.name)
            .is_some_and(|value| self.value(&query.value, value, Over::Whole))
    }
}

/// Whether the method is the one; it is compared as it is.
pub(super) fn method(one: &HttpMatch, seen: &Seen) -> bool {
    one.method.as_ref().is_none_or(|method| *method == seen.method)
}

/// Whether the comma list has the element, or, if that is a list itself, all of its elements in a row.
fn has_elements(list: &str, wanted: &str) -> bool {
    let split = |text: &'_ str| -> Vec<String> {
        let elements = text.split(',');
        elements.map(|one| one.trim_matches([' ', '\t']).to_owned()).collect()
    };
    let (all, wanted) = (split(list), split(wanted));
    all.windows(wanted.len()).any(|run| run == wanted)
}

/// Whether the identity is of this trust domain.
pub(super) fn in_domain(id: &SpiffeId, trust_domain: &str) -> bool {
    id.as_str().starts_with(&format!("spiffe://{trust_domain}/"))
}

/// Whether a match demands nothing, so that it holds for every request.
pub(super) fn demands_nothing(one: &HttpMatch) -> bool {
    let path = match &one.path {
        None => true,
        Some(PathMatch::Prefix(prefix)) => prefix.is_empty(),
        Some(_) => false,
    };
    path && one.method.is_none() && one.headers.is_empty() && one.query.is_empty()
}

/// Whether a literal of a Deny is the path however either is escaped, since servers decode: `/a%3Ab` is `/a:b`. A path of nothing
/// but slashes is the root. Absent for a regex.
fn spelled(literal: &PathMatch, path: &str) -> Option<bool> {
    let path = decoded(if path == "//" { "/" } else { path });
    Some(match literal {
        PathMatch::Exact(text) => decoded(text) == path,
        PathMatch::Prefix(prefix) => {
            let rest = path.strip_prefix(&*decoded(prefix));
            rest.is_some_and(|rest| prefix.is_empty() || rest.first().is_none_or(|next| *next == Letter::Plain(b'/')))
        }
        PathMatch::Suffix(suffix) => path.ends_with(&decoded(suffix)),
        PathMatch::Regex(_) => return None,
    })
}

/// A byte of a path; a percent sign that is none of an escape is not the one that `%25` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Plain(u8),
    Percent,
}

fn decoded(text: &str) -> Vec<Letter> {
    let (mut letters, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escape = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escape) {
            (b'%', Some(byte)) => {
                letters.push(Letter::Plain(byte));
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (b'%', None) => letters.push(Letter::Percent),
            (byte, _) => letters.push(Letter::Plain(*byte)),
        }
        rest = after;
    }
    letters
}
