//! The layer of one proxy: its inbound side, whom it lets in, what is being cut.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use xds::Resource;

use super::memos::{Memos, Owner};
use super::{World, loopback};
use crate::access::{allowed_identities, allows_plaintext};
use crate::envoy::access_log::LogTo;
use crate::envoy::endpoint::LocalInput;
use crate::envoy::inbound::{CatchAllInput, InboundInput};
use crate::envoy::inbound_route::InboundRoutesInput;
use crate::envoy::listener::Takes;
use crate::envoy::revoke::{RevokeInput, RevokePlainInput};
use crate::envoy::runtime::{Revoked, RuntimeInput};
use crate::envoy::secret::{Peers, ValidationInput};
use crate::envoy::slots;
use crate::model::{InboundPort, Key, MtlsMode, Protocol, Workload};
use crate::names::{AppProtocol, ClusterName, ExtensionName, ListenerName, RouteName, SecretName, ShadowPart};
use crate::placement::{Placement, is_free_port};
use crate::policy::traffic_permission::callers;
use crate::policy::traffic_permission::tcp_cause::CauseInput;
use crate::policy::traffic_permission::tcp_shadow::ShadowInput;
use crate::policy::{fault_injection, rate_limit};

/// The shortest time between pings.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

/// All resources of the layer.
pub(super) fn resources(memos: &mut Memos, world: &World<'_>, workload: &Workload) -> Vec<Arc<Resource>> {
    let group = Key {
        namespace: Arc::clone(&workload.key.namespace),
        name: Arc::clone(&workload.group),
    };
    let owner: Owner = Some(group.clone());
    let mut all = Vec::new();
    let mut revoked = BTreeMap::new();
    for port in workload.ports.values() {
        let Some(entrance) = entrance(world, workload, port) else {
            continue;
        };
        let cluster = entrance.1.clone();
        let input = inbound(world, workload.address, &group, port, entrance);
        all.push(
            memos
                .inbound
                .get(ListenerName::Inbound(workload.address, port.number), input),
        );
        if port.protocol.is_http() {
            all.push(routes(memos, world, cluster, &group, port));
            filters(memos, world, &owner, port, &mut all);
        }
        let cut = admission(memos, world, &owner, port, &mut all);
        revoked.insert(port.number, cut);
    }
    match world.settings.placement {
        Placement::Intercepted => {
            let cut = undeclared(memos, world, workload, &owner, &group, &mut all);
            revoked.insert(workload.undeclared.number, cut);
        }
        Placement::Loopback(block) => all.extend(loopback::resources(memos, world, workload, block)),
    }
    let denial_header = world.model.mesh.denial_header;
    let runtime = RuntimeInput { revoked, denial_header };
    all.push(memos.runtimes.get(owner.clone(), runtime));
    all.push(memos.locals.get(owner, local(world, workload)));
    all
}

/// How a port's listener comes by connections, and where it leads; absent for a port that it cannot have.
fn entrance(world: &World<'_>, workload: &Workload, port: &InboundPort) -> Option<(Takes, ClusterName)> {
    let app = AppProtocol::of(port.protocol);
    match world.settings.placement {
        Placement::Intercepted => Some((Takes::HandedOver, ClusterName::App(app, workload.address.is_ipv6()))),
        Placement::Loopback(block) => (block.holds(workload.address) && is_free_port(port.number))
            .then_some((Takes::Bound, ClusterName::AppPort(app, port.number))),
    }
}

/// What serves the ports that nobody declared. Returns whose connections there are cut.
fn undeclared(
    memos: &mut Memos,
    world: &World<'_>,
    workload: &Workload,
    owner: &Owner,
    group: &Key,
    all: &mut Vec<Arc<Resource>>,
) -> Revoked {
    let undeclared = &workload.undeclared;
    let cluster = ClusterName::App(AppProtocol::Tcp, workload.address.is_ipv6());
    let catch_all = CatchAllInput {
        redirect_port: world.settings.inbound_port,
        undeclared: InboundInput {
            protocol: Protocol::Tcp,
            ..inbound(world, workload.address, group, undeclared, (Takes::HandedOver, cluster))
        },
    };
    all.push(memos.inbound_catch_all.get(owner.clone(), catch_all));
    admission(memos, world, owner, undeclared, all)
}

fn inbound(
    world: &World<'_>,
    address: IpAddr,
    group: &Key,
    port: &InboundPort,
    (takes, application): (Takes, ClusterName),
) -> InboundInput {
    let mesh = &world.model.mesh;
    let tcp = !port.protocol.is_http();
    InboundInput {
        address,
        port: port.number,
        protocol: port.protocol,
        mtls: port.mtls,
        plaintext: tcp && port.mtls == MtlsMode::Permissive && callers::plaintext(&port.permission),
        takes,
        application,
        route: RouteName::Inbound(group.clone(), port.number),
        // Two pings within the time in which a revoked connection must end.
        keepalive: (mesh.revocation_time / 2).max(SHORTEST_KEEPALIVE),
        log: LogTo::of(mesh, world.settings),
    }
}

