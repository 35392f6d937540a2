//! Where a stream comes from.
//!
//! Whoever accepts connections says so: tonic hands the `ConnectInfo` of the connection's type to each request. Plain TCP works
//! by itself; for a TLS stream wrap it in [`WithPeer`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The address that a connection comes from, as the acceptor saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A connection that knows where it comes from: `WithPeer::new(tls_stream, address)` in the stream of incoming connections.
#[derive(Debug)]
pub struct WithPeer<T> {
    io: T,
    peer: PeerAddr,
}

impl<T> WithPeer<T> {
    /// Notes the address of a connection.
    pub fn new(io: T, peer: SocketAddr) -> Self {
        Self {
            io,
            peer: PeerAddr(peer),
        }
    }
}

impl<T> Connected for WithPeer<T> {
    type ConnectInfo = PeerAddr;

    fn connect_info(&self) -> PeerAddr {
        self.peer
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WithPeer<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithPeer<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The address of the connection that a request came over.
pub(super) fn peer_of<T>(request: &tonic::Request<T>) -> Option<SocketAddr> {
    let noted = request.extensions().get::<PeerAddr>().map(|peer| peer.0);
    noted.or_else(|| {
        request
            .extensions()
            .get::<TcpConnectInfo>()
            .and_then(TcpConnectInfo::remote_addr)
    })
}
