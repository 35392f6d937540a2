//! One `FaultInjection` -> one node.
//!
//! A fault does harm, so one that cannot be read is not injected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use crds::conditions::Reason;
use crds::faultinjection::{Fault, FaultInjectionSpec, FaultSide, FaultTrigger};

use crate::diagnostic::Diagnostic;
use crate::model::{FaultEffect, HttpMatch};
use crate::parse::findings::{Findings, Part};
use crate::parse::source::SourceNode;
use crate::parse::target::{Target, targets};
use crate::parse::{report_own_unknown, report_unknown, value};
use crate::policy::rate_limit::request_match;
use crate::policy::{Head, rule_name};

/// gRPC's status codes by name; the place is the number. OK is none that aborts.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What is known of a fault that is injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) sources: Option<Vec<SourceNode>>,
    pub(crate) http: Option<Vec<HttpMatch>>,
    pub(crate) per_million: u32,
    pub(crate) effect: FaultEffect,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryNode {
    pub(crate) name: Arc<str>,
    /// Absent if it failed.
    pub(crate) injected: Option<Injected>,
}

/// A `FaultInjection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultNode {
    pub(crate) head: Head,
    pub(crate) targets: Vec<Target>,
    /// When it ends; absent means never.
    pub(crate) until: Option<SystemTime>,
    /// Its time is over.
    pub(crate) expired: bool,
    pub(crate) max_active: Option<u32>,
    pub(crate) faults: Vec<EntryNode>,
}

/// Parses a `FaultInjection` as of `now`.
pub(crate) fn parse(fault: &crds::FaultInjection, now: SystemTime) -> (FaultNode, Vec<Diagnostic>) {
    let head = Head::new("FaultInjection", &fault.metadata);
    let mut findings = Findings::new(&head.object);
    let spec = &fault.spec;
    let targets = targets(spec.target_refs.as_ref(), &head.object.namespace, &mut findings);
    let (until, usable) = whole(spec, &mut findings);
    let expired = until.is_some_and(|until| until <= now);
    if expired {
        findings.warning(
            "spec.until",
            Reason::Expired,
            "its time is over, so nothing is injected; set a later time, or remove the object",
        );
    }
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for (index, one) in spec.faults.iter().enumerate() {
        let (name, name_failed) = rule_name(Some(&one.name), index, "faults", &mut names, &mut findings);
        let injected = entry(one, &format!("spec.faults[{index}]"), &mut findings);
        faults.push(EntryNode {
            name,
            injected: injected.filter(|_| usable && !name_failed),
        });
    }
    findings.in_object();
    (
        FaultNode {
            head,
            targets,
            until,
            expired,
            max_active: spec.max_active,
            faults,
        },
        findings.into_inner(),
    )
}

/// What holds for all faults of the object: when it ends, and whether anything may be injected at all.
fn whole(spec: &FaultInjectionSpec, findings: &mut Findings) -> (Option<SystemTime>, bool) {
    let before = findings.len();
    report_own_unknown(&spec.unknown, "spec", findings);
    if spec.at == FaultSide::Source {
        findings.error(
            "spec.at",
            Reason::NotSupportedYet,
            "faults at the source are not supported yet; use Destination",
        );
    }
    if spec.max_active == Some(0) {
        findings.error(
            "spec.maxActive",
            Reason::Invalid,
            "0 would inject nothing; use at least 1, or leave it out",
        );
    }
    let until = match spec.until.as_str() {
        "never" => None,
        text => {
            let read = text.parse::<jiff::Timestamp>().ok().map(SystemTime::from);
            if read.is_none() {
                findings.error(
                    "spec.until",
                    Reason::Invalid,
                    format!("{text:?} is not a time; write for example 2026-12-01T12:00:00Z, or never"),
                );
            }
            read
        }
    };
    (until, findings.len() == before)
}

fn entry(fault: &Fault, at: &str, findings: &mut Findings) -> Option<Injected> {
    let before = findings.len();
    report_own_unknown(&fault.unknown, at, findings);
    let (sources, http) = request_match(fault.matches.as_ref(), &format!("{at}.match"), findings);
    if fault.trigger == FaultTrigger::OnHeader {
        findings.error(
            &format!("{at}.trigger"),
            Reason::NotSupportedYet,
            "faults by header are not supported yet; use Always",
        );
    }
    let per_million = crds::percent::per_million(&fault.percent);
    if per_million.is_none() {
        let message = format!(
            "{:?} is not a percentage; write a number from 0 to 100 with at most four decimals",
            fault.percent
        );
        findings.error(&format!("{at}.percent"), Reason::Invalid, message);
    }
    let effect = effect(fault, at, findings);
    let good = |part: &Part<Vec<SourceNode>>| part.good().cloned();
    let injected = Injected {
        sources: good(&sources),
        http: http.good().cloned(),
        per_million: per_million?,
        effect: effect?,
    };
    (findings.len() == before).then_some(injected)
}

fn effect(fault: &Fault, at: &str, findings: &mut Findings) -> Option<FaultEffect> {
    report_unknown(&fault.delay, &format!("{at}.delay"), findings);
    report_unknown(&fault.abort, &format!("{at}.abort"), findings);
    report_unknown(&fault.bandwidth, &format!("{at}.bandwidth"), findings);
    match (&fault.delay, &fault.abort, &fault.bandwidth) {
        (Some(delay), None, None) => {
            let path = format!("{at}.delay.fixed");
            let time = value::duration(&delay.fixed, &path, findings)?;
            if time.is_zero() {
                findings.error(&path, Reason::Invalid, "0 is no delay; write for example 3s");
                return None;
            }
            Some(FaultEffect::Delay(time))
        }
        (None, Some(abort), None) => match (abort.http_status, abort.grpc_status.as_deref()) {
            (Some(status), None) if (200..=599).contains(&status) => Some(FaultEffect::AbortHttp(status)),
            (Some(_), None) => {
                findings.error(
                    &format!("{at}.abort.httpStatus"),
                    Reason::Invalid,
                    "is no status that can be answered; use 200 to 599",
                );
                None
            }
            (None, Some(name)) => grpc(name, &format!("{at}.abort.grpcStatus"), findings),
            _ => {
                findings.error(
                    &format!("{at}.abort"),
                    Reason::Invalid,
                    "give exactly one of httpStatus and grpcStatus",
                );
                None
            }
        },
        (None, None, Some(_)) => {
            findings.error(
                &format!("{at}.bandwidth"),
                Reason::NotSupportedYet,
                "bandwidths are not supported yet; use delay or abort",
            );
            None
        }
        _ => {
            findings.error(at, Reason::Invalid, "give exactly one of delay, abort and bandwidth");
            None
        }
    }
}

fn grpc(name: &str, path: &str, findings: &mut Findings) -> Option<FaultEffect> {
    let code = GRPC
        .iter()
        .position(|known| *known == name)
        .and_then(|code| u32::try_from(code).ok());
    let effect = code.filter(|code| *code > 0).map(FaultEffect::AbortGrpc);
    if effect.is_none() {
        findings.error(
            path,
            Reason::Invalid,
            format!("{name:?} is no gRPC status that aborts; write for example UNAVAILABLE"),
        );
    }
    effect
}
