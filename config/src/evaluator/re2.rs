//! RE2 syntax as users write it -> the same expression for the `regex` crate.
//!
//! Both come from one family; this rewrites the few things that the crate reads otherwise: a lone `{`, `\<`, names of groups,
//! `\s`, and everything inside classes, where the crate knows nesting and set operations. Parse has checked the syntax.
//!
//! Envoy's RE2 matches bytes and folds only ASCII (measured with 1.40): `.`, `[^a]` and `[\x80-\xff]` are one byte, of which
//! `é` has two.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// RE2's white space: without the vertical tab.
const SPACE: &str = r"\x{09}\x{0a}\x{0c}\x{0d}\x{20}";

/// Enough for whatever parse takes.
const LARGEST_BYTES: usize = 2 << 20;

/// Compiles an expression over whole values of bytes; absent if it cannot be.
pub(super) fn compile(re2: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("^(?:{})$", translated(re2)))
        .unicode(false)
        .octal(true)
        .size_limit(LARGEST_BYTES)
        .build()
        .ok()
}

/// An expression over a comma list that has an element, or a run of elements, which the given one matches.
pub(super) fn compile_element(re2: &str) -> Option<Regex> {
    compile(&format!(r"(?:(?s:.)*,)?[ \t]*(?:{re2})[ \t]*(?:,(?s:.)*)?"))
}

fn translated(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len() + 16);
    let mut rest = re2.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, &mut out),
            '[' => class(&mut rest, &mut out),
            '(' => group(&mut rest, &mut out),
            '{' if !counts(&rest) => out.push_str(r"\{"),
            '}' if !out_counts(&out) => out.push_str(r"\}"),
            _ => out.push(c),
        }
    }
    out
}

/// After a backslash outside a class.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    match rest.next() {
        Some('s') => _ = write!(out, "[{SPACE}]"),
        Some('S') => _ = write!(out, "[^{SPACE}]"),
        // To the crate a `{` after it would belong to it.
        Some(c @ ('b' | 'B')) => _ = write!(out, r"(?:\{c})"),
        Some(c @ ('<' | '>')) => out.push(c),
        Some('x') => hexadecimal(rest, out),
        Some(c) => out.extend(['\\', c]),
        None => {}
    }
}

/// Groups lose their names, which RE2 and the crate spell by different rules.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('(');
    let mut ahead = rest.clone();
    if ahead.next() == Some('?') && ahead.next() == Some('P') {
        for c in rest.by_ref() {
            if c == '>' {
                break;
            }
        }
    }
}

/// Whether what follows a `{` makes it a repetition.
fn counts(rest: &Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.clone().take_while(|c| *c != '}').take(40).collect();
    let closed = rest.clone().nth(inside.chars().count()) == Some('}');
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    closed && !low.is_empty() && digits(low) && digits(high)
}

/// Whether a `}` ends a repetition that has been written out.
fn out_counts(out: &str) -> bool {
    out.rsplit_once('{').is_some_and(|(before, inside)| {
        !before.ends_with('\\') && inside.bytes().all(|b| b.is_ascii_digit() || b == b',')
    })
}

/// `\x41` or `\x{41}`, the backslash and the `x` being read.
fn hexadecimal(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let digits: String = if rest.next_if_eq(&'{').is_some() {
        rest.by_ref().take_while(|c| *c != '}').collect()
    } else {
        rest.by_ref().take(2).collect()
    };
    // More than a byte is not taken.
    byte(u32::from_str_radix(&digits, 16).unwrap_or_default(), out);
}

/// A class, its `[` being read. Every character of it is written as a number, so that none means anything to the crate.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !first => break,
            // Behind the `-` of a range it is a character.
            '[' if rest.peek() == Some(&':') && !out.ends_with('-') => posix(rest, out),
            '\\' => class_escape(rest, out),
            '-' if !first && rest.peek().is_some_and(|next| *next != ']') && range_open(out) => out.push('-'),
            c => number(c, out),
        }
        first = false;
    }
    out.push(']');
}

/// Whether the last thing in the class is a character that can begin a range, which a byte that ends one cannot.
fn range_open(out: &str) -> bool {
    let last = out.rsplit_once(r"\x");
    last.is_some_and(|(before, digits)| digits.len() == 2 && !before.ends_with('-'))
}

/// `[:alpha:]`, which both spell alike.
fn posix(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    for c in rest.by_ref() {
        out.push(c);
        if c == ']' {
            break;
        }
    }
}

fn class_escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    match rest.next() {
        Some('s') => out.push_str(SPACE),
        Some('S') => _ = write!(out, "[^{SPACE}]"),
        Some(c @ ('d' | 'D' | 'w' | 'W')) => out.extend(['\\', c]),
        Some('x') => hexadecimal(rest, out),
        Some('a') => number('\x07', out),
        Some('f') => number('\x0c', out),
        Some('t') => number('\t', out),
        Some('n') => number('\n', out),
        Some('r') => number('\r', out),
        Some('v') => number('\x0b', out),
        Some('0') => octal(rest, out),
        Some(c) => number(c, out),
        None => {}
    }
}

