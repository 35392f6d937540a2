//! One memo for each compiling function, keyed by name; names that repeat between proxies also by their group.

use std::sync::Arc;

use crate::envoy::cluster::{ClusterInput, cluster, direct};
use crate::envoy::endpoint::{EndpointsInput, LocalInput, endpoints, local};
use crate::envoy::fixed_cluster::{AppPortInput, app_port, fixed_cluster};
use crate::envoy::inbound::{self, InboundInput};
use crate::envoy::inbound_route::{InboundRoutesInput, inbound_routes};
use crate::envoy::outbound::{self, OutboundInput};
use crate::envoy::ready::ready;
use crate::envoy::revoke::{RevokeInput, RevokePlainInput, revoke, revoke_plain};
use crate::envoy::route::{RoutesInput, routes};
use crate::envoy::runtime::{RuntimeInput, runtime};
use crate::envoy::secret::{ValidationInput, validation};
use crate::memo::{Counts, Memo};
use crate::model::Key;
use crate::names::{ClusterName, ExtensionName, ListenerName, RouteName, SecretName};
use crate::policy::traffic_permission::tcp_cause::{self, CauseInput};
use crate::policy::traffic_permission::tcp_shadow::{self, ShadowInput};
use crate::policy::{fault_injection, rate_limit};

/// Whose resource it is: a group of replicas, which have mostly equal ones; absent for shared resources.
pub(super) type Owner = Option<Key>;

macro_rules! memos {
    ($($(#[$doc:meta])* $field:ident: $key:ty => $input:ty = $compile:expr;)*) => {
        /// The memory of the compiler.
        pub(super) struct Memos {
            $($(#[$doc])* pub(super) $field: Memo<$key, $input>,)*
        }

        impl Default for Memos {
            fn default() -> Self {
                Self { $($field: Memo::new($compile),)* }
            }
        }

        impl Memos {
            /// Begins a round.
            pub(super) fn sweep(&mut self) {
                $(self.$field.sweep();)*
            }

            /// The sum of all.
            pub(super) fn counts(&self) -> Counts {
                Counts::default() $(+ self.$field.counts())*
            }
        }
    };
}

memos! {
    clusters: ClusterName => ClusterInput = cluster;
    directs: ClusterName => ClusterInput = direct;
    fixed_clusters: ClusterName => ClusterName = fixed_cluster;
    app_ports: (Key, ClusterName) => AppPortInput = app_port;
    endpoints: ClusterName => EndpointsInput = endpoints;
    validations: (Owner, SecretName) => ValidationInput = validation;
    outbound: ListenerName => OutboundInput = outbound::outbound;
    outbound_catch_all: () => outbound::CatchAllInput = outbound::outbound_catch_all;
    ready: () => () = ready;
    routes: (RouteName, Option<Arc<str>>) => RoutesInput = routes;
    inbound: ListenerName => InboundInput = inbound::inbound;
    inbound_catch_all: Owner => inbound::CatchAllInput = inbound::inbound_catch_all;
    inbound_routes: RouteName => InboundRoutesInput = inbound_routes;
    limits: (Owner, ExtensionName) => rate_limit::envoy::SlotInput = rate_limit::envoy::slot;
    faults: (Owner, ExtensionName) => fault_injection::envoy::SlotInput = fault_injection::envoy::slot;
    revokes: (Owner, ExtensionName) => RevokeInput = revoke;
    plain_revokes: (Owner, ExtensionName) => RevokePlainInput = revoke_plain;
    causes: (Owner, ExtensionName) => CauseInput = tcp_cause::filter;
    shadows: (Owner, ExtensionName) => ShadowInput = tcp_shadow::filter;
    runtimes: Owner => RuntimeInput = runtime;
    locals: Owner => LocalInput = local;
}
