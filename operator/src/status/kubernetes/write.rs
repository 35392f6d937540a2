//! One write, and what the API server says to it.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::plan::{Id, Write};
use super::stored::resource;

/// An answer takes no longer, else the API server is away.
const ANSWER: Duration = Duration::from_secs(10);

/// What became of a write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Done; the object as it is now, nothing after a deletion.
    Done {
        uid: String,
        object: Option<Box<DynamicObject>>,
    },
    /// The object is gone, is another one by now, or its namespace is ending: the watches will tell.
    Gone,
    /// The API server does not want it.
    Refused(String),
    /// Nobody answers.
    Away(String),
}

/// Does it.
pub(super) async fn execute(client: &Client, id: &Id, write: Write) -> Outcome {
    match tokio::time::timeout(ANSWER, attempt(client, id, write)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => outcome(&error),
        Err(_) => Outcome::Away("no answer".to_owned()),
    }
}

async fn attempt(client: &Client, id: &Id, write: Write) -> kube::Result<Outcome> {
    let resource = resource(&id.kind);
    let api: Api<DynamicObject> = if id.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &id.namespace, &resource)
    };
    let ours = PatchParams::apply(FIELD_MANAGER).force();
    let (uid, status, made) = match write {
        Write::Status { uid, status } => (uid, status, None),
        Write::Row { status } => {
            let row = body(&resource.api_version, id, None, ("spec", json!({})));
            let row = api.patch(&id.name, &ours, &Patch::Apply(row)).await?;
            (row.metadata.uid.clone().unwrap_or_default(), status, Some(row))
        }
        Write::Delete { uid } => {
            let only_this = Preconditions {
                uid: Some(uid.clone()),
                ..Preconditions::default()
            };
            api.delete(&id.name, &DeleteParams::default().preconditions(only_this))
                .await?;
            return Ok(Outcome::Done { uid, object: None });
        }
    };
    // The UID is a condition: the status of a deleted object is not written on its successor.
    let patch = body(&resource.api_version, id, Some(&uid), ("status", status));
    let object = match (api.patch_status(&id.name, &ours, &Patch::Apply(patch)).await, made) {
        // The row exists; the next look finds that its status is missing.
        (Err(_), Some(row)) => row,
        (object, _) => object?,
    };
    Ok(Outcome::Done {
        uid,
        object: Some(Box::new(object)),
    })
}

fn body(api_version: &str, id: &Id, uid: Option<&str>, (field, value): (&str, Value)) -> Value {
    let mut metadata = json!({"name": id.name});
    if let Some(fields) = metadata.as_object_mut() {
        let namespace = (!id.namespace.is_empty()).then(|| ("namespace".to_owned(), json!(id.namespace)));
        fields.extend(namespace);
        fields.extend(uid.map(|uid| ("uid".to_owned(), json!(uid))));
    }
    json!({"apiVersion": api_version, "kind": id.kind, "metadata": metadata, field: value})
}

fn outcome(error: &kube::Error) -> Outcome {
    let kube::Error::Api(status) = error else {
        return Outcome::Away(error.to_string());
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let ending = causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating");
    match status.code {
        404 | 409 => Outcome::Gone,
        _ if ending => Outcome::Gone,
        // A 500 may be about this object alone: a webhook that fails, for example.
        429 | 501.. => Outcome::Away(status.message.clone()),
        _ => Outcome::Refused(status.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, cause: Option<&str>) -> kube::Error {
        let causes: Vec<Value> = cause.iter().map(|reason| json!({"reason": reason})).collect();
        let status = json!({"status": "Failure", "code": code, "message": "words", "details": {"causes": causes}});
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn answers_are_understood() {
        assert!(matches!(outcome(&api(404, None)), Outcome::Gone));
        assert!(matches!(outcome(&api(409, None)), Outcome::Gone));
        assert!(matches!(
            outcome(&api(403, Some("NamespaceTerminating"))),
            Outcome::Gone
        ));
        assert!(matches!(outcome(&api(403, None)), Outcome::Refused(words) if words == "words"));
        assert!(matches!(outcome(&api(422, None)), Outcome::Refused(_)));
        assert!(matches!(outcome(&api(429, None)), Outcome::Away(_)));
        assert!(matches!(outcome(&api(503, None)), Outcome::Away(_)));
        assert!(matches!(outcome(&api(500, None)), Outcome::Refused(_)));
        let away = kube::Error::Service("connection refused".into());
        assert!(matches!(outcome(&away), Outcome::Away(_)));
    }
}
