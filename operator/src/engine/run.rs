//! The loop that waits for events, on a thread of its own: compiling is work, and streams must not wait for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use xds::ProxyEvent;

use super::state::State;
use super::view::EngineView;
use super::{EngineInputs, Event, StreamEvents};

/// Changes that arrive this soon after a build belong together.
const BATCH: Duration = Duration::from_millis(5);
/// As many stream events are taken at once.
const MANY: usize = 1024;

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The first compilation failed.
    #[error("the compiler failed on these objects: {0}; this is a defect of tulle, please report it with the objects")]
    Defect(String),
    /// No thread.
    #[error("cannot start the engine: {0}; free some memory or raise the limit of threads")]
    Thread(#[from] std::io::Error),
}

/// A running engine.
#[derive(Debug)]
pub struct EngineHandle {
    views: watch::Receiver<Arc<EngineView>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EngineHandle {
    /// The views, from the current one on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<EngineView>> {
        self.views.clone()
    }

    /// The current view.
    pub fn view(&self) -> Arc<EngineView> {
        Arc::clone(&self.views.borrow())
    }

    /// Waits until a view satisfies this.
    pub async fn wait_for(&self, mut condition: impl FnMut(&EngineView) -> bool) -> Arc<EngineView> {
        let mut views = self.views.clone();
        match views.wait_for(|view| condition(view)).await {
            Ok(view) => Arc::clone(&view),
            Err(_) => self.view(),
        }
    }

    /// Waits until a source view of this sequence, or a later one, is published.
    pub async fn processed(&self, sequence: u64) -> Arc<EngineView> {
        self.wait_for(|view| view.processed >= sequence).await
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If nobody receives it, the engine has ended already.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Compiles once and starts the loop. Must be called within a tokio runtime.
pub fn start<E: StreamEvents>(inputs: EngineInputs<E>) -> Result<EngineHandle, EngineError> {
    let EngineInputs {
        mut source,
        proxies,
        publisher,
        settings,
    } = inputs;
    let first = Arc::clone(&source.borrow_and_update());
    let state = State::new(settings, publisher, first, SystemTime::now()).map_err(EngineError::Defect)?;
    let (sender, views) = watch::channel(Arc::new(state.view()));
    let (stop, stopped) = oneshot::channel();
    let engine = Engine {
        state,
        source,
        proxies,
        stopped,
        views: sender,
        rest_until: None,
        source_pending: false,
        source_open: true,
    };
    let runtime = Handle::current();
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || runtime.block_on(engine.run()))?;
    Ok(EngineHandle {
        views,
        stop: Some(stop),
        thread: Some(thread),
    })
}

struct Engine<E> {
    state: State,
    source: watch::Receiver<Arc<crate::source::SourceView>>,
    proxies: E,
    stopped: oneshot::Receiver<()>,
    views: watch::Sender<Arc<EngineView>>,
    /// Source changes wait until then, so that they come together.
    rest_until: Option<Instant>,
    source_pending: bool,
    /// The source may end before the engine; proxies are still served then.
    source_open: bool,
}

impl<E: StreamEvents> Engine<E> {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Event::SourceChanged => {
                    let source = Arc::clone(&self.source.borrow_and_update());
                    self.state.source_changed(source, SystemTime::now());
                    self.rest_until = Some(Instant::now() + BATCH);
                }
                Event::Proxy(event) => self.proxy_events(event),
                Event::Tick => self.state.tick(SystemTime::now()),
                Event::Shutdown => return,
            }
            self.views.send_replace(Arc::new(self.state.view()));
            self.state.retire_leaving();
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            let tick = sleep_until(self.state.next_tick());
            let (pending, rest_until) = (self.source_pending, self.rest_until);
            let rested = async move {
                match (pending, rest_until) {
                    (false, _) => std::future::pending().await,
                    (true, None) => {}
                    (true, Some(rest)) => tokio::time::sleep_until(rest.into()).await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut self.stopped => return Event::Shutdown,
                () = rested => {
                    self.source_pending = false;
                    return Event::SourceChanged;
                }
                changed = self.source.changed(), if self.source_open && !pending => match changed {
                    Ok(()) => self.source_pending = true,
                    Err(_) => self.source_open = false,
                },
                Some(event) = self.proxies.recv() => return Event::Proxy(event),
                () = tick => return Event::Tick,
            }
        }
    }

    /// All events that are there already are taken together: a thousand acknowledgements make one view.
    fn proxy_events(&mut self, first: ProxyEvent) {
        self.state.proxy_event(first, SystemTime::now());
        for _ in 0..MANY {
            let Some(event) = self.proxies.try_recv() else { return };
            self.state.proxy_event(event, SystemTime::now());
        }
    }
}

async fn sleep_until(at: Option<SystemTime>) {
    /// The clock of the machine may be set meanwhile, so nothing sleeps longer in one go.
    const LONGEST: Duration = Duration::from_mins(1);
    match at {
        Some(at) => {
            let rest = at.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::time::sleep(rest.min(LONGEST)).await;
        }
        None => std::future::pending().await,
    }
}
