//! What Envoy 1.40 was seen to do with the connection managers' settings, by raw requests to a static bootstrap.

use super::*;

fn request(target: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        target: target.into(),
        authority: "a.b".into(),
        headers: Vec::new(),
    }
}

fn path(target: &str, side: Side) -> Option<String> {
    normalise(&request(target), side)
        .ok()
        .map(|seen| seen.to_request().target.to_string())
}

/// Sent and seen; `-` stands for 400.
const PATHS: &[(&str, &str)] = &[
    ("/", "/"),
    ("/a/../b", "/b"),
    ("/a/./b", "/a/b"),
    ("/a//b", "/a/b"),
    ("/a/%2e%2e/b", "/b"),
    ("/a/%2E/b", "/a/b"),
    ("/a//../b", "/a/b"),
    ("//a", "/a"),
    ("/..", "/"),
    ("/a/..", "/"),
    ("/a/.", "/a/"),
    ("/%41b", "/Ab"),
    ("/%7e", "/~"),
    ("/%2d%5f", "/-_"),
    ("/a\\b", "/a/b"),
    ("/a\\..\\b", "/b"),
    ("/a%00", "-"),
    ("/a%0a", "/a%0a"),
    ("/a%20b", "/a%20b"),
    ("/a%zz", "/a%zz"),
    ("/a%", "/a%"),
    ("/a%4", "/a%4"),
    ("/a%25", "/a%25"),
    ("/a%252f", "/a%252f"),
    ("/a#b", "-"),
    ("/a?x#y", "-"),
    ("/a?x=%2f", "/a?x=%2f"),
    ("/a?x=/../y", "/a?x=/../y"),
    ("/a;b", "/a;b"),
    ("/a%3bb", "/a%3bb"),
    ("/a\"b", "/a%22b"),
    ("/a<b>", "/a%3Cb%3E"),
    ("/a`b", "/a%60b"),
    ("/a{b}", "/a%7Bb%7D"),
    ("/a|b", "/a%7Cb"),
    ("/a^b", "/a%5Eb"),
    ("/a[b]", "/a[b]"),
    ("/a'b", "/a'b"),
    ("/a!b$&()*+,=:@", "/a!b$&()*+,=:@"),
    ("/é", "-"),
    ("/%c3%a9", "/%c3%a9"),
    ("/%C3%A9", "/%C3%A9"),
    ("/a\x01", "-"),
    ("/a\x7f", "-"),
    ("/A/b", "/A/b"),
    ("/a/b/", "/a/b/"),
    ("/a/b/../", "/a/"),
    ("/a/...", "/a/..."),
    ("/.a", "/.a"),
    ("/a..", "/a.."),
    ("/a//", "/a/"),
    ("/a?", "/a?"),
    ("/a?a?b", "/a?a?b"),
    ("/%2e", "/"),
    ("/%2e%2e/", "/"),
    ("*", "-"),
    ("x", "-"),
    ("", "-"),
    ("?x", "-"),
    ("a/b", "-"),
    ("/a/b/../../../c", "/c"),
    ("/a/%2e./b", "/b"),
    ("/%%41", "/%A"),
    ("/%25%34%31", "/%2541"),
    ("/a/b/..//c", "/a/c"),
    ("/a\\", "/a/"),
    ("/\\a", "/a"),
    ("/a%3A", "/a%3A"),
    ("/a%2B", "/a%2B"),
    ("/a/../..//b", "/b"),
    ("/a%c0%ae%c0%ae/b", "/a%c0%ae%c0%ae/b"),
    // Parameters of dot segments.
    ("/a/..;/b", "/b"),
    ("/a/..;x=1/b", "/b"),
    ("/a/.;x/b", "/a/b"),
    ("/a/..;", "/"),
    ("/a/.;", "/a/"),
    ("/a/%2e%2e;/b", "/a/..;/b"),
    ("/a/..%3b/b", "/a/..%3b/b"),
    ("/a/...;/b", "/a/...;/b"),
    ("/a;x/../b", "/b"),
    ("/a/;/b", "/a/;/b"),
    ("/a/;x/../b", "/a/b"),
    ("/..;/", "/"),
    ("/;/..", "/"),
    ("/a/..;;/b", "/b"),
    ("/a/b/..;/..;/c", "/c"),
    ("/a/..;?x", "/?x"),
    ("/a/%2E%2E;x%2e/b", "/a/..;x./b"),
    ("/a/.%2e;/b", "/a/..;/b"),
    ("/a\\..;\\b", "/a/..;/b"),
    ("/a/..;\\b", "/"),
    ("/a//..;/b", "/a/b"),
    // Nothing but slashes.
    ("//", "//"),
    ("////", "//"),
    ("/a/..//", "//"),
    ("/./", "/"),
    ("/.//", "//"),
    ("//..", "/"),
    ("/..//", "//"),
    ("/\\", "//"),
    ("/a/b/.//../c", "/a/b/c"),
    // Absolute form.
    ("http://X.y:80/a", "/a"),
    ("http://x.y", "/"),
    ("https://x.y/a/../b", "/b"),
    ("HTTP://x.y/a", "/a"),
    ("http://x.y#f", "-"),
];

