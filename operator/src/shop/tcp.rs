//! TCP ports of the application: echo, with or without a greeting that is sent before the caller says a word.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::app::About;

/// Serves one connection.
pub(super) async fn serve(mut stream: TcpStream, greeting: Option<&About>, stop: CancellationToken) -> io::Result<()> {
    if let Some(about) = greeting {
        stream
            .write_all(format!("{} {} ready\n", about.name, about.version).as_bytes())
            .await?;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! { () = stop.cancelled() => break, read = stream.read(&mut buffer) => read? };
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => stream.write_all(bytes).await?,
            _ => break,
        }
    }
    stream.shutdown().await
}
