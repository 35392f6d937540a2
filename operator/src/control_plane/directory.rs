//! The workloads that may have a stream, as the engine's newest model has them.

use std::sync::Arc;

use config::model::Key;
use tokio::sync::watch;

use crate::engine::EngineView;
use crate::identity::{WorkloadDirectory, WorkloadInfo};

/// Reads the engine's model.
#[derive(Clone, Debug)]
pub struct EngineDirectory {
    views: watch::Receiver<Arc<EngineView>>,
}

impl EngineDirectory {
    /// A directory of these views.
    pub fn new(views: watch::Receiver<Arc<EngineView>>) -> Self {
        Self { views }
    }
}

impl WorkloadDirectory for EngineDirectory {
    fn workload(&self, namespace: &str, name: &str) -> Option<WorkloadInfo> {
        let view = self.views.borrow();
        let workload = view.model.workloads.get(&Key::new(namespace, name))?;
        Some(WorkloadInfo { address: workload.address, spiffe_id: workload.identity.to_string() })
    }
}
