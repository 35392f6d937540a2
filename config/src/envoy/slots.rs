//! The HTTP filters of an inbound port, in their fixed order: shadow, blame, deny, allow, limits, faults, router.
//!
//! All of them are there from the start and never change: permissions come by RDS, limits and faults by ECDS. Until a route
//! configuration has arrived the allow filter denies everything.

use super::api::{any, core, ext, hcm, http_fault, http_rbac, local_ratelimit, rbac};
use super::common::discovered;
use crate::names::ExtensionName;

use hcm::http_filter::ConfigType;

/// How many `RateLimit` objects a port can hold.
pub(crate) const LIMIT_SLOTS: u8 = 8;
/// How many faults a port can hold.
pub(crate) const FAULT_SLOTS: u8 = 4;

/// The filter that begins the verdict of a candidate policy: its Deny rules. The deny and the allow filter go on with it.
pub(crate) const SHADOW: &str = "tulle.rbac.shadow";
/// The filter that says beforehand which enforced Deny rule will deny, for the denial header.
pub(crate) const BLAME: &str = "tulle.rbac.blame";
/// The filter for Deny rules.
pub(crate) const DENY: &str = "tulle.rbac.deny";
/// The filter for Allow rules and the default.
pub(crate) const ALLOW: &str = "tulle.rbac.allow";

/// The limit slots of a port.
pub(crate) fn limits(port: u16) -> impl Iterator<Item = ExtensionName> {
    (0..LIMIT_SLOTS).map(move |slot| ExtensionName::Limit(port, slot))
}

/// The fault slots of a port.
pub(crate) fn faults(port: u16) -> impl Iterator<Item = ExtensionName> {
    (0..FAULT_SLOTS).map(move |slot| ExtensionName::Fault(port, slot))
}

/// The filters of an inbound port.
pub(crate) fn inbound(port: u16) -> Vec<hcm::HttpFilter> {
    // No rules at all let everything pass; an allow list without entries lets nothing pass.
    let nothing = rbac::Rbac {
        action: rbac::rbac::Action::Allow.into(),
        ..Default::default()
    };
    let closed = http_rbac::Rbac {
        rules: Some(nothing),
        ..Default::default()
    };
    let mut filters = vec![
        filter(SHADOW, any(&http_rbac::Rbac::default())),
        filter(BLAME, any(&http_rbac::Rbac::default())),
        filter(DENY, any(&http_rbac::Rbac::default())),
        filter(ALLOW, any(&closed)),
    ];
    filters.extend(limits(port).map(|slot| {
        let type_url = <local_ratelimit::LocalRateLimit as prost::Name>::type_url();
        discovered_filter(slot, discovered(type_url, None))
    }));
    filters.extend(faults(port).map(|slot| {
        // What a fault falls back to when its time is up.
        let none = any(&http_fault::HttpFault::default());
        let type_url = <http_fault::HttpFault as prost::Name>::type_url();
        discovered_filter(slot, discovered(type_url, Some(none)))
    }));
    filters.push(router());
    filters
}

/// The last filter of every chain.
pub(crate) fn router() -> hcm::HttpFilter {
    let router = ext::filters::http::router::v3::Router {
        suppress_envoy_headers: true,
        ..Default::default()
    };
    filter("envoy.filters.http.router", any(&router))
}

fn filter(name: &str, config: prost_types::Any) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn discovered_filter(slot: ExtensionName, source: core::ExtensionConfigSource) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: slot.to_string(),
        config_type: Some(ConfigType::ConfigDiscovery(source)),
        ..Default::default()
    }
}
