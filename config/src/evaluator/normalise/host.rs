//! Hosts without port and trailing dot. Their case stays (measured); nothing here is decided by a host.

/// The host, or why it is refused.
pub(super) fn normalised(authority: &str) -> Result<String, &'static str> {
    let ordinary = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'\\');
    if !authority.bytes().all(ordinary) {
        return Err("the host contains a character that no host has");
    }
    let (host, port) = split(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    // What follows the colon is a port only if it is a number.
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    Ok(match port {
        Some(port) if !is_port(port) => format!("{host}:{port}"),
        _ => host.to_owned(),
    })
}

/// The host and what follows its last colon; colons within brackets belong to an IPv6 address.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
