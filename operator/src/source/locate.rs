//! Where in a YAML document a field stands.
//!
//! Serde forgets places once a value is read, so the document is read a second time, as a tree of keys with places. Only
//! broken files pay for it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A path to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl FieldPath {
    /// Whether it is this field at the top.
    pub(super) fn is(&self, field: &str) -> bool {
        matches!(self.0.as_slice(), [Step::Key(key)] if key == field)
    }
}

/// The first field below `spec` that is null. Null reads like "not given", and a rule that lacks a field matches more: what
/// was meant cannot be known.
pub(super) fn first_null(object: &serde_json::Value) -> Option<FieldPath> {
    let mut steps = vec![Step::Key("spec".to_owned())];
    descend(object.get("spec")?, &mut steps).then_some(FieldPath(steps))
}

/// Whether there is a null at or below.
pub(super) fn holds_null(value: &serde_json::Value) -> bool {
    descend(value, &mut Vec::new())
}

/// Whether there is a null at or below; `steps` then lead to it.
fn descend(value: &serde_json::Value, steps: &mut Vec<Step>) -> bool {
    use serde_json::Value;
    let mut below = |step: Step, value: &Value| {
        steps.push(step);
        let found = descend(value, steps);
        if !found {
            steps.pop();
        }
        found
    };
    match value {
        Value::Null => true,
        Value::Array(items) => items
            .iter()
            .enumerate()
            .any(|(index, item)| below(Step::Index(index), item)),
        Value::Object(fields) => fields.iter().any(|(key, field)| below(Step::Key(key.clone()), field)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl From<&serde_ignored::Path<'_>> for FieldPath {
    fn from(path: &serde_ignored::Path<'_>) -> Self {
        use serde_ignored::Path;
        let (parent, step) = match path {
            Path::Root => return Self(Vec::new()),
            Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
            Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
        };
        let mut steps = Self::from(*parent);
        steps.0.extend(step);
        steps
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Line and column of the field's key, counted from 1 in this text.
pub(super) fn find(text: &str, path: &FieldPath) -> Option<(u64, u64)> {
    let tree: Tree = serde_saphyr::from_str_with_options(text, super::document::options()).ok()?;
    let (mut node, mut place) = (&tree, None);
    for step in &path.0 {
        match (node, step) {
            (Tree::Map(entries), Step::Key(key)) => {
                let (found, value) = entries.iter().find(|(candidate, _)| candidate.value == *key)?;
                place = Some((found.referenced.line(), found.referenced.column()));
                node = value;
            }
            (Tree::Seq(items), Step::Index(index)) => node = items.get(*index)?,
            _ => return place,
        }
    }
    place
}

enum Tree {
    Map(Vec<(Spanned<String>, Tree)>),
    Seq(Vec<Tree>),
    Leaf,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

/// Scalars are all alike here.
macro_rules! leaves {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E>(self, _: $type) -> Result<Tree, E> { Ok(Tree::Leaf) })*
    };
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}
