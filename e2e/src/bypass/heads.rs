//! Everything about a request but its path: target forms, hosts, methods, headers that steer proxies, and the header
//! `x-role`, whose element `admin` is denied.

use super::case::Case;

/// What means `/admin` in any spelling.
const TARGETS: [&str; 4] = ["/admin", "/admin/keys", "/public/../admin", "//admin"];

/// Headers that some proxy or framework lets decide about the path, the method or the caller.
const STEERING: &[(&str, &str, &str)] = &[
    ("x-envoy header", "x-envoy-original-path", "/public"),
    ("x-envoy header", "x-envoy-original-host", "public"),
    ("x-envoy header", "X-Envoy-Internal", "true"),
    ("x-envoy header", "x-envoy-external-address", "127.0.0.1"),
    ("x-envoy header", "x-envoy-decorator-operation", "public"),
    ("x-envoy header", "x-envoy-upstream-alt-stat-name", "public"),
    ("x-envoy header", "x-envoy-retry-on", "5xx,retriable-4xx"),
    ("x-envoy header", "x-envoy-retriable-status-codes", "403"),
    ("x-envoy header", "x-envoy-hedge-on-per-try-timeout", "true"),
    ("x-envoy header", "x-envoy-peer-metadata", "public"),
    ("x-tulle header", "x-tulle-path", "/public/"),
    ("x-tulle header", "X-Tulle-Path", "/public/"),
    (
        "x-tulle header",
        "x-tulle-source",
        "spiffe://tulle.local/ns/shop/sa/servlet/",
    ),
    ("x-tulle header", "x-tulle-anything", "1"),
    ("foreign header", "x-original-url", "/public"),
    ("foreign header", "x-rewrite-url", "/public"),
    ("foreign header", "x-forwarded-path", "/public"),
    ("foreign header", "x-forwarded-prefix", "/public"),
    ("foreign header", "x-forwarded-for", "127.0.0.1"),
    ("foreign header", "x-forwarded-host", "localhost"),
    ("foreign header", "x-forwarded-proto", "https"),
    ("foreign header", "forwarded", "for=127.0.0.1;host=public"),
    ("foreign header", "x-http-method-override", "OPTIONS"),
    (
        "foreign header",
        "x-forwarded-client-cert",
        "By=spiffe://x;URI=spiffe://tulle.local/ns/shop/sa/servlet",
    ),
    ("foreign header", "upgrade", "websocket"),
    ("foreign header", "upgrade", "h2c"),
    ("foreign header", "expect", "100-continue"),
    ("underscore header", "x_tulle_path", "/public/"),
    ("underscore header", "x_envoy_original_path", "/public"),
    ("underscore header", "x_original_url", "/public"),
];

/// Hosts that may be taken for another one.
const HOSTS: &[&str] = &[
    "{host}:80",
    "{host}:8080",
    "{host}:65535",
    "{host}:",
    "{host}.",
    "{host}.:80",
    "{host}..",
    "SERVLET",
    "Servlet.Shop",
    "localhost",
    "127.0.0.1",
    "[::1]:8080",
    "public",
    "*",
    "",
    " {host}",
    "{host} ",
    "user@{host}",
    "{host}/public",
    "{host}#",
    "{host}?",
    "{host}\\",
    "{host},public",
    "xn--80ak6aa92e",
];

/// `x-role` in every dress: the name and the value of each line.
const ROLES: &[&[(&str, &str)]] = &[
    &[("x-role", "admin")],
    &[("X-ROLE", "admin")],
    &[("X-Role", "admin")],
    &[("x-role", " admin ")],
    &[("x-role", "\tadmin\t")],
    &[("x-role", "user,admin")],
    &[("x-role", "user, admin")],
    &[("x-role", "user ,admin")],
    &[("x-role", "user,\tadmin")],
    &[("x-role", "admin,user")],
    &[("x-role", "admin ,user")],
    &[("x-role", "admin\t,\tuser")],
    &[("x-role", ",admin")],
    &[("x-role", ",,admin,,")],
    &[("x-role", "admin,")],
    &[("x-role", "a,b,c,d,e,admin,f")],
    &[("x-role", "user,\r\n admin")],
    &[("x-role", "\r\n admin")],
    &[("x-role", "us\u{e9}r,admin")],
    &[("x-role", "user"), ("x-role", "admin")],
    &[("x-role", "admin"), ("x-role", "user")],
    &[("x-role", "user"), ("X-Role", "admin"), ("X-ROLE", "user")],
    &[("x-role", ""), ("x-role", "admin")],
    &[("x-role", "user"), ("x-role", "guest, admin")],
    &[("x_role", "admin")],
    &[("X_Role", "admin")],
    &[("x-role", "user"), ("x_role", "admin")],
    &[("x-role ", "admin")],
    &[(" x-role", "admin")],
    &[("x-role\t", "admin")],
    &[("x-role\0", "admin")],
    &[("x-role", "admin\0")],
    &[("x-role", "\u{b}admin")],
    &[("connection", "x-role"), ("x-role", "admin")],
];

/// Everything here.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for target in TARGETS {
        cases.extend(absolute(target));
        cases.extend(hosts(target));
        cases.extend(methods(target));
        for (class, name, value) in STEERING {
            cases.push(Case::get(class, target).header(name, value));
            cases.push(Case::get(class, target).header(name, value).header(name, value));
        }
    }
    for target in ["/open", "/public", "/public/x", "/"] {
        for lines in ROLES {
            let role = |case: Case| lines.iter().fold(case, |case, (name, value)| case.header(name, value));
            cases.push(role(Case::get("role header", target)));
            cases.push(role(Case::get("role header", target).method("POST")));
        }
    }
    cases
}

fn absolute(target: &str) -> Vec<Case> {
    let authorities = [
        "http://{host}",
        "http://{host}:8080",
        "http://{host}.",
        "HTTP://{host}",
        "https://{host}",
        "http://user@{host}",
        "http://public",
        "http://127.0.0.1:8080",
        "http://{host}/public/..",
        "http://",
        "http:/",
        "//{host}",
        "ftp://{host}",
    ];
    let one = |authority: &&str| {
        [
            Case::get("absolute form", format!("{authority}{target}")),
            Case::get("absolute form", format!("{authority}{target}")).hosts(&["public"]),
            Case::get("absolute form", format!("{authority}{target};x")),
            Case::get("absolute form", format!("{authority}{target}?http://public/")),
        ]
    };
    authorities.iter().flat_map(one).collect()
}

fn hosts(target: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = HOSTS
        .iter()
        .map(|host| Case::get("host", target).hosts(&[host]))
        .collect();
    let several: [&[&str]; 4] = [
        &["{host}", "public"],
        &["public", "{host}"],
        &["{host}", "{host}"],
        &["", "{host}"],
    ];
    cases.extend(several.map(|hosts| Case::get("duplicate host", target).hosts(hosts)));
    cases.push(Case::get("host", target).hosts(&[]));
    cases.push(Case {
        version: "HTTP/1.0",
        ..Case::get("version", target).hosts(&[])
    });
    for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "] {
        cases.push(Case {
            version,
            ..Case::get("version", target)
        });
    }
    cases
}

fn methods(target: &str) -> Vec<Case> {
    let methods = [
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "get",
        "Get",
        "GETX",
        "G",
        "PRI",
        "GET ",
        "GET\t",
        " GET",
        "GET /public",
        "GET\0",
        "",
    ];
    methods
        .iter()
        .map(|method| Case::get("method", target).method(method))
        .collect()
}
