//! Generated worlds and requests: everything follows from a seed.
//!
//! Names, paths and header values come from small alphabets, so that rules meet requests often and nearly match often. Rules
//! that must fail closed are among them. Every feature that was used is counted.

mod dice;
mod fault_limit;
mod matches;
mod mesh;
mod permission;
pub mod question;
mod route;
mod source;
pub mod tcp;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use dice::Dice;

/// How often each feature occurred.
pub type Counts = BTreeMap<&'static str, u64>;

/// What generated objects are.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its number in the run.
    pub number: u64,
    /// The Mesh, policies and routes.
    pub objects: Vec<Value>,
}

/// A generator.
#[derive(Debug)]
pub struct Generator {
    dice: Dice,
    /// How often each feature occurred.
    pub counts: Counts,
    number: u64,
}

impl Generator {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            counts: Counts::new(),
            number: 0,
        }
    }

    /// The next world.
    pub fn world(&mut self) -> World {
        let mut objects = vec![self.mesh()];
        for index in 0..self.dice.pick(&[1, 2, 3, 3, 4, 5, 6]) {
            objects.push(self.permission(index));
        }
        for index in 0..self.dice.pick(&[0, 0, 1, 1, 2]) {
            objects.push(self.route(index));
        }
        if self.dice.percent(30) {
            objects.push(self.rate_limit());
        }
        if self.dice.percent(30) {
            objects.push(self.fault());
        }
        self.finish(objects)
    }

    /// A world of these objects. Each has its number in it, so that no world is the same file as the one before.
    fn finish(&mut self, mut objects: Vec<Value>) -> World {
        self.number += 1;
        let number = self.number;
        if let Some(metadata) = objects
            .first_mut()
            .and_then(|mesh| mesh.get_mut("metadata"))
            .and_then(Value::as_object_mut)
        {
            metadata.insert("annotations".to_owned(), json!({"world": number.to_string()}));
        }
        World { number, objects }
    }

    fn note(&mut self, feature: &'static str) {
        *self.counts.entry(feature).or_default() += 1;
    }

    /// One of the alternatives, counted.
    fn noted(&mut self, from: &[&'static str]) -> &'static str {
        let feature = self.dice.pick(from);
        self.note(feature);
        feature
    }
}

/// An object of ours.
fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mesh.tulle.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// Puts a field into an object.
fn put(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::Generator;

    #[test]
    fn a_seed_says_everything() {
        let world = |seed| {
            let mut generator = Generator::new(seed);
            (generator.world().objects, generator.world().objects)
        };
        assert_eq!(world(7), world(7));
        assert_ne!(world(7), world(8));
        let (first, second) = world(7);
        assert_ne!(first, second);
    }
}
