//! Layers -> snapshot, if they fit together. What does not is a mistake of the compiler: the last good snapshot stays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use xds::{Kind, Layer, Name, Snapshot};

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
    let snapshot = Snapshot { revision: 0, layers };
    repeated(&snapshot)?;
    addresses(&snapshot)?;
    // Certificates are issued for each stream and never enter a snapshot.
    let issued = SecretName::Identity.to_string();
    match snapshot.dangling().into_iter().find(|(_, to)| *to.name != *issued) {
        None => Ok(snapshot),
        Some((from, to)) => Err(AssembleError::Dangling {
            from_kind: from.kind,
            from: from.name,
            to_kind: to.kind,
            to: to.name,
        }),
    }
}

fn repeated(snapshot: &Snapshot) -> Result<(), AssembleError> {
    for kind in Kind::ALL {
        let mut names: Vec<&Name> = snapshot.iter(kind).map(|resource| &resource.name).collect();
        names.sort();
        let twice = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(Arc::clone(a)),
            _ => None,
        });
        if let Some(name) = twice {
            return Err(AssembleError::Repeated { kind, name });
        }
    }
    Ok(())
}

fn addresses(snapshot: &Snapshot) -> Result<(), AssembleError> {
    let mut taken: BTreeMap<(IpAddr, u16), Name> = BTreeMap::new();
    for listener in snapshot.iter(Kind::Listener) {
        let Some(at) = ListenerName::parse(&listener.name).and_then(|name| name.address()) else {
            continue;
        };
        if let Some(first) = taken.insert(at, Arc::clone(&listener.name)) {
            let second = Arc::clone(&listener.name);
            return Err(AssembleError::SameAddress {
                address: at.0,
                port: at.1,
                first,
                second,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xds::{Reference, Resource};

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
