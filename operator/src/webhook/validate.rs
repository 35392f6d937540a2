//! One review of an object of ours: bytes in, the answer out, in the words that the object's status would say. Pure.
//!
//! Refused is what is wrong with the object itself, whatever else there is: mistakes that parse finds, and what its namespace may
//! not do. What depends on other objects (a Service that is not there yet, a port of another protocol) is a warning: the other
//! object may come next, and a tool that tries everything before it applies anything would never get further. Deleting is never
//! refused, nor an update that leaves the spec alone: a bad object must stay removable. Nothing depends on this webhook.

use std::sync::Arc;
use std::time::SystemTime;

use config::{Diagnostic, Objects, Settings, Severity};
use crds::conditions::Reason;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use tokio::sync::watch;

use super::review::BadReview;
use crate::source::kubernetes::read_object;
use crate::source::{Object, SourceView};

/// So many findings are said; the API server cuts longer answers.
const MOST: usize = 16;

/// What objects are judged by.
#[derive(Clone, Debug)]
pub struct Validator {
    views: watch::Receiver<Arc<SourceView>>,
    settings: Arc<Settings>,
}

impl Validator {
    /// Beside what is served now, as the engine compiles it.
    pub fn new(views: watch::Receiver<Arc<SourceView>>, settings: Settings) -> Self {
        Self {
            views,
            settings: Arc::new(settings),
        }
    }

    /// Answers a review.
    pub fn answer(&self, body: &[u8]) -> Result<AdmissionReview<DynamicObject>, BadReview> {
        let view = Arc::clone(&self.views.borrow());
        validate(body, &view, &self.settings, SystemTime::now())
    }
}

/// Answers a review; `view` is what is served now.
pub fn validate(
    body: &[u8],
    view: &SourceView,
    settings: &Settings,
    now: SystemTime,
) -> Result<AdmissionReview<DynamicObject>, BadReview> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body)?;
    let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|_| BadReview::NoRequest)?;
    let response = AdmissionResponse::from(&request);
    let Some(object) = judged(&request) else {
        return Ok(response.into_review());
    };
    let verdict = judge(&request.kind.kind, &object, view, settings, now);
    let mut response = response;
    match verdict {
        Verdict::Refused(findings) => response = refuse(response, &findings),
        Verdict::Accepted(warnings) if warnings.is_empty() => {}
        Verdict::Accepted(warnings) => response.warnings = Some(lines(&warnings)),
    }
    Ok(response.into_review())
}

/// The object, if there is anything to judge.
fn judged(request: &AdmissionRequest<DynamicObject>) -> Option<DynamicObject> {
    let whole = request.sub_resource.as_deref().unwrap_or_default().is_empty();
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    let mut object = request.object.clone().filter(|_| whole && written)?;
    let spec = |object: &DynamicObject| object.data.get("spec").cloned();
    let same = request
        .old_object
        .as_ref()
        .is_some_and(|old| spec(old) == spec(&object));
    if same || object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let metadata = &mut object.metadata;
    if metadata.name.is_none() {
        metadata.name.clone_from(&metadata.generate_name);
    }
    if metadata.namespace.is_none() {
        metadata.namespace = request.namespace.clone().filter(|namespace| !namespace.is_empty());
    }
    Some(object)
}

enum Verdict {
    /// Why not.
    Refused(Vec<Diagnostic>),
    /// What the author should know.
    Accepted(Vec<Diagnostic>),
}

fn judge(kind: &str, object: &DynamicObject, view: &SourceView, settings: &Settings, now: SystemTime) -> Verdict {
    let read = read_object(kind, object, &settings.system_namespace);
    let Some(object) = read.object else {
        return match read.mistake {
            Some(finding) => Verdict::Refused(vec![finding]),
            // A kind that nobody asked about.
            None => Verdict::Accepted(Vec::new()),
        };
    };
    let mut alone = Objects::default();
    object.insert_into(&mut alone);
    let own = config::parse::parse(&alone, now).diagnostics;
    let reference = object.reference();
    let model = config::build(&beside(view, &object), settings, now);
    let with_others = model.diagnostics.iter().filter(|finding| *finding.object == reference);
    let mut all: Vec<Diagnostic> = own.iter().chain(with_others).cloned().collect();
    all.sort();
    all.dedup();
    let (refused, warnings): (Vec<_>, Vec<_>) = all.into_iter().partition(|finding| {
        finding.severity == Severity::Error && (finding.reason == Reason::NotPermitted || own.contains(finding))
    });
    if refused.is_empty() {
        Verdict::Accepted(warnings)
    } else {
        Verdict::Refused(refused)
    }
}

/// What is served, with the object in it.
fn beside(view: &SourceView, object: &Object) -> Objects {
    let mut objects = Objects::default();
    let reference = object.reference();
    for (_, other) in view.by_name.iter().filter(|(name, _)| **name != reference) {
        other.insert_into(&mut objects);
    }
    object.insert_into(&mut objects);
    objects
}

fn refuse(response: AdmissionResponse, findings: &[Diagnostic]) -> AdmissionResponse {
    let text = lines(findings).join("\n");
    tracing::info!(findings = %text, "an object is refused");
    let mut response = response.deny(text);
    // What the API server itself answers to an object that its schema refuses.
    response.result.code = 422;
    "Invalid".clone_into(&mut response.result.reason);
    response
}

/// The words, a line each.
fn lines(findings: &[Diagnostic]) -> Vec<String> {
    let mut lines: Vec<String> = findings.iter().take(MOST).map(ToString::to_string).collect();
    if findings.len() > MOST {
        lines.push(format!("and {} more", findings.len() - MOST));
    }
    lines
}
