//! What streams tell the engine.
//!
//! Streams never wait for the engine. Events are merged by stream instead of queued: of several "in sync" the newest stays, of
//! several refusals of one resource the newest, and a stream that came and went unnoticed is not told of at all. So the memory
//! is bounded by what is open, however slow the reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::identity::ProxyId;
use crate::kind::Kind;
use crate::resource::{Name, Reference, Version};
use crate::session::SessionEvent;

/// More different refusals of one stream than this are not kept for a slow reader.
const MAX_UNREAD: usize = 1000;

/// Something that happened on a stream. `stream` is unique in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyEvent {
    /// A proxy proved who it is; it waits for its snapshot.
    Connected {
        /// The proxy.
        proxy: ProxyId,
        /// The stream.
        stream: u64,
    },
    /// Everything up to this revision is acknowledged, except what is refused.
    Synced {
        /// The proxy.
        proxy: ProxyId,
        /// The stream.
        stream: u64,
        /// The newest revision that the proxy has.
        revision: u64,
        /// What it refuses of it; it keeps what it had. Empty once nothing is refused any more.
        refused: Vec<Reference>,
    },
    /// The proxy refused resources.
    Nacked {
        /// The proxy.
        proxy: ProxyId,
        /// The stream.
        stream: u64,
        /// The kind of resources.
        kind: Kind,
        /// Their names.
        names: Vec<Name>,
        /// Their versions, in the same order.
        versions: Vec<Version>,
        /// Envoy's words.
        message: String,
    },
    /// The stream ended.
    Gone {
        /// The proxy.
        proxy: ProxyId,
        /// The stream.
        stream: u64,
    },
}

/// What is not read yet of one stream.
#[derive(Debug)]
struct Unread {
    proxy: ProxyId,
    connected: bool,
    /// In order: an older "in sync" must not be read after a newer refusal.
    told: VecDeque<SessionEvent>,
    gone: bool,
}

#[derive(Debug, Default)]
struct Board {
    streams: BTreeMap<u64, Unread>,
    /// Streams with something unread, the longest waiting first.
    order: VecDeque<u64>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    news: Notify,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing side; closes the reading side when dropped.
#[derive(Debug)]
pub(super) struct EventSink(Arc<Shared>);

/// The reading side.
#[derive(Debug)]
pub struct ProxyEvents(Arc<Shared>);

pub(super) fn channel() -> (EventSink, ProxyEvents) {
    let shared = Arc::new(Shared::default());
    (EventSink(Arc::clone(&shared)), ProxyEvents(shared))
}

impl EventSink {
    pub(super) fn connected(&self, proxy: &ProxyId, stream: u64) {
        self.change(proxy, stream, |unread| unread.connected = true);
    }

    pub(super) fn tell(&self, proxy: &ProxyId, stream: u64, event: SessionEvent) {
        self.change(proxy, stream, |unread| {
            unread.told.retain(|older| !replaces(&event, older));
            if unread.told.len() < MAX_UNREAD || matches!(event, SessionEvent::Synced { .. }) {
                unread.told.push_back(event);
            }
        });
    }

    pub(super) fn gone(&self, proxy: &ProxyId, stream: u64) {
        let mut board = self.0.board();
        if board.streams.get(&stream).is_some_and(|unread| unread.connected) {
            board.streams.remove(&stream);
            board.order.retain(|other| *other != stream);
            return;
        }
        drop(board);
        self.change(proxy, stream, |unread| unread.gone = true);
    }

    fn change(&self, proxy: &ProxyId, stream: u64, change: impl FnOnce(&mut Unread)) {
        let mut board = self.0.board();
        let Board { streams, order, .. } = &mut *board;
        let unread = streams.entry(stream).or_insert_with(|| {
            order.push_back(stream);
            Unread {
                proxy: proxy.clone(),
                connected: false,
                told: VecDeque::new(),
                gone: false,
            }
        });
        change(unread);
        drop(board);
        self.0.news.notify_one();
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        self.0.board().closed = true;
        self.0.news.notify_one();
    }
}

impl ProxyEvents {
    /// The next event; nothing once the server is gone. Can be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<ProxyEvent> {
        loop {
            {
                let mut board = self.0.board();
                if let Some(event) = board.next() {
                    return Some(event);
                }
                if board.closed {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<ProxyEvent> {
        self.0.board().next()
    }
}

impl Board {
    fn next(&mut self) -> Option<ProxyEvent> {
        while let Some(stream) = self.order.front().copied() {
            if let Some(event) = self.streams.get_mut(&stream).and_then(|unread| unread.next(stream)) {
                return Some(event);
            }
            self.streams.remove(&stream);
            self.order.pop_front();
        }
        None
    }
}

impl Unread {
    fn next(&mut self, stream: u64) -> Option<ProxyEvent> {
        let proxy = self.proxy.clone();
        if std::mem::take(&mut self.connected) {
            return Some(ProxyEvent::Connected { proxy, stream });
        }
        match self.told.pop_front() {
            Some(SessionEvent::Synced { revision, refused }) => Some(ProxyEvent::Synced {
                proxy,
                stream,
                revision,
                refused,
            }),
            Some(SessionEvent::Nacked {
                kind,
                names,
                versions,
                message,
            }) => Some(ProxyEvent::Nacked {
                proxy,
                stream,
                kind,
                names,
                versions,
                message,
            }),
            None => std::mem::take(&mut self.gone).then_some(ProxyEvent::Gone { proxy, stream }),
        }
    }
}

fn replaces(newer: &SessionEvent, older: &SessionEvent) -> bool {
    match (newer, older) {
        (SessionEvent::Synced { .. }, SessionEvent::Synced { .. }) => true,
        (
            SessionEvent::Nacked { kind, names, .. },
            SessionEvent::Nacked {
                kind: older,
                names: same,
                ..
            },
        ) => kind == older && names == same,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(revision: u64) -> SessionEvent {
        SessionEvent::Synced {
            revision,
            refused: Vec::new(),
        }
    }

    fn nacked(message: &str) -> SessionEvent {
        let (names, versions) = (vec!["r".into()], vec!["1".into()]);
        SessionEvent::Nacked {
            kind: Kind::Route,
            names,
            versions,
            message: message.into(),
        }
    }

    #[test]
    fn a_slow_reader_reads_the_newest_of_each_stream() {
        let (sink, mut events) = channel();
        let (a, b) = (ProxyId::new("a"), ProxyId::new("b"));
        sink.connected(&a, 1);
        sink.connected(&b, 2);
        for revision in 0..1000 {
            sink.tell(&a, 1, synced(revision));
            sink.tell(&a, 1, nacked(&revision.to_string()));
        }
        let read: Vec<ProxyEvent> = std::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(read.len(), 4);
        assert!(matches!(&read[1], ProxyEvent::Synced { revision: 999, .. }));
        assert!(matches!(&read[2], ProxyEvent::Nacked { message, .. } if message == "999"));
        assert_eq!(read[3], ProxyEvent::Connected { proxy: b, stream: 2 });
    }

    #[test]
    fn a_stream_that_came_and_went_unread_is_not_told_of() {
        let (sink, mut events) = channel();
        let a = ProxyId::new("a");
        sink.connected(&a, 1);
        sink.gone(&a, 1);
        assert_eq!(events.try_recv(), None);
        sink.connected(&a, 2);
        assert!(events.try_recv().is_some());
        sink.gone(&a, 2);
        assert_eq!(events.try_recv(), Some(ProxyEvent::Gone { proxy: a, stream: 2 }));
    }
}
