//! Operations of a JSON patch, by path. Fields that we do not know, of a newer Kubernetes, stay as they are.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

pub(super) fn add(path: &[String], value: Value) -> PatchOperation {
    let path = pointer(path);
    PatchOperation::Add(AddOperation { path, value })
}

pub(super) fn replace(path: &[String], value: Value) -> PatchOperation {
    let path = pointer(path);
    PatchOperation::Replace(ReplaceOperation { path, value })
}

pub(super) fn remove(path: &[String]) -> PatchOperation {
    let path = pointer(path);
    PatchOperation::Remove(RemoveOperation { path })
}

pub(super) fn shift(from: &[String], path: &[String]) -> PatchOperation {
    let (from, path) = (pointer(from), pointer(path));
    PatchOperation::Move(MoveOperation { from, path })
}

/// A path from its parts.
pub(super) fn at(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn pointer(path: &[String]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().map(String::as_str))
}
