//! Why a pod is not let in: its field, the reason, and what to do. What `kubectl` prints.

/// A pod that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}; {advice}")]
pub struct Refusal {
    /// The path of the field in the pod.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    pub advice: String,
}

impl Refusal {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
            advice: advice.into(),
        }
    }
}

/// The advice that always works.
pub(super) const OPT_OUT: &str = "or leave the pod out of the mesh with the label mesh.tulle.dev/inject: \"false\"";
