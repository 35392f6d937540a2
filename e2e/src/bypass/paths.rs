//! Names of `/admin` and of what is below it, and ways out of `/public`.

use super::case::Case;

/// What stands before the name: (class, text). Most of it means nothing, or leads out of `/public`, to some server.
const BEFORE: &[(&str, &str)] = &[
    ("plain", "/"),
    ("duplicate slash", "//"),
    ("duplicate slash", "///"),
    ("duplicate slash", "/public//..//"),
    ("dot", "/./"),
    ("dot", "/././"),
    ("dot", "/x/../"),
    ("dot", "/../"),
    ("dot", "/../../"),
    ("dot", "/public/../"),
    ("dot", "/public/x/../../"),
    ("dot", "/public/.../../../"),
    ("encoded dot", "/%2e/"),
    ("encoded dot", "/%2E/"),
    ("encoded dot", "/public/%2e%2e/"),
    ("encoded dot", "/public/%2E%2E/"),
    ("encoded dot", "/public/.%2e/"),
    ("encoded dot", "/public/%2e./"),
    ("double-encoded dot", "/public/%252e%252e/"),
    ("double-encoded dot", "/public/.%252e/"),
    ("encoded slash", "/%2f"),
    ("encoded slash", "/%2F"),
    ("encoded slash", "/%2f%2f/"),
    ("encoded slash", "%2f"),
    ("encoded slash", "/public%2f../"),
    ("encoded slash", "/public/..%2f"),
    ("encoded slash", "/public%2F..%2F"),
    ("encoded slash", "/public/%2e%2e%2f"),
    ("double-encoded slash", "/%252f"),
    ("double-encoded slash", "/public/..%252f"),
    ("double-encoded slash", "/public%252f..%252f"),
    ("double-encoded slash", "/public/%252e%252e%252f"),
    ("backslash", "\\"),
    ("backslash", "/\\"),
    ("backslash", "/public\\..\\"),
    ("backslash", "/public/..\\"),
    ("encoded backslash", "/%5c"),
    ("encoded backslash", "/public/..%5c"),
    ("encoded backslash", "/public%5C..%5C"),
    ("double-encoded slash", "/public/..%255c"),
    ("path parameter", "/;/"),
    ("path parameter", "/;x=1/"),
    ("path parameter", "/.;/"),
    ("path parameter", "/x/..;/"),
    ("path parameter", "/public/..;/"),
    ("path parameter", "/public/..;x=1/"),
    ("path parameter", "/public;/../"),
    ("path parameter", "/public;x/..;y/"),
    ("path parameter", "/public/;/../../"),
    ("path parameter", "/public/..;/;/"),
    ("path parameter", "/public/%2e%2e;/"),
    ("path parameter", "/public;%2f../"),
    ("encoded parameter", "/public/..%3b/"),
    ("encoded parameter", "/%3b/"),
    ("fragment", "/public#/../"),
    ("fragment", "/#/../"),
    ("fragment", "/public%23/../"),
    ("query", "/public?/../"),
    ("query", "/public%3f/../"),
    ("null byte", "/public%00/../"),
    ("null byte", "/%00/../"),
    ("null byte", "/public\0/../"),
    ("overlong", "/public/..%c0%af"),
    ("overlong", "/public/%c0%ae%c0%ae/"),
    ("overlong", "/public/..%e0%80%af"),
    ("overlong", "/public/%u002e%u002e/"),
    ("overlong", "/public/..%ef%bc%8f"),
    ("white space", "/public/..%20/"),
    ("white space", "/public/..%09/"),
    ("white space", "/public/..%0a/"),
    ("white space", "/public/%0d%0a/../../"),
    ("bad escape", "/public/%/../../"),
    ("bad escape", "/public/%zz/../../"),
    ("bad escape", "/public/..%2"),
];

/// The name itself.
const NAMES: &[(&str, &str)] = &[
    ("plain", "admin"),
    ("encoded letter", "%61dmin"),
    ("encoded letter", "adm%69n"),
    ("encoded letter", "%61%64%6d%69%6E"),
    ("double-encoded letter", "%2561dmin"),
    ("case", "ADMIN"),
    ("case", "Admin"),
];

/// What follows the name.
const AFTER: &[(&str, &str)] = &[
    ("plain", ""),
    ("plain", "/keys"),
    ("plain", "/keys?x=1"),
    ("duplicate slash", "//"),
    ("duplicate slash", "//keys"),
    ("dot", "/."),
    ("dot", "/x/.."),
    ("dot", "/../admin"),
    ("dot", "/../public/../admin"),
    ("dot", "."),
    ("encoded dot", "/%2e"),
    ("encoded dot", "/x/%2e%2e"),
    ("encoded dot", "/%2e%2e/admin"),
    ("double-encoded dot", "/%252e"),
    ("encoded slash", "%2f"),
    ("encoded slash", "%2Fkeys"),
    ("double-encoded slash", "%252fkeys"),
    ("backslash", "\\"),
    ("backslash", "\\keys"),
    ("encoded backslash", "%5ckeys"),
    ("path parameter", ";"),
    ("path parameter", ";x=1"),
    ("path parameter", ";x=1/keys"),
    ("path parameter", "/;x=1"),
    ("path parameter", "/keys;x?y"),
    ("path parameter", "/..;/admin"),
    ("encoded parameter", "%3bx=1"),
    ("encoded parameter", "%3B/keys"),
    ("fragment", "#"),
    ("fragment", "#/../public"),
    ("fragment", "%23x"),
    ("query", "?"),
    ("query", "?/../../public"),
    ("query", "%3fx"),
    ("null byte", "%00"),
    ("null byte", "%00.html"),
    ("null byte", "\0"),
    ("white space", "%20"),
    ("white space", "%09"),
    ("white space", "%0a"),
    ("bad escape", "%"),
    ("bad escape", "%zz"),
];

/// Every path.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |classes: &[&'static str], path: String| {
        let unusual: Vec<_> = classes.iter().copied().filter(|class| *class != "plain").collect();
        let mut case = Case::get("path", path);
        case.classes.extend(unusual);
        cases.push(case);
    };
    for (first, before) in BEFORE {
        for (second, after) in AFTER {
            add(&[first, second], format!("{before}admin{after}"));
        }
        for (second, name) in NAMES {
            add(&[first, second], format!("{before}{name}/keys"));
        }
    }
    for after in ["", "/keys", ";x"] {
        for (class, escape) in [
            ("encoded letter", escaped as fn(u8) -> String),
            ("encoded letter", |byte| escaped(byte).to_lowercase()),
            ("double-encoded letter", |byte| escaped(byte).replace('%', "%25")),
        ] {
            for letters in 1_u8..1 << "admin".len() {
                add(&[class], format!("/{}{after}", spelled(letters, escape)));
            }
        }
    }
    cases
}

fn escaped(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// `admin` with some of its letters escaped.
fn spelled(letters: u8, escape: fn(u8) -> String) -> String {
    let letter = |(index, byte): (usize, u8)| {
        if letters >> index & 1 == 1 {
            escape(byte)
        } else {
            char::from(byte).to_string()
        }
    };
    "admin".bytes().enumerate().map(letter).collect()
}
