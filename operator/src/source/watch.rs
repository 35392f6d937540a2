//! The thread that watches: inotify where there is one, and a slow poll for file systems that tell nothing.
//!
//! It knows which files are under somebody's pen (written to and not closed) and waits for them, so that half-written files
//! are never looked at. It carries no data: it only says when to look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{oneshot, watch};

use super::folder::Hints;
use super::view::{Reader, SourceView};
use super::{SourceError, SourceOptions};

/// Several files saved together are read together.
const QUIET: Duration = Duration::from_millis(3);
/// However busy the folder is, edits are read after this time.
const LONGEST: Duration = Duration::from_millis(30);
/// A file that nobody closes is read when nothing was written for this time.
const ABANDONED: Duration = Duration::from_secs(1);
/// The fallback where events are missing.
const POLL: Duration = Duration::from_secs(2);
/// The poll where there are no events at all.
const POLL_ALONE: Duration = Duration::from_millis(500);

enum Message {
    Event(notify::Result<notify::Event>),
    Rescan(oneshot::Sender<u64>),
    Stop,
}

/// A running file source. Dropping it stops it.
#[derive(Debug)]
pub struct SourceHandle {
    views: watch::Receiver<Arc<SourceView>>,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl SourceHandle {
    /// The views, from the current one on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SourceView>> {
        self.views.clone()
    }

    /// The current view.
    pub fn view(&self) -> Arc<SourceView> {
        Arc::clone(&self.views.borrow())
    }

    /// Reads the folder now, taking each file as it stands, and returns the sequence of the view that shows it.
    pub async fn rescan(&self) -> u64 {
        let (reply, answer) = oneshot::channel();
        drop(self.messages.send(Message::Rescan(reply)));
        answer.await.unwrap_or_else(|_| self.views.borrow().sequence)
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        drop(self.messages.send(Message::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Reads the folder and begins to watch it.
pub fn start(options: &SourceOptions) -> Result<SourceHandle, SourceError> {
    let folder = |source| SourceError::Folder {
        path: options.folder.clone(),
        source,
    };
    let root = std::fs::canonicalize(&options.folder).map_err(folder)?;
    let (messages, inbox) = channel();
    // Watch first, then read: an edit in between is seen twice, not never.
    let watcher = watcher(&root, messages.clone());
    let reader = Reader::open(options)?;
    let (sender, views) = watch::channel(Arc::clone(reader.view()));
    let work = Work {
        reader,
        root,
        views: sender,
        poll: if watcher.is_some() { POLL } else { POLL_ALONE },
        pens: Pens::default(),
    };
    let run = move || {
        let _watcher = watcher;
        work.run(&inbox);
    };
    let thread = std::thread::Builder::new()
        .name("file-source".to_owned())
        .spawn(run)
        .map_err(folder)?;
    Ok(SourceHandle {
        views,
        messages,
        thread: Some(thread),
    })
}

fn watcher(root: &Path, messages: Sender<Message>) -> Option<RecommendedWatcher> {
    let made = notify::recommended_watcher(move |event| drop(messages.send(Message::Event(event))))
        .and_then(|mut watcher| watcher.watch(root, RecursiveMode::Recursive).map(|()| watcher));
    made.inspect_err(|error| tracing::warn!(%error, "no file events here; the folder is polled every half second"))
        .ok()
}

struct Work {
    reader: Reader,
    root: PathBuf,
    views: watch::Sender<Arc<SourceView>>,
    poll: Duration,
    pens: Pens,
}

impl Work {
    fn run(mut self, inbox: &Receiver<Message>) {
        let (mut first_event, mut next_look): (Option<Instant>, Option<Instant>) = (None, None);
        let mut next_poll = Instant::now() + self.poll;
        loop {
            let now = Instant::now();
            let due = next_look.map_or(next_poll, |look| look.min(next_poll));
            match inbox.recv_timeout(due.saturating_duration_since(now)) {
                Ok(Message::Event(event)) => {
                    let now = Instant::now();
                    if self.pens.note(event, &self.root, now) {
                        let latest = *first_event.get_or_insert(now) + LONGEST;
                        next_look = Some((now + QUIET).min(latest));
                    }
                }
                Ok(Message::Rescan(reply)) => {
                    self.look(&Hints {
                        everything: true,
                        ..Hints::default()
                    });
                    // Nobody waits any more if this fails.
                    reply.send(self.reader.view().sequence).ok();
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let hints = self.pens.hints(Instant::now());
                    let again = self.look(&hints);
                    first_event = None;
                    next_look = [again, self.pens.next_abandoned()].into_iter().flatten().min();
                    next_poll = Instant::now() + self.poll;
                }
            }
        }
    }

    fn look(&mut self, hints: &Hints) -> Option<Instant> {
        let seen = self.reader.look(hints, Instant::now());
        let view = self.reader.view();
        if self.views.borrow().sequence != view.sequence {
            for problem in view
                .problems
                .iter()
                .filter(|problem| !self.views.borrow().problems.contains(problem))
            {
                tracing::warn!(served = ?problem.served, "{problem}");
            }
            self.views.send_replace(Arc::clone(view));
        }
        seen.again_at
    }
}

/// Which files somebody has open for writing.
#[derive(Default)]
struct Pens {
    writing: BTreeMap<PathBuf, Instant>,
    finished: std::collections::BTreeSet<PathBuf>,
}

impl Pens {
    /// Takes note of an event and says whether to look.
    fn note(&mut self, event: notify::Result<notify::Event>, root: &Path, now: Instant) -> bool {
        let Ok(event) = event.inspect_err(|error| tracing::warn!(%error, "file events failed; the poll goes on"))
        else {
            return true;
        };
        let paths = event
            .paths
            .iter()
            .filter_map(|path| path.strip_prefix(root).ok())
            .map(Path::to_path_buf);
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => {
                for path in paths {
                    self.writing.remove(&path);
                    self.finished.insert(path);
                }
            }
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) | EventKind::Create(CreateKind::File) => {
                for path in paths {
                    self.finished.remove(&path);
                    self.writing.insert(path, now);
                }
            }
            EventKind::Remove(_) => {
                for path in paths {
                    self.writing.remove(&path);
                }
            }
            // Reading is not a change, least of all our own.
            EventKind::Access(_) => return false,
            _ => {}
        }
        true
    }

    /// What to tell the reader; what was finished is told once.
    fn hints(&mut self, now: Instant) -> Hints {
        self.writing.retain(|path, since| {
            let abandoned = now.duration_since(*since) >= ABANDONED;
            if abandoned {
                self.finished.insert(path.clone());
            }
            !abandoned
        });
        Hints {
            writing: self.writing.keys().cloned().collect(),
            finished: std::mem::take(&mut self.finished),
            everything: false,
        }
    }

    fn next_abandoned(&self) -> Option<Instant> {
        self.writing.values().min().map(|since| *since + ABANDONED)
    }
}
