//! Every name is parsed back to itself.

use std::fmt;
use std::net::IpAddr;

use super::*;
use crate::model::Key;

fn back<T: fmt::Display + fmt::Debug + PartialEq>(parse: fn(&str) -> Option<T>, names: &[T]) {
    for name in names {
        assert_eq!(parse(&name.to_string()).as_ref(), Some(name), "{name}");
        assert_eq!(parse(&format!("{name}/more")), None, "{name}");
    }
}

#[test]
fn every_name_is_parsed_back() {
    let key = Key::new("shop", "web");
    let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
    let apps = AppProtocol::ALL
        .into_iter()
        .flat_map(|p| [ClusterName::App(p, false), ClusterName::App(p, true)]);
    let mut clusters: Vec<_> = apps.collect();
    clusters.extend([ClusterName::Service(key.clone(), 80), ClusterName::Pod(v6, 80)]);
    clusters.extend([ClusterName::Passthrough, ClusterName::Blackhole]);
    back(ClusterName::parse, &clusters);
    let listeners = [ListenerName::Outbound(v4, 80), ListenerName::Inbound(v6, 1)];
    back(ListenerName::parse, &listeners);
    back(
        ListenerName::parse,
        &[
            ListenerName::OutboundCatchAll,
            ListenerName::InboundCatchAll,
            ListenerName::Ready,
        ],
    );
    back(
        RouteName::parse,
        &[
            RouteName::Service(key.clone(), 80),
            RouteName::Inbound(key.clone(), 8080),
        ],
    );
    back(RouteName::parse, &[RouteName::Pod(v4, 80)]);
    let secrets = [SecretName::Identity, SecretName::Mesh, SecretName::Callers(1)];
    back(SecretName::parse, &secrets);
    back(
        SecretName::parse,
        &[SecretName::Server(key, 80), SecretName::Pod(v6, 80)],
    );
    back(
        ExtensionName::parse,
        &[
            ExtensionName::Limit(1, 2),
            ExtensionName::Fault(3, 0),
            ExtensionName::Revoke(9),
            ExtensionName::RevokePlain(0),
            ExtensionName::Cause(5),
        ],
    );
    back(
        ExtensionName::parse,
        &ShadowPart::ALL.map(|part| ExtensionName::Shadow(0, part)),
    );
}

#[test]
fn strangers_are_not_names_of_ours() {
    for name in [
        "",
        "svc",
        "svc/a/b",
        "svc/a/b/c",
        "svc//b/80",
        "svc/a/b/80@",
        "limit/1/300",
        "in/x/80",
        "x",
    ] {
        assert_eq!(ClusterName::parse(name), None, "{name}");
        assert_eq!(RouteName::parse(name), None, "{name}");
        assert_eq!(ExtensionName::parse(name), None, "{name}");
        assert_eq!(ListenerName::parse(name), None, "{name}");
    }
}

#[test]
fn counters_of_rules_are_read_back() {
    let prefix = StatPrefix::Inbound(8080);
    // A rule's name may hold what separates the others.
    for rule in ["TrafficPermission/shop/a.b/r.allowed", "default/Deny/http"] {
        for outcome in RuleOutcome::ALL {
            let name = format!("http.{prefix}{RULE_STATISTICS}{rule}.{}", outcome.as_str());
            let expected = RuleCounter {
                port: 8080,
                rule,
                outcome,
            };
            assert_eq!(RuleCounter::parse(&name), Some(expected), "{name}");
        }
    }
    for name in [
        "",
        "http.inbound.8080.rbac.denied",
        "http.inbound.8080.rbac.policy..denied",
        "http.inbound.x.rbac.policy.a.denied",
        "http.outbound.a.b.80.rbac.policy.a.denied",
        "http.inbound.8080.rbac.policy.a.rejected",
    ] {
        assert_eq!(RuleCounter::parse(name), None, "{name}");
    }
}