fn routes(
    memos: &mut Memos,
    world: &World<'_>,
    cluster: ClusterName,
    group: &Key,
    port: &InboundPort,
) -> Arc<Resource> {
    let name = RouteName::Inbound(group.clone(), port.number);
    let input = InboundRoutesInput {
        name: name.clone(),
        cluster,
        trust_domain: Arc::clone(&world.model.mesh.trust_domain),
        permission: Arc::clone(&port.permission),
        limits: Arc::clone(&port.limits),
        refuse_path_parameters: port.refuse_path_parameters,
        denial_header: world.model.mesh.denial_header,
        plaintext: port.mtls == MtlsMode::Permissive,
    };
    memos.inbound_routes.get(name, input)
}

/// The ECDS filters of an HTTP port: every slot, full or empty.
fn filters(memos: &mut Memos, world: &World<'_>, owner: &Owner, port: &InboundPort, all: &mut Vec<Arc<Resource>>) {
    for slot in 0..slots::LIMIT_SLOTS {
        let object = port.limits.slots.get(&slot).cloned();
        let input = rate_limit::envoy::SlotInput {
            port: port.number,
            slot,
            object,
        };
        all.push(
            memos
                .limits
                .get((owner.clone(), ExtensionName::Limit(port.number, slot)), input),
        );
    }
    for slot in 0..slots::FAULT_SLOTS {
        let fault = port.faults.slots.get(&slot).cloned();
        let trust_domain = Arc::clone(&world.model.mesh.trust_domain);
        let input = fault_injection::envoy::SlotInput {
            port: port.number,
            slot,
            fault,
            trust_domain,
        };
        all.push(
            memos
                .faults
                .get((owner.clone(), ExtensionName::Fault(port.number, slot)), input),
        );
    }
}

/// Who may connect, and whose connections can be cut. Returns whose connections are cut: every known identity without
/// access, whenever it lost it, so that no connection outlives its grant by being idle or by a restart of ours.
fn admission(
    memos: &mut Memos,
    world: &World<'_>,
    owner: &Owner,
    port: &InboundPort,
    all: &mut Vec<Arc<Resource>>,
) -> Revoked {
    let model = world.model;
    let allowed = allowed_identities(model, &port.permission);
    // On an HTTP port who is being cut has no entry and may connect anew, to be told 403 with the rule; a TCP port has no
    // connections but of those with access.
    let revoked = Revoked {
        identities: model.identities.difference(&allowed).cloned().collect(),
        // Of a Strict port as well: it may have been Permissive.
        plaintext: !allows_plaintext(port),
    };
    let revoke = RevokeInput {
        port: port.number,
        identities: Arc::new(allowed),
    };
    all.push(
        memos
            .revokes
            .get((owner.clone(), ExtensionName::Revoke(port.number)), revoke),
    );
    if port.mtls == MtlsMode::Permissive {
        let (name, access) = (ExtensionName::RevokePlain(port.number), !revoked.plaintext);
        let plain = RevokePlainInput {
            port: port.number,
            access,
        };
        all.push(memos.plain_revokes.get((owner.clone(), name), plain));
    }
    if !port.protocol.is_http() {
        let name = SecretName::Callers(port.number);
        let input = ValidationInput {
            name: name.clone(),
            trust_bundle: Arc::clone(&world.settings.trust_bundle),
            trust_domain: Arc::clone(&model.mesh.trust_domain),
            peers: Peers::Callers(Arc::clone(&port.permission), Arc::clone(&model.identities)),
        };
        all.push(memos.validations.get((owner.clone(), name), input));
        let name = ExtensionName::Cause(port.number);
        let cause = CauseInput {
            port: port.number,
            // Only the log reads it.
            permission: model.mesh.access_log.then(|| Arc::clone(&port.permission)),
            known: Arc::clone(&model.identities),
            trust_domain: Arc::clone(&model.mesh.trust_domain),
        };
        all.push(memos.causes.get((owner.clone(), name), cause));
        shadows(memos, world, owner, port, all);
    }
    revoked
}

/// The filters of a TCP port that report what Shadow permissions would do, empty where there are none.
fn shadows(memos: &mut Memos, world: &World<'_>, owner: &Owner, port: &InboundPort, all: &mut Vec<Arc<Resource>>) {
    let plain = port.mtls == MtlsMode::Permissive;
    for part in ShadowPart::ALL {
        if part == ShadowPart::Plain && !plain {
            continue;
        }
        let name = ExtensionName::Shadow(port.number, part);
        let input = ShadowInput {
            port: port.number,
            part,
            candidate: port.permission.candidate.clone(),
            trust_domain: Arc::clone(&world.model.mesh.trust_domain),
        };
        all.push(memos.shadows.get((owner.clone(), name), input));
    }
}

/// The replicas of the workload, itself included.
fn local(world: &World<'_>, workload: &Workload) -> LocalInput {
    let same = |other: &&Arc<Workload>| other.key.namespace == workload.key.namespace && other.group == workload.group;
    let replicas = world.model.workloads.values().filter(same);
    let port = |replica: &Workload| {
        replica
            .ports
            .keys()
            .next()
            .copied()
            .unwrap_or(world.settings.inbound_port)
    };
    let mut members: Vec<_> = replicas.map(|replica| (replica.address, port(replica))).collect();
    members.sort_unstable();
    members.dedup();
    LocalInput { members }
}
