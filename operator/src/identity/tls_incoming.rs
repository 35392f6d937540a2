//! Accepted TLS connections as a stream for tonic's `serve_with_incoming`.
//!
//! Handshakes run beside each other, each with a deadline, so a silent peer holds up nobody; one address gets a share
//! of the slots only, so it cannot take them all. A failed handshake is a log line, never an end of the stream. There is
//! no way to accept a plaintext connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How many handshakes may be under way, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct IncomingLimits {
    /// All together.
    pub handshakes: usize,
    /// From one address.
    pub handshakes_per_address: usize,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
}

impl Default for IncomingLimits {
    fn default() -> Self {
        Self {
            handshakes: 1024,
            handshakes_per_address: 64,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// A TLS connection that knows its peer; `tonic::Request::remote_addr` shows it.
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    info: TcpConnectInfo,
}

impl Connected for TlsConnection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Starts accepting on `listener`; ends when the returned stream is dropped.
pub fn tls_incoming(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    limits: IncomingLimits,
) -> ReceiverStream<io::Result<TlsConnection>> {
    let (ready, connections) = mpsc::channel(32);
    tokio::spawn(accept_all(listener, TlsAcceptor::from(config), limits, ready));
    ReceiverStream::new(connections)
}

type Ready = mpsc::Sender<io::Result<TlsConnection>>;

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, limits: IncomingLimits, ready: Ready) {
    let slots = Arc::new(Semaphore::new(limits.handshakes));
    let per_address = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = ready.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Some(share) = Share::take(&per_address, peer.ip(), limits.handshakes_per_address) else {
                    tracing::debug!(%peer, "connection closed: too many handshakes under way from this address");
                    continue;
                };
                let (acceptor, ready) = (acceptor.clone(), ready.clone());
                tokio::spawn(handshake(
                    socket,
                    peer,
                    acceptor,
                    limits.handshake_timeout,
                    (slot, share),
                    ready,
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the xDS port");
                // Out of file descriptors, usually: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handshake(
    socket: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    timeout: Duration,
    slots: (OwnedSemaphorePermit, Share),
    ready: Ready,
) {
    if let Err(error) = tune(&socket) {
        tracing::debug!(%peer, %error, "cannot set socket options");
    }
    let info = TcpConnectInfo {
        local_addr: socket.local_addr().ok(),
        remote_addr: Some(peer),
    };
    match tokio::time::timeout(timeout, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            // The handshake is over; waiting for the server to take the connection is not its business.
            drop(slots);
            drop(ready.send(Ok(TlsConnection { stream, info })).await);
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed on the xDS port"),
        Err(_) => tracing::debug!(%peer, "TLS handshake timed out on the xDS port"),
    }
}

/// Small pushes go out at once; dead peers are found below HTTP/2 too.
fn tune(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_mins(1))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(socket, 4)?;
    Ok(())
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of the slots of an address, given back on drop.
struct Share {
    counts: Counts,
    address: IpAddr,
}

impl Share {
    fn take(counts: &Counts, address: IpAddr, limit: usize) -> Option<Self> {
        let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Self {
            counts: Arc::clone(counts),
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}
