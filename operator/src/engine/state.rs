//! The engine's state and what each event does to it. Synchronous: `run` waits, this works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use config::model::Key;
use config::{Compiler, Model, ObjectRef, Settings};
use xds::{ProxyEvent, ProxyId, Publisher};

use super::changes;
use super::guard::guarded;
use super::ledger::{self, Ledger};
use super::view::{Counters, EngineView};
use crate::source::SourceView;

/// The engine's state.
pub(super) struct State {
    pub(super) compiler: Compiler,
    pub(super) settings: Settings,
    pub(super) publisher: Publisher,
    pub(super) source: Arc<SourceView>,
    pub(super) model: Arc<Model>,
    /// What the compiler took for now: faults that were over then are not in the model's future.
    built_at: SystemTime,
    pub(super) revision: u64,
    pub(super) ledger: Ledger,
    /// Proxies, connected or just connecting, whose streams must end once the view that says why is published.
    leaving: Vec<ProxyId>,
    pub(super) changed_at: Arc<BTreeMap<Arc<ObjectRef>, u64>>,
    pub(super) counters: Counters,
}

impl State {
    /// Compiles the first model; without one there is nothing to stand on, so a defect here is an error.
    pub(super) fn new(
        settings: Settings,
        publisher: Publisher,
        source: Arc<SourceView>,
        now: SystemTime,
    ) -> Result<Self, String> {
        let model = guarded(|| config::build(&source.objects, &settings, now))?;
        let changed_at: BTreeMap<_, _> = model.reports.keys().map(|object| (Arc::clone(object), 1)).collect();
        Ok(Self {
            compiler: Compiler::new(),
            settings,
            publisher,
            source,
            model,
            built_at: now,
            revision: 1,
            ledger: Ledger::default(),
            leaving: Vec::new(),
            changed_at: Arc::new(changed_at),
            counters: Counters {
                builds: 1,
                ..Counters::default()
            },
        })
    }

    /// Takes a new source view over: builds, compares, publishes.
    pub(super) fn source_changed(&mut self, source: Arc<SourceView>, now: SystemTime) {
        let begin = Instant::now();
        self.take_over(source, now);
        self.counters.busy += begin.elapsed();
    }

    fn take_over(&mut self, source: Arc<SourceView>, now: SystemTime) {
        self.counters.builds += 1;
        self.built_at = now;
        let built = guarded(|| config::build(&source.objects, &self.settings, now));
        let model = match built {
            Ok(model) => model,
            Err(panic) => {
                self.defect("the mesh", &panic);
                // What was read is still what status should show; what is published stays as it was.
                self.source = source;
                return;
            }
        };
        self.revision += 1;
        let before = (&*self.model, &*self.source);
        self.changed_at = Arc::new(changes::update(
            &self.changed_at,
            before,
            (&model, &source),
            self.revision,
        ));
        let strangers = changes::strangers(&self.model, &model);
        self.ledger.forget_strangers(&strangers, &model);
        self.leaving
            .extend(strangers.iter().map(|key| ProxyId::new(key.to_string())));
        (self.model, self.source) = (model, source);
        self.publish_all();
    }

    /// Ends the streams of workloads that are gone or are not who they were. To be called after the view is published:
    /// who comes back at once must be judged by the new model.
    pub(super) fn retire_leaving(&mut self) {
        for stranger in self.leaving.drain(..) {
            self.publisher.retire(&stranger);
        }
    }

    /// Time passed: faults end.
    pub(super) fn tick(&mut self, now: SystemTime) {
        let fault_ended = |until: SystemTime| until <= now;
        if self.faults_until().any(fault_ended) {
            self.source_changed(Arc::clone(&self.source), now);
        }
    }

    /// When `tick` has something to do.
    pub(super) fn next_tick(&self) -> Option<SystemTime> {
        self.faults_until().min()
    }

    fn faults_until(&self) -> impl Iterator<Item = SystemTime> {
        let ports = self
            .model
            .workloads
            .values()
            .flat_map(|workload| workload.ports.values());
        ports
            .flat_map(|port| port.faults.slots.values())
            .filter_map(|fault| fault.until)
            .filter(|until| *until > self.built_at)
    }

    /// Something happened on a stream.
    pub(super) fn proxy_event(&mut self, event: ProxyEvent, now: SystemTime) {
        match event {
            ProxyEvent::Connected { proxy, stream } => {
                let Some(key) = key_of(&proxy) else { return };
                self.ledger.connected(&key, &proxy, stream, now);
                self.publish(&key);
            }
            ProxyEvent::Synced {
                proxy,
                stream,
                revision,
                refused,
            } => {
                let Some(key) = key_of(&proxy) else { return };
                self.ledger.synced(&key, stream, revision, &refused);
            }
            ProxyEvent::Nacked {
                proxy,
                stream,
                kind,
                names,
                versions,
                message,
            } => {
                let Some(key) = key_of(&proxy) else { return };
                self.counters.nacks += 1;
                let blame = |kind, name: &str| {
                    let origins = config::origins_of(&self.model, &key, kind, name);
                    origins.into_iter().map(|origin| origin.object).collect()
                };
                let rejections = ledger::rejections(kind, &names, &versions, &message, now, blame);
                // A client may refuse as often as it likes; the log tells it once.
                if self.ledger.nacked(&key, stream, rejections) {
                    tracing::warn!(%proxy, ?kind, ?names, message, "a proxy refused configuration and keeps what it had");
                }
            }
            ProxyEvent::Gone { proxy, stream } => {
                let Some(key) = key_of(&proxy) else { return };
                // Its snapshot is still kept up to date: it must not come back to what was right when it left.
                self.ledger.gone(&key, stream, now);
            }
        }
    }

    /// What others may see.
    pub(super) fn view(&self) -> EngineView {
        EngineView {
            processed: self.source.sequence,
            revision: self.revision,
            source: Arc::clone(&self.source),
            model: Arc::clone(&self.model),
            proxies: self.ledger.views(),
            changed_at: Arc::clone(&self.changed_at),
            counters: self.counters(),
        }
    }

    fn counters(&self) -> Counters {
        let compiler = self.compiler.counts();
        Counters {
            compiled: self.counters.compiled + compiler.compiled,
            reused: self.counters.reused + compiler.reused,
            encoded: self.counters.encoded + compiler.encoded,
            ..self.counters
        }
    }

    /// A panic of the compiler: say so, count it, and begin with empty memos, which may be half-written.
    pub(super) fn defect(&mut self, what: &str, panic: &str) {
        self.counters = Counters {
            failures: self.counters.failures + 1,
            ..self.counters()
        };
        self.compiler = Compiler::new();
        tracing::error!(
            what,
            panic,
            "the compiler failed; everything published stays as it is; please report this"
        );
    }
}

/// The workload of a proxy.
pub(super) fn key_of(proxy: &ProxyId) -> Option<Key> {
    let id = proxy.to_string();
    id.split_once('/').map(|(namespace, name)| Key::new(namespace, name))
}