#[test]
fn paths_as_measured() {
    for (target, seen) in PATHS {
        for side in [Side::Outbound, Side::Inbound] {
            let expected = (*seen != "-").then(|| (*seen).to_owned());
            assert_eq!(path(target, side), expected, "{target:?} {side:?}");
        }
    }
}

#[test]
fn escaped_slashes_pass_the_caller_only() {
    for (target, kept) in [
        ("/a%2fb", "/a%2fb"),
        ("/a%5Cb", "/a%5Cb"),
        ("/a/%2e%2e%2fb", "/a/..%2fb"),
    ] {
        assert_eq!(path(target, Side::Outbound).as_deref(), Some(kept));
        assert_eq!(path(target, Side::Inbound), None, "{target}");
    }
}

#[test]
fn hosts_as_measured() {
    for (sent, seen) in [
        ("A.B", "A.B"),
        ("a.b:80", "a.b"),
        ("a.b.", "a.b"),
        ("a.b.:80", "a.b"),
        ("A.b.:", "A.b:"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("a.b..", "a.b."),
        ("a:b", "a:b"),
        ("a.b:80x", "a.b:80x"),
        ("", ""),
        ("a_b", "a_b"),
        ("u@a.b", "u@a.b"),
        ("a.b:99999", "a.b"),
        ("1.2.3.4:1", "1.2.3.4"),
    ] {
        let request = HttpRequest {
            authority: sent.into(),
            ..request("/")
        };
        assert_eq!(&*normalise(&request, Side::Inbound).unwrap().authority, seen, "{sent}");
    }
    for bad in ["a b", "é", "a.b/c"] {
        let request = HttpRequest {
            authority: bad.into(),
            ..request("/")
        };
        assert!(normalise(&request, Side::Outbound).is_err(), "{bad}");
    }
    let seen = |target: &str| {
        normalise(&request(target), Side::Inbound)
            .unwrap()
            .authority
            .to_string()
    };
    assert_eq!(
        (seen("http://X.y:80/a"), seen("http://u@x.y/a")),
        ("X.y".to_owned(), "x.y".to_owned())
    );
}

#[test]
fn methods_as_measured() {
    for (method, target, good) in [
        ("POST", "/", true),
        ("PURGE", "/", true),
        ("get", "/", false),
        ("FOO", "/", false),
        ("CONNECT", "/", false),
        ("OPTIONS", "*", true),
        ("QUERY", "/", false),
        ("TRACE", "*", false),
    ] {
        let request = HttpRequest {
            method: method.into(),
            ..request(target)
        };
        assert_eq!(normalise(&request, Side::Outbound).is_ok(), good, "{method} {target}");
    }
}

#[test]
fn headers_as_measured() {
    let sent = [
        ("x-a", "1"),
        ("X-B", "  two "),
        ("x-envoy-foo", "1"),
        ("X-Tulle-X", "1"),
        ("x-a", "2"),
        ("te", "gzip"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("x-forwarded-client-cert", "z"),
        ("connection", "close, X-C"),
        ("x-c", "1"),
        ("upgrade", "foo"),
        ("x-empty", ""),
        ("x-d", "a\tb"),
        ("x-e", "é"),
    ];
    let with = |name: &str, value: &str, side| {
        let mut headers: Vec<_> = sent
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        headers.push((name.into(), value.into()));
        normalise(
            &HttpRequest {
                headers,
                ..request("/")
            },
            side,
        )
    };
    let seen = with("te", "trailers", Side::Inbound).unwrap();
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["x-a", "x-b", "x-a", "x-empty", "x-d", "x-e", "te"]);
    assert_eq!(seen.joined("x-a").as_deref(), Some("1,2"));
    assert_eq!(seen.joined("x-b").as_deref(), Some("two"));
    assert_eq!(
        (seen.joined("x-empty").as_deref(), seen.joined("x-none")),
        (Some(""), None)
    );
    assert!(with("x_u", "1", Side::Inbound).is_err());
    assert!(with("x_u", "1", Side::Outbound).is_ok());
    for (name, value) in [
        ("x-a", "a\0b"),
        ("x-a", "a\x01b"),
        ("x-a", "a\x7fb"),
        ("x a", "1"),
        ("x(a", "1"),
    ] {
        assert!(with(name, value, Side::Outbound).is_err(), "{name}: {value:?}");
    }
}

#[test]
fn query_parameters_as_measured() {
    for (query, value) in [
        ("ab=12", Some("12")),
        ("a%62=12", None),
        ("ab=1%32", Some("1%32")),
        ("ab=1&ab=12", Some("1")),
        ("x=1;ab=12", None),
        ("AB=12", None),
        ("ab=12=", Some("12=")),
        ("x&ab=12", Some("12")),
        ("&ab=12", Some("12")),
        ("?ab=12", None),
        ("ab=1+2", Some("1+2")),
        ("ab", Some("")),
    ] {
        let seen = normalise(&request(&format!("/q?{query}")), Side::Outbound).unwrap();
        assert_eq!(seen.parameter("ab"), value, "{query}");
    }
}
