//! What is taken (Envoy 1.40 takes all of it) and what is refused.

use super::checked;

#[test]
fn takes_what_re2_takes() {
    for good in [
        "/a/[^/]+/b",
        "(?i)get|post",
        "a{2}",
        "a{2,}",
        "a{2,5}?",
        "x{",
        "[]a]",
        "[^]a-z\\]]+",
        "\\x41",
        "\\x{fF}",
        "é(?:ü)+",
        "(?P<id>[0-9]+)",
        "(?:a|b)*",
        "[[:alpha:]_]+",
        "a??",
        ".*",
        "\\.\\*",
        "a|",
        "()",
        "[-a]",
        "[^$]",
        "\\^\\$",
        "[\\d-z]",
        "[\\x41-\\x5a\\t\\-]",
        "(?i-s:a)",
        "(?-i)a",
        "(?:a{10}){100}",
        "(?:a{1000}b|c{1000})+",
        "(?P<a>x)(?P<b>y)",
        "[a-]",
    ] {
        assert_eq!(checked(good), Ok(good));
    }
}

#[test]
fn refuses_what_re2_refuses() {
    for bad in [
        "",
        "(",
        ")",
        "a)",
        "[a",
        "[",
        "[]",
        "a\\",
        "(?=a)",
        "(?!a)",
        "(?<n>a)",
        "\\1",
        "*a",
        "+",
        "a**",
        "a++",
        "a{1001}",
        "a{3,2}",
        "(?P<>a)",
        "\\p",
        "\\x4",
        "[z-a]",
        "[[:nope:]]",
        "[[:^^alpha:]]",
        "\\Qa\\E",
        "(?",
        "|*",
        "a{2}{3}",
        "\\y",
        "\\é",
        "[a-\\d]",
        "[\\b]",
        "[\\A]",
        "[\\x5a-\\x41]",
        "[a-[:alpha:]]",
        "(a{1000}){1000}",
        "(?:(a|b{40})+{2}){40}",
        "(?:(a|b{40})+c){40}",
        "a{100,100000000}",
        "(?P<n>a)(?P<n>b)",
        "(?i-)",
        "(?i-)a",
        "(?-:a)",
        "(?i--s)a",
        "\\p{Nope}",
        "\\pL+",
        "\\p{Greek}",
        "[\\p{Lu}]",
        "\\x{1F600}",
        "\\x{100}",
        "[é]",
        "[\\xc8-é]",
        "é?",
        "\\p{Lu",
        "\\p{}",
    ] {
        assert!(checked(bad).is_err(), "{bad}");
    }
}

/// The whole value is matched, so anchors around an expression say nothing, and elsewhere they would stop it from matching.
#[test]
fn anchors_are_taken_off_or_refused() {
    for (text, bare) in [
        ("^/x$", "/x"),
        ("^/x", "/x"),
        ("/x$", "/x"),
        ("/x\\$", "/x\\$"),
        ("/x\\\\$", "/x\\\\"),
        ("^a|b$", "a|b"),
        ("^[^$]$", "[^$]"),
    ] {
        assert_eq!(checked(text), Ok(bare));
    }
    for bad in [
        "^", "$", "^$", "^^a", "a$$", "(^a)", "a$|b", "a|^b", "(?i)^a", "\\Aa", "a\\z", "^*a",
    ] {
        assert!(checked(bad).is_err(), "{bad}");
    }
}
