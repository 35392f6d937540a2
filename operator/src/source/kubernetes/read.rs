//! Objects of our kinds as the API server gives them -> typed objects, by the same types as files.

use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::document::Reader;
use super::super::locate;
use super::super::object::Object;
use super::super::problem::Mistake;

/// Our API version.
pub(super) const API_VERSION: &str = "mesh.tulle.dev/v1alpha1";

/// A JSON value that is read as a kind.
struct Json<'a>(&'a Value);

impl Reader for Json<'_> {
    fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<T, Mistake> {
        let mut ignored = Vec::new();
        let note = |path: serde_ignored::Path<'_>| ignored.push(locate::FieldPath::from(&path));
        let mut note = note;
        let reader = serde_ignored::Deserializer::new(self.0, &mut note);
        let object = serde_path_to_error::deserialize(reader).map_err(|error| {
            let path = error.path().to_string();
            Mistake::of_field(
                &path,
                format!("{}; correct the object and apply it again", error.inner()),
            )
        })?;
        // The Rust type says which kind it is, so it does not read these two.
        match ignored.iter().find(|path| !path.is("apiVersion") && !path.is("kind")) {
            Some(path) => Err(Mistake::of_field(
                &path.to_string(),
                format!("there is no such field in {kind}; remove it or correct its spelling"),
            )),
            None => Ok(object),
        }
    }
}

/// The object, without its status.
pub(super) fn value(kind: &str, object: &DynamicObject) -> Value {
    let mut value = object.data.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
        fields.insert("apiVersion".to_owned(), API_VERSION.into());
        fields.insert("kind".to_owned(), kind.into());
        let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
        fields.insert("metadata".to_owned(), metadata);
    }
    value
}

/// Reads an object of a kind of ours.
pub(super) fn read(kind: &str, value: &Value) -> Result<Object, Mistake> {
    if let Some(path) = locate::first_null(value) {
        return Err(Mistake::of_field(
            &path.to_string(),
            "is null, which would count as not given; write a value or remove the field",
        ));
    }
    let unknown = || {
        Mistake::whole(format!(
            "{kind} is no kind of ours; this is a defect of tulle, please report it"
        ))
    };
    Object::read(API_VERSION, kind, &Json(value))?.ok_or_else(unknown)
}
