//! Requests in which a second one hides: two readers that disagree where the first one ends see different requests.

use super::case::Case;

const HIDDEN: &str = "GET /admin/hidden HTTP/1.1\r\nHost: {host}\r\nx-role: admin\r\n\r\n";

/// Header lines that say how long a body is, in ways that readers may read differently.
fn lengths() -> Vec<Vec<(&'static str, String)>> {
    let hidden = HIDDEN.len().to_string();
    let (chunked, length) = ("Transfer-Encoding", "Content-Length");
    let line = |name: &'static str, value: &str| (name, value.to_owned());
    vec![
        vec![line(length, "0")],
        vec![line(length, "0"), line(length, &hidden)],
        vec![line(length, &hidden), line(length, "0")],
        vec![line(length, &format!("0, {hidden}"))],
        vec![line(length, "+0")],
        vec![line(length, "-1")],
        vec![line(length, "0x0")],
        vec![line(length, "")],
        vec![line(length, "0 ")],
        vec![line(length, "00")],
        vec![line("Content-Length ", "0")],
        vec![line("Content_Length", &hidden)],
        vec![line(chunked, "chunked")],
        vec![line(chunked, "chunked"), line(length, &hidden)],
        vec![line(length, &hidden), line(chunked, "chunked")],
        vec![line(chunked, "Chunked")],
        vec![line(chunked, "chunked, identity")],
        vec![line(chunked, "identity, chunked")],
        vec![line(chunked, "identity"), line(length, "0")],
        vec![line(chunked, "xchunked"), line(length, "0")],
        vec![line(chunked, "\tchunked")],
        vec![line(chunked, "chunked"), line(chunked, "identity")],
        vec![line("Transfer-Encoding ", "chunked"), line(length, "0")],
        vec![line("Transfer_Encoding", "chunked"), line(length, "0")],
        vec![line("X-A", "b\r\nContent-Length: 0")],
        vec![line("X-A", "b\nTransfer-Encoding: chunked")],
        vec![line("X-A", "b\rTransfer-Encoding: chunked")],
    ]
}

/// Everything here.
pub(super) fn cases() -> Vec<Case> {
    let bodies = [
        HIDDEN.to_owned(),
        format!("0\r\n\r\n{HIDDEN}"),
        format!("0\n\n{HIDDEN}"),
        format!("1;x=\"\r\n\"\r\na\r\n0\r\n\r\n{HIDDEN}"),
        format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()),
        format!("0\r\nx-role: admin\r\n\r\n{HIDDEN}"),
    ];
    let mut cases = Vec::new();
    for lengths in lengths() {
        for body in &bodies {
            let first = Case::get("framing", "/public").method("POST");
            let mut case = lengths
                .iter()
                .fold(first, |case, (name, value)| case.header(name, value));
            case.body.extend_from_slice(body.as_bytes());
            cases.push(case);
        }
    }
    // A second request after a whole first one is nothing unusual: it must be judged like the first.
    for upgrade in ["h2c", "websocket", "tls/1.0"] {
        let mut case = Case::get("framing", "/public")
            .header("Upgrade", upgrade)
            .header("HTTP2-Settings", "AAMAAABkAAQAAP__");
        case.body.extend_from_slice(HIDDEN.as_bytes());
        cases.push(case);
    }
    cases
}