/// `\0` and up to two more octal digits.
fn octal(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut value = 0;
    for _ in 0..2 {
        let Some(digit) = rest.next_if(|c| c.is_digit(8)).and_then(|c| c.to_digit(8)) else {
            break;
        };
        value = value * 8 + digit;
    }
    byte(value, out);
}

fn number(c: char, out: &mut String) {
    byte(u32::from(c), out);
}

/// In this form the crate takes it for a byte, in braces for a character.
fn byte(value: u32, out: &mut String) {
    _ = write!(out, r"\x{value:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_what_re2_means() {
        for (expression, matches, misses) in [
            ("a.c", "abc", "ac"),
            (r"a\<b\>", "a<b>", "ab"),
            ("a{b", "a{b", "ab"),
            ("a{,2}", "a{,2}", "aa"),
            ("a{2}", "aa", "a"),
            ("x{1,2}}", "xx}", "x"),
            ("[a[b]", "[", "]"),
            ("[a&&b]", "&", "c"),
            ("[+--]", ",", "."),
            ("[a~~b]", "~", "c"),
            ("[]a]", "]", "b"),
            ("[^]a]", "b", "]"),
            ("[a-]", "-", "b"),
            ("[&-[:alpha:]", "Z", "b"),
            (r"[\d-x]", "-", "a"),
            ("[[:alpha:]-]", "-", "1"),
            (r"[\x41-\x43]", "B", "D"),
            (r"\x{41}", "A", "B"),
            (r"(?P<1a>b)c", "bc", "b"),
            ("(?i)ab", "AB", "b"),
            (r"\s", " ", "\x0b"),
            (r"[\S]", "a", " "),
            (r"\0101", "\x081", "A"),
            ("zo.*", "zoë", "z"),
            ("zoë", "zoë", "zoe"),
            ("a|bc", "bc", "ac"),
            (r"\b{x", "{x", "x"),
            (r"[\x80-\xff]{2}", "é", "e"),
            (r"[\x80-\xff]", "", "é"),
            (r"[^\x00-\x7f]+", "é", "e"),
            (r"\xc3\x{0000a9}", "é", "Ã©"),
            (r"[\xc3][\x{a9}]", "é", "e"),
            (r"(?i)\xc3\x89", "É", "é"),
            ("..", "é", "e"),
            ("[^a]{2}", "é", "e"),
            (r"[\x7f-\x80]", "\x7f", "é"),
            (r"[\s-x]", "-", "a"),
            (r"[\x41-\x43-x]", "-", "D"),
        ] {
            let regex = compile(expression).unwrap_or_else(|| panic!("{expression}"));
            if ![r"\b{x", r"[\x80-\xff]"].contains(&expression) {
                assert!(regex.is_match(matches.as_bytes()), "{expression} {matches}");
            }
            assert!(!regex.is_match(misses.as_bytes()), "{expression} {misses}");
        }
    }

    #[test]
    fn an_element_of_a_list() {
        let regex = compile_element("a.b").unwrap();
        for list in ["a.b", "x, axb ,y", "a-b,x", "x,\ta.b"] {
            assert!(regex.is_match(list.as_bytes()), "{list}");
        }
        for list in ["xa.b", "x a.b", "a.bc,d"] {
            assert!(!regex.is_match(list.as_bytes()), "{list}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

        /// What parse lets through compiles here, so that no rule is in force that cannot be evaluated.
        #[test]
        fn whatever_is_taken_compiles(text in r"([\[\](){}^*+?|.\\a-cPxdsSwbn<>:,&~=!'0-9é-]|\\x[048cf][09f]|\(\?:|\(\?P<|\[\^|\[:alpha:\]|\\x4|\\x\{){1,12}") {
            if let Ok(taken) = crate::parse::regex::checked(&text) {
                proptest::prop_assert!(compile(taken).is_some(), "{} -> {}", taken, translated(taken));
                proptest::prop_assert!(compile_element(taken).is_some(), "{}", taken);
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

        /// The largest that parse takes compiles here, too: many copies of small parts.
        #[test]
        fn the_largest_that_is_taken_compiles(
            part in r"([acek-s.é/:]|\\[dDsSwW]|\[\^?[a-eg-ikA-C0-2_]{1,6}\]|\[\^a\\W\]|\([ab]\|c?\)|\(\?i:[a-fs]\)|[ab][*?+]){1,12}",
            count in 1_u32..=1000, optional in proptest::bool::ANY,
        ) {
            let counts = if optional { format!("0,{count}") } else { count.to_string() };
            let text = format!("(?:{part}){{{counts}}}");
            if let Ok(taken) = crate::parse::regex::checked(&text) {
                proptest::prop_assert!(compile(taken).is_some(), "{}", taken);
                proptest::prop_assert!(compile_element(taken).is_some(), "{}", taken);
            }
        }
    }
}
