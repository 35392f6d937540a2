//! TCP connections: what comes before anything is said, and whether what is said comes back.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Outcome;

/// Listens for one line.
pub(super) async fn listen(address: SocketAddr) -> Outcome {
    match TcpStream::connect(address).await {
        Ok(mut stream) => receive(&mut stream, |received| received.ends_with(b"\n")).await,
        Err(error) => refused(&error),
    }
}

/// Says something and waits until it comes back.
pub(super) async fn say(address: SocketAddr, text: &str) -> Outcome {
    let mut stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return refused(&error),
    };
    // Whether it arrives is seen by what comes back.
    drop(stream.write_all(text.as_bytes()).await);
    receive(&mut stream, |received| received.len() >= text.len()).await
}

async fn receive(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> Outcome {
    let (mut received, mut buffer, mut closed) = (Vec::new(), [0; 512], false);
    while !closed && !enough(&received) {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => received.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            _ => closed = true,
        }
    }
    Outcome {
        received: String::from_utf8_lossy(&received).into_owned(),
        closed,
        ..Outcome::default()
    }
}

/// A connection that is not even accepted is as closed as can be.
fn refused(error: &std::io::Error) -> Outcome {
    let closed = matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::ConnectionReset
    );
    Outcome {
        closed,
        error: (!closed).then(|| error.to_string()),
        ..Outcome::default()
    }
}
