//! The engine: one task that turns changes into published snapshots and keeps the books on proxies.
//!
//! It alone owns the compiler. It sleeps until an [`Event`]; the first one is worked on at once, those that arrive while it
//! works are taken together. It never talks to the network: the xDS server reads what it publishes.

mod changes;
mod guard;
mod ledger;
mod publish;
mod run;
mod state;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use config::Settings;
use tokio::sync::watch;
use xds::{ProxyEvent, ProxyEvents, Publisher};

use crate::source::SourceView;

pub use run::{EngineError, EngineHandle, start};
pub use view::{Counters, EngineView, ProxyView, Rejection};

/// Everything that can wake the engine.
#[derive(Debug)]
pub enum Event {
    /// The source has another view. Carries nothing: the newest one is read.
    SourceChanged,
    /// Something happened on a proxy's stream.
    Proxy(ProxyEvent),
    /// A fault is over.
    Tick,
    /// The control plane ends.
    Shutdown,
}

/// Where events of streams come from: the xDS server, or a test that plays streams.
pub trait StreamEvents: Send + 'static {
    /// The next event; nothing once there will be none. Can be cancelled without losing one.
    fn recv(&mut self) -> impl Future<Output = Option<ProxyEvent>> + Send;
    /// The next event, if there is one.
    fn try_recv(&mut self) -> Option<ProxyEvent>;
}

impl StreamEvents for ProxyEvents {
    fn recv(&mut self) -> impl Future<Output = Option<ProxyEvent>> + Send {
        Self::recv(self)
    }

    fn try_recv(&mut self) -> Option<ProxyEvent> {
        Self::try_recv(self)
    }
}

/// What the engine works with.
pub struct EngineInputs<E> {
    /// What to compile.
    pub source: watch::Receiver<Arc<SourceView>>,
    /// What happens on streams.
    pub proxies: E,
    /// Where snapshots go.
    pub publisher: Publisher,
    /// What the operator was started with.
    pub settings: Settings,
}
