//! HTTP/1.1 as bytes: what was generated goes out as it is, and answers are read with `httparse`.
//!
//! One connection for each address and worker is kept as long as the other side keeps it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Outcome, RawRequest, Seen};

/// More headers than any answer has.
const MOST_HEADERS: usize = 64;

/// Open connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Connections(BTreeMap<SocketAddr, Kept>);

/// A connection that stays open between requests.
#[derive(Debug)]
struct Kept {
    stream: TcpStream,
    /// Requests that went over it.
    requests: u32,
    opened: Instant,
}

/// The head of an answer.
struct Head {
    status: u16,
    headers: BTreeMap<String, String>,
    /// Where the body begins.
    body: usize,
}

impl Connections {
    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, address: SocketAddr, request: &RawRequest) -> Outcome {
        let kept = self.0.get(&address);
        let (before, age) = kept.map_or((0, 0), |kept| (kept.requests, kept.opened.elapsed().as_secs()));
        let outcome = match self.exchange(address, request).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed(format!("{error:#}")),
        };
        Outcome { before, age, ..outcome }
    }

    /// Uses a connection no more.
    pub(super) fn forget(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }

    async fn exchange(&mut self, address: SocketAddr, request: &RawRequest) -> Result<Outcome> {
        let Kept {
            mut stream,
            requests,
            opened,
        } = match self.0.remove(&address) {
            Some(kept) => kept,
            None => connect(address).await?,
        };
        stream.write_all(bytes(request).as_bytes()).await.context("write")?;
        let mut received = Vec::with_capacity(2048);
        let head = loop {
            ensure!(more(&mut stream, &mut received).await?, "closed without an answer");
            if let Some(head) = head(&received)? {
                break head;
            }
        };
        let body = if request.method == "HEAD" || head.status == 204 || head.status == 304 {
            Vec::new()
        } else {
            body(&mut stream, &head, &mut received).await?
        };
        if head.headers.get("connection").is_none_or(|value| value != "close") {
            let kept = Kept {
                stream,
                requests: requests + 1,
                opened,
            };
            self.0.insert(address, kept);
        }
        Ok(Outcome {
            status: Some(head.status),
            grpc_status: head.headers.get("grpc-status").and_then(|code| code.parse().ok()),
            seen: seen(&head, &body),
            headers: head.headers,
            ..Outcome::default()
        })
    }
}

async fn connect(address: SocketAddr) -> Result<Kept> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(Kept {
        stream,
        requests: 0,
        opened: Instant::now(),
    })
}

fn bytes(request: &RawRequest) -> String {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        request.method, request.target, request.authority
    );
    for (name, value) in &request.headers {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        text.push_str("content-length: 0\r\n");
    }
    text.push_str("\r\n");
    text
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<bool> {
    Ok(stream.read_buf(received).await.context("read")? > 0)
}

fn head(received: &[u8]) -> Result<Option<Head>> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = Response::new(&mut headers);
    let Status::Complete(body) = response.parse(received).context("no HTTP/1.1 answer")? else {
        return Ok(None);
    };
    let mut named = BTreeMap::<String, String>::new();
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let joined = named.entry(header.name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&value);
    }
    Ok(Some(Head {
        status: response.code.context("no status")?,
        headers: named,
        body,
    }))
}

async fn body(stream: &mut TcpStream, head: &Head, received: &mut Vec<u8>) -> Result<Vec<u8>> {
    if let Some(length) = head.headers.get("content-length") {
        let end = head.body + length.parse::<usize>()?;
        while received.len() < end {
            ensure!(more(stream, received).await?, "closed within the body");
        }
        return Ok(received.get(head.body..end).unwrap_or_default().to_vec());
    }
    ensure!(
        head.headers
            .get("transfer-encoding")
            .is_some_and(|value| value == "chunked"),
        "an answer of unknown length"
    );
    loop {
        if let Some(body) = unchunked(received.get(head.body..).unwrap_or_default())? {
            return Ok(body);
        }
        ensure!(more(stream, received).await?, "closed within the body");
    }
}

/// The body of a chunked answer, once it is whole.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let (begin, size) = match httparse::parse_chunk_size(rest) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => bail!("a chunk without a size"),
        };
        let end = begin + usize::try_from(size)?;
        let Some(after) = rest.get(end + 2..) else {
            return Ok(None);
        };
        body.extend_from_slice(rest.get(begin..end).unwrap_or_default());
        if size == 0 {
            return Ok(Some(body));
        }
        rest = after;
    }
}

/// What the application said, if it was the application that answered.
fn seen(head: &Head, body: &[u8]) -> Option<Seen> {
    head.headers
        .contains_key("x-app")
        .then(|| serde_json::from_slice(body).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{head, unchunked};

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let text = b"HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nx-a: 2\r\n\r\n";
        assert!(head(&text[..30]).unwrap().is_none());
        let read = head(text).unwrap().unwrap();
        assert_eq!((read.status, read.headers["x-a"].as_str()), (403, "1, 2"));
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(
            unchunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap().unwrap(),
            b"abcde"
        );
        assert_eq!(unchunked(b"3\r\nabc\r\n").unwrap(), None);
    }
}
