//! A short text that a regular expression matches as a whole.
//!
//! RE2 and the parser used here agree on all that parse lets through; where one is not understood there is no sample.

use std::sync::Arc;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Repetitions beyond this make no better example.
const LONGEST: usize = 256;

/// A text that matches; one repetition of what may be left out, so that `/a.*` gives `/ax`.
pub(super) fn of(regex: &str) -> Option<Arc<str>> {
    let hir = regex_syntax::parse(regex).ok()?;
    let mut text = String::new();
    write(&hir, &mut text)?;
    Some(text.into())
}

fn write(hir: &Hir, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(letter(class)?),
        HirKind::Repetition(repetition) => {
            let times = usize::try_from(repetition.min)
                .ok()?
                .max(usize::from(repetition.max != Some(0)));
            for _ in 0..times {
                write(&repetition.sub, text)?;
                if text.len() > LONGEST {
                    return None;
                }
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(parts) => write(parts.first()?, text)?,
    }
    Some(())
}

/// A plain letter of the class, or its first one.
fn letter(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else {
        let Class::Bytes(class) = class else { return None };
        return class.ranges().first().map(|range| char::from(range.start()));
    };
    let inside = |letter: &char| {
        class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(letter))
    };
    ['x', 'a', 'A', '1', '/']
        .into_iter()
        .find(inside)
        .or_else(|| class.ranges().first().map(regex_syntax::hir::ClassUnicodeRange::start))
}

#[cfg(test)]
mod tests {
    #[test]
    fn samples_match() {
        for (regex, text) in [
            ("/charges.*", "/chargesx"),
            ("/v[0-9]+/(a|b)", "/v1/a"),
            ("/a{3}", "/aaa"),
            (r"/a\.b", "/a.b"),
            (r"\d", "1"),
            ("", ""),
        ] {
            assert_eq!(super::of(regex).as_deref(), Some(text), "{regex}");
        }
        assert_eq!(super::of("("), None);
    }
}
