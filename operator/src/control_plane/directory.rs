//! The workloads that may have a stream, as the engine's newest model has them.

use std::sync::{Arc, OnceLock};

use config::Model;
use config::model::Key;
use tokio::sync::watch;

use crate::engine::EngineView;
use crate::identity::{WorkloadDirectory, WorkloadInfo};

/// Reads the engine's model. Knows nobody until it is connected to an engine: the engine needs the server's events, the
/// server this directory.
#[derive(Clone, Debug, Default)]
pub struct EngineDirectory {
    views: Arc<OnceLock<watch::Receiver<Arc<EngineView>>>>,
}

impl EngineDirectory {
    /// Begins to read these views; only the first call counts.
    pub fn connect(&self, views: watch::Receiver<Arc<EngineView>>) {
        self.views.get_or_init(|| views);
    }

    /// The newest model, once there is an engine.
    pub fn model(&self) -> Option<Arc<Model>> {
        let view = self.views.get()?.borrow();
        Some(Arc::clone(&view.model))
    }
}

impl WorkloadDirectory for EngineDirectory {
    fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo> {
        let view = self.views.get()?.borrow();
        let workload = view.model.workloads.get(&Key::new(namespace, name))?;
        Some(WorkloadInfo {
            address: workload.address,
            spiffe_id: workload.identity.to_string(),
        })
    }
}
