//! Faults: one ECDS filter a slot. Its name reaches the access log as filter metadata; with an end it carries a TTL, so that
//! it ends also when the control plane is gone.

use std::sync::Arc;

use xds::{Kind, Resource};

use crate::envoy::api::{fault, http_fault};
use crate::envoy::carrier;
use crate::envoy::common::{duration, extension, per_million, text_struct};
use crate::model::{Fault, FaultEffect};
use crate::names::ExtensionName;

use http_fault::fault_abort::ErrorType;

/// What one slot depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotInput {
    /// The workload port.
    pub(crate) port: u16,
    /// The slot.
    pub(crate) slot: u8,
    /// What sits in it.
    pub(crate) fault: Option<Arc<Fault>>,
    /// The trust domain.
    pub(crate) trust_domain: Arc<str>,
}

/// An empty slot.
pub(crate) fn empty(port: u16, slot: u8) -> SlotInput {
    SlotInput {
        port,
        slot,
        fault: None,
        trust_domain: "".into(),
    }
}

/// Compiles the filter of a slot.
pub(crate) fn slot(input: &SlotInput) -> Resource {
    let name = ExtensionName::Fault(input.port, input.slot).to_string();
    let filter = input
        .fault
        .as_ref()
        .map(|fault| filter(fault, &input.trust_domain))
        .unwrap_or_default();
    let resource = Resource::new(Kind::ExtensionConfig, name.clone(), &extension(&name, &filter));
    match input.fault.as_ref().and_then(|fault| fault.until) {
        Some(until) => resource.with_expiry(until),
        None => resource,
    }
}

fn filter(injected: &Fault, trust_domain: &str) -> http_fault::HttpFault {
    let percentage = Some(per_million(injected.per_million));
    let abort = |error| http_fault::FaultAbort {
        percentage,
        error_type: Some(error),
        ..Default::default()
    };
    let (delay, abort) = match injected.effect {
        FaultEffect::Delay(time) => {
            let fixed = fault::fault_delay::FaultDelaySecifier::FixedDelay(duration(time));
            (
                Some(fault::FaultDelay {
                    percentage,
                    fault_delay_secifier: Some(fixed),
                }),
                None,
            )
        }
        FaultEffect::AbortHttp(status) => (None, Some(abort(ErrorType::HttpStatus(status.into())))),
        FaultEffect::AbortGrpc(status) => (None, Some(abort(ErrorType::GrpcStatus(status)))),
    };
    http_fault::HttpFault {
        delay,
        abort,
        headers: carrier::matchers(injected.source.as_ref(), injected.http.as_ref(), trust_domain),
        max_active_faults: injected.max_active,
        filter_metadata: Some(text_struct([("name", &*injected.origin.to_string())])),
        ..Default::default()
    }
}
