//! Bytes out, bytes in: the connection ends with the answer, or after a silence; whole answers are read from what came.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::judge::{Answer, Seen};

/// Who has not answered by then will not.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an answer, for one more.
const SILENCE: Duration = Duration::from_millis(300);

/// Any connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends bytes and reads all answers.
pub(super) async fn exchange(mut stream: impl Stream, bytes: &[u8], head: bool) -> Answer {
    let (mut received, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    // Who closes before all is written may have answered.
    let _ = stream.write_all(bytes).await;
    let mut until = Instant::now() + PATIENCE;
    while let Ok(Ok(count @ 1..)) = timeout_at(until, stream.read(&mut buffer)).await {
        received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let (so_far, last) = answers(&received, head);
        if last {
            break;
        }
        if !so_far.statuses.is_empty() {
            until = Instant::now() + SILENCE;
        }
    }
    answers(&received, head).0
}

/// The whole answers in what was received, and whether the last one says that no other comes.
fn answers(mut rest: &[u8], head: bool) -> (Answer, bool) {
    let (mut all, mut last) = (Answer::default(), false);
    while !last {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = response.parse(rest) else {
            break;
        };
        let body = rest.get(length..).unwrap_or_default();
        let header = |name: &str| {
            let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        let status = response.code.unwrap_or_default();
        let without = head || status < 200 || matches!(status, 204 | 304);
        let parts = if without {
            Some((Vec::new(), body))
        } else {
            split(body, header("content-length"), header("transfer-encoding"))
        };
        let Some((body, after)) = parts else { break };
        if status != 100 {
            all.add(status, header("x-seen").unwrap_or(&body));
        }
        last = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        rest = after;
    }
    (all, last)
}

impl Answer {
    /// Notes one answer.
    pub(super) fn add(&mut self, status: u16, body: &[u8]) {
        self.statuses.push(status);
        match Seen::read(body) {
            Some(seen) => self.seen.push(seen),
            None if (200..300).contains(&status) => self.blind += 1,
            None => {}
        }
    }
}

/// The body and what follows it; absent while it is not whole.
fn split<'a>(body: &'a [u8], length: Option<&[u8]>, encoding: Option<&[u8]>) -> Option<(Vec<u8>, &'a [u8])> {
    if encoding.is_some() {
        return chunks(body);
    }
    let Some(length) = length else {
        return Some((body.to_vec(), &[]));
    };
    let length = std::str::from_utf8(length).ok()?.trim().parse::<usize>().ok()?;
    Some((body.get(..length)?.to_vec(), body.get(length..)?))
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut whole = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            return None;
        };
        let end = start + usize::try_from(size).ok()?;
        whole.extend_from_slice(rest.get(start..end)?);
        rest = rest.get(end..)?.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some((whole, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_answers_are_read_one_by_one() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}\
                      HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1b\r\n{\"path\":\"/a\",\"headers\":{}} \r\n0\r\n\r\n\
                      HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nnot whole";
        let (all, last) = answers(bytes, false);
        assert_eq!((&*all.statuses, last), (&[200, 200, 403][..], false));
        assert_eq!((all.blind, all.seen.len()), (1, 1));
        let (cut, _) = answers(&bytes[..bytes.len() - 1], false);
        assert_eq!(cut.statuses, [200, 200], "the last one is not whole yet");
        let end = b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        assert!(answers(end, false).1, "nothing comes after it");
    }
}
