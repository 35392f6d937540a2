//! Where a fact of the model came from: the object, its generation and the rule in it.
//!
//! Origins travel from parse to the compiled resources, so that a rejection by Envoy, a 403 or a counter can name
//! `kind/namespace/name/rule`.

use std::fmt;
use std::sync::Arc;

/// Names one object that a user wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind as users write it, for example `TrafficPermission`.
    pub kind: Arc<str>,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Names an object.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    /// `kind/namespace/name`, or `kind/name` for cluster-scoped kinds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// The object, its generation and the rule in it that a fact came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The rule's name, or its index when it has none; absent for the object as a whole.
    pub rule: Option<Arc<str>>,
}

impl Origin {
    /// The whole object.
    pub fn object(object: &Arc<ObjectRef>) -> Self {
        Self {
            object: Arc::clone(object),
            rule: None,
        }
    }

    /// One rule of the object.
    pub fn rule(object: &Arc<ObjectRef>, rule: &str) -> Self {
        Self {
            object: Arc::clone(object),
            rule: Some(rule.into()),
        }
    }
}

impl fmt::Display for Origin {
    /// `kind/namespace/name/rule`: the name under which Envoy reports it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{}/{rule}", self.object),
            None => write!(f, "{}", self.object),
        }
    }
}
