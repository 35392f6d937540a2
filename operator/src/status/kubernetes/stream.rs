//! The stream from a replica to the one that writes status: framed JSON over mutual TLS.
//!
//! The sender always works on its newest view: while a slow connection takes a message, views are skipped. The receiver drops
//! what a replica reported as soon as its connection ends or falls silent; its proxies then count as not connected.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::super::{Beside, Report, StatusHandle};
use super::tls;
use super::wire::{Assembly, Message, changes};
use crate::identity::{CertificateAuthority, TlsConnection};

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(3);
/// How often something is said.
const BEAT: Duration = Duration::from_secs(2);
/// Who says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(7);
/// Changes that come together are sent together.
const REST: Duration = Duration::from_millis(50);
/// Of one message.
const LARGEST: usize = 4 << 20;
/// More replicas than that nobody has.
const MOST_REPLICAS: usize = 32;

fn framed<S: AsyncRead + AsyncWrite>(connection: S) -> Framed<S, LengthDelimitedCodec> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(LARGEST).new_codec();
    Framed::new(connection, codec)
}

fn encode(message: &Message) -> io::Result<Bytes> {
    Ok(serde_json::to_vec(message)?.into())
}

/// Reports to the replica at this address until the connection ends, which is an error.
pub(super) async fn report(
    to: SocketAddr,
    name: &str,
    ca: &CertificateAuthority,
    status: &StatusHandle,
) -> io::Result<Infallible> {
    let config = tls::client(ca, SystemTime::now()).map_err(io::Error::other)?;
    let server = ServerName::try_from(tls::NAME).map_err(io::Error::other)?;
    let connect = async {
        let connection = TcpStream::connect(to).await?;
        connection.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config)).connect(server, connection).await
    };
    let (mut sink, mut stream) = framed(timeout(CONNECT, connect).await??).split();
    sink.send(encode(&Message::Hello(name.to_owned()))?).await?;
    let (mut views, _) = status.own();
    let mut sent = Report::default();
    loop {
        views.mark_unchanged();
        let (_, certificates) = status.own();
        let report = Report::of(&views.borrow().clone(), &certificates);
        let parts = changes(&sent, &report);
        if parts.is_empty() {
            sink.send(encode(&Message::Beat)?).await?;
        }
        for part in parts {
            sink.feed(encode(&Message::Change(part))?).await?;
        }
        sink.flush().await?;
        sent = report;
        let change = async {
            if views.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(REST).await;
        };
        tokio::select! {
            _ = timeout(BEAT, change) => {}
            // Nothing is ever said in this direction: this is the end.
            _ = stream.next() => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// The reports of others, where the status is computed of them.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    beside: watch::Sender<Arc<Beside>>,
    /// Which connection speaks for a replica: the newest.
    speaker: Arc<Mutex<BTreeMap<Arc<str>, u64>>>,
    connections: Arc<AtomicU64>,
}

impl Reports {
    pub(super) fn new(status: &StatusHandle) -> Self {
        Self {
            beside: status.beside().clone(),
            speaker: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// A connection begins to speak for a replica.
    fn begin(&self, replica: &Arc<str>) -> io::Result<Speaker<'_>> {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner);
        if speaker.len() >= MOST_REPLICAS && !speaker.contains_key(replica) {
            return Err(io::Error::other("too many replicas report"));
        }
        speaker.insert(Arc::clone(replica), connection);
        Ok(Speaker {
            reports: self,
            replica: Arc::clone(replica),
            connection,
        })
    }

    /// How many replicas report.
    pub(super) fn count(&self) -> usize {
        self.beside.borrow().reports.len()
    }
}

/// One connection's part of the reports; what it said is forgotten with it.
struct Speaker<'a> {
    reports: &'a Reports,
    replica: Arc<str>,
    connection: u64,
}

impl Speaker<'_> {
    /// Does something for the replica if this connection still speaks for it. Under the lock: an older connection must not
    /// take away what a newer one said.
    fn speak(&self, change: impl FnOnce(&mut Beside)) -> bool {
        let speaker = self.reports.speaker.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks = speaker.get(&self.replica) == Some(&self.connection);
        if speaks {
            self.reports.beside.send_modify(|beside| change(Arc::make_mut(beside)));
        }
        speaks
    }
}

impl Drop for Speaker<'_> {
    fn drop(&mut self) {
        if self.speak(|beside| drop(beside.reports.remove(&self.replica))) {
            let mut speaker = self.reports.speaker.lock().unwrap_or_else(PoisonError::into_inner);
            if speaker.get(&self.replica) == Some(&self.connection) {
                speaker.remove(&self.replica);
            }
        }
    }
}

/// Takes reports while `leading`; connections that come otherwise are closed, so that their senders look for the leader again.
pub(super) async fn serve(
    mut connections: ReceiverStream<io::Result<TlsConnection>>,
    reports: Reports,
    leading: watch::Receiver<bool>,
) {
    while let Some(connection) = connections.next().await {
        let (Ok(connection), true) = (connection, *leading.borrow()) else {
            continue;
        };
        let (reports, mut leading) = (reports.clone(), leading.clone());
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = listen(connection, &reports) => ended,
                _ = leading.wait_for(|leading| !leading) => return,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a replica reports no more");
            }
        });
    }
}

/// Takes the reports of one replica until they end.
async fn listen<S: AsyncRead + AsyncWrite + Unpin>(connection: S, reports: &Reports) -> io::Result<()> {
    let mut frames = framed(connection);
    let Some(Message::Hello(name)) = next(&mut frames).await? else {
        return Err(io::Error::other("the first message is not a name"));
    };
    let speaker = reports.begin(&name.into())?;
    let mut assembly = Assembly::default();
    while let Some(message) = next(&mut frames).await? {
        let Message::Change(change) = message else { continue };
        let Some(report) = assembly.take(change).map_err(io::Error::other)? else {
            continue;
        };
        let replica = Arc::clone(&speaker.replica);
        if !speaker.speak(|beside| drop(beside.reports.insert(replica, report))) {
            return Ok(());
        }
    }
    Ok(())
}

async fn next<S>(frames: &mut Framed<S, LengthDelimitedCodec>) -> io::Result<Option<Message>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = timeout(SILENCE, frames.next()).await?.transpose()?;
    Ok(frame.map(|frame| serde_json::from_slice(&frame)).transpose()?)
}
