//! Layers -> snapshot, if they fit together. What does not is a mistake of the compiler: the last good snapshot stays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use xds::{Kind, Layer, Name, Reference, Snapshot};

use crate::model::Key;
use crate::names::{ListenerName, SecretName};

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The proxy's workload is not in the model.
    #[error("workload {0} is not known; create a Workload object or a Pod of that name")]
    UnknownWorkload(Key),
    /// A resource refers to one that is not there.
    #[error("{from_kind:?} {from} refers to {to_kind:?} {to}, which is not there")]
    Dangling {
        /// The kind of the resource that refers.
        from_kind: Kind,
        /// Its name.
        from: Name,
        /// The kind of the missing one.
        to_kind: Kind,
        /// Its name.
        to: Name,
    },
    /// Two layers hold the same name.
    #[error("{kind:?} {name} occurs in two layers")]
    Repeated {
        /// The kind.
        kind: Kind,
        /// The name.
        name: Name,
    },
    /// Two listeners take connections to one address: Envoy would take either, whatever its direction.
    #[error("listeners {first} and {second} have the same address {address}:{port}; give one of them another")]
    SameAddress {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// One listener.
        first: Name,
        /// The other.
        second: Name,
    },
}

/// Checks layers against each other and makes them one snapshot. The revision is the publisher's business.
pub fn assemble(layers: Vec<Arc<Layer>>) -> Result<Snapshot, AssembleError> {
    for (index, layer) in layers.iter().enumerate() {
        fits(layer, layers.get(..index).unwrap_or_default(), &BTreeSet::new())?;
    }
    Ok(Snapshot {
        layers,
        ..Snapshot::default()
    })
}

/// Checks one layer against itself and those below it, which have been checked before: a shared layer is checked once,
/// however many proxies have it. What is hidden from the proxy is not there.
pub fn fits(layer: &Layer, below: &[Arc<Layer>], hidden: &BTreeSet<Reference>) -> Result<(), AssembleError> {
    // Certificates are issued for each stream and never enter a snapshot.
    let issued = SecretName::Identity.to_string();
    let seen = |kind, name: &str| hidden.is_empty() || !hidden.contains(&Reference::new(kind, name));
    let below_holds = |kind, name: &str| below.iter().any(|l| l.get(kind, name).is_some()) && seen(kind, name);
    let holds = |kind, name: &str| layer.get(kind, name).is_some() || below_holds(kind, name);
    for resource in Kind::ALL.into_iter().flat_map(|kind| layer.iter(kind)) {
        if below
            .iter()
            .any(|below| below.get(resource.kind, &resource.name).is_some())
        {
            return Err(AssembleError::Repeated {
                kind: resource.kind,
                name: Arc::clone(&resource.name),
            });
        }
        let missing = resource
            .references
            .iter()
            .find(|to| *to.name != *issued && !holds(to.kind, &to.name));
        if let Some(to) = missing {
            return Err(AssembleError::Dangling {
                from_kind: resource.kind,
                from: Arc::clone(&resource.name),
                to_kind: to.kind,
                to: Arc::clone(&to.name),
            });
        }
    }
    addresses(layer, &holds)
}

/// A name tells its address, so another listener at the same address has one of two names.
fn addresses(layer: &Layer, holds: &impl Fn(Kind, &str) -> bool) -> Result<(), AssembleError> {
    for listener in layer.iter(Kind::Listener) {
        let (address, port, other) = match ListenerName::parse(&listener.name) {
            Some(ListenerName::Inbound(address, port)) => (address, port, ListenerName::Outbound(address, port)),
            Some(ListenerName::Outbound(address, port)) => (address, port, ListenerName::Inbound(address, port)),
            Some(ListenerName::InboundCatchAll | ListenerName::OutboundCatchAll | ListenerName::Ready) | None => {
                continue;
            }
        };
        let second = other.to_string();
        if holds(Kind::Listener, &second) {
            return Err(AssembleError::SameAddress {
                address,
                port,
                first: Arc::clone(&listener.name),
                second: second.into(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xds::Resource;

    fn layer(kind: Kind, names: &[&str], references: &[Reference]) -> Arc<Layer> {
        let message = xds::proto::envoy::config::core::v3::TypedExtensionConfig::default();
        let one = |name: &&str| Arc::new(Resource::new(kind, *name, &message).with_references(references.to_vec()));
        Arc::new(Layer::from_resources(names.iter().map(one)))
    }

    #[test]
    fn one_address_has_one_listener() {
        let layers = vec![
            layer(Kind::Listener, &["out/10.0.0.1/80"], &[]),
            layer(Kind::Listener, &["in/10.0.0.1/80", "inbound"], &[]),
        ];
        assert!(matches!(
            assemble(layers),
            Err(AssembleError::SameAddress { port: 80, .. })
        ));
    }

    #[test]
    fn references_must_lead_somewhere_but_to_the_certificate() {
        let to = |name: &str| [Reference::new(Kind::Secret, name)];
        assert!(assemble(vec![layer(Kind::Listener, &["inbound"], &to("identity"))]).is_ok());
        let error = assemble(vec![layer(Kind::Listener, &["inbound"], &to("mesh"))]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Listener inbound refers to Secret mesh, which is not there"
        );
    }

    #[test]
    fn a_name_occurs_once() {
        let layers = vec![layer(Kind::Secret, &["mesh"], &[]), layer(Kind::Secret, &["mesh"], &[])];
        assert!(matches!(
            assemble(layers),
            Err(AssembleError::Repeated { kind: Kind::Secret, .. })
        ));
    }
}
