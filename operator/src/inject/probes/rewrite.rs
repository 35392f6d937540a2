//! Rewrites the probes of a pod's containers: operations of a patch, and the table of what was there.
//!
//! A probe that is rewritten already, and in the table, is kept. So a pod can come again, with containers that another
//! webhook added in between.

use std::collections::BTreeSet;

use json_patch::PatchOperation;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Lifecycle};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::super::names::PROBE_PORT;
use super::super::operations::{add, remove};
use super::super::refusal::Refusal;
use super::original;
use super::table::{Check, ProbeTable, Use, path};

/// What rewriting gives.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    /// The operations.
    pub(crate) operations: Vec<PatchOperation>,
    /// All probes that Envoy answers now.
    pub(crate) table: ProbeTable,
}

/// What does not change from container to container.
struct Frame<'a> {
    known: &'a ProbeTable,
    excluded: &'a BTreeSet<u16>,
}

/// A probe or hook of a container.
struct Place<'a> {
    container: &'a Container,
    /// Path of the probe in the pod.
    at: Vec<String>,
    purpose: Use,
}

/// Rewrites the probes of containers; each comes with its path in the pod.
pub(crate) fn rewrite(
    containers: &[(Vec<String>, &Container)],
    known: &ProbeTable,
    excluded: &BTreeSet<u16>,
) -> Result<Rewritten, Refusal> {
    let (frame, mut out) = (Frame { known, excluded }, Rewritten::default());
    for (at, container) in containers {
        let below = |parts: &[&str]| {
            at.iter()
                .cloned()
                .chain(parts.iter().map(|&part| part.to_owned()))
                .collect()
        };
        for (purpose, field, probe) in [
            (Use::Readiness, "readinessProbe", &container.readiness_probe),
            (Use::Liveness, "livenessProbe", &container.liveness_probe),
            (Use::Startup, "startupProbe", &container.startup_probe),
        ] {
            let Some(probe) = probe else { continue };
            let at = below(&[field]);
            let place = Place { container, at, purpose };
            if place.keeps(probe.http_get.as_ref(), &frame, &mut out) {
                continue;
            }
            let original = original::of_probe(probe, container, &place.at.join("."))?;
            place.replace(original, probe.http_get.as_ref(), &frame, &mut out);
        }
        for (purpose, field, action) in hooks(container.lifecycle.as_ref()) {
            let at = below(&["lifecycle", field]);
            let place = Place { container, at, purpose };
            if place.keeps(Some(action), &frame, &mut out) {
                continue;
            }
            let original = original::of_http(action, container, &place.at.join("."))?;
            place.replace(original.map(|check| ("httpGet", check)), Some(action), &frame, &mut out);
        }
    }
    Ok(out)
}

/// The hooks by HTTP.
fn hooks(lifecycle: Option<&Lifecycle>) -> impl Iterator<Item = (Use, &'static str, &HTTPGetAction)> {
    let start = lifecycle
        .and_then(|l| l.post_start.as_ref())
        .and_then(|h| h.http_get.as_ref());
    let stop = lifecycle
        .and_then(|l| l.pre_stop.as_ref())
        .and_then(|h| h.http_get.as_ref());
    let start = start.map(|action| (Use::PostStart, "postStart", action));
    start
        .into_iter()
        .chain(stop.map(|action| (Use::PreStop, "preStop", action)))
}

impl Place<'_> {
    /// Whether it asks Envoy already; then its entry stays.
    fn keeps(&self, action: Option<&HTTPGetAction>, frame: &Frame<'_>, out: &mut Rewritten) -> bool {
        let (name, ours) = (&self.container.name, path(&self.container.name, self.purpose));
        let asks_envoy = action.is_some_and(|action| {
            action.port == IntOrString::Int(PROBE_PORT.into()) && action.path.as_ref() == Some(&ours)
        });
        let entry = frame.known.get(name, self.purpose).filter(|_| asks_envoy);
        if let Some(entry) = entry {
            out.table.insert(name, self.purpose, entry.clone());
        }
        entry.is_some()
    }

    fn replace(
        &self,
        original: Option<(&'static str, Check)>,
        action: Option<&HTTPGetAction>,
        frame: &Frame<'_>,
        out: &mut Rewritten,
    ) {
        let Some((field, check)) = original else { return };
        let (Check::Http { port, .. } | Check::Tcp { port, .. } | Check::Grpc { port, .. }) = &check;
        if frame.excluded.contains(port) {
            return;
        }
        let below = |part: &str| self.at.iter().cloned().chain([part.to_owned()]).collect::<Vec<_>>();
        if field != "httpGet" {
            out.operations.push(remove(&below(field)));
        }
        out.operations.push(add(&below("httpGet"), self.asking_envoy(action)));
        out.table.insert(&self.container.name, self.purpose, check);
    }

    fn asking_envoy(&self, action: Option<&HTTPGetAction>) -> Value {
        let path = path(&self.container.name, self.purpose);
        let mut asked = json!({"path": path, "port": PROBE_PORT, "scheme": "HTTP"});
        let headers = action.and_then(|action| action.http_headers.as_ref());
        if let (Some(headers), Some(fields)) = (headers, asked.as_object_mut()) {
            fields.insert("httpHeaders".to_owned(), json!(headers));
        }
        asked
    }
}
