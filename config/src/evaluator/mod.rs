//! The reference evaluator: a model and a request -> what happens to it, and which rule says so.
//!
//! Small and plain, written from the documented semantics. It shares no code with the compiler but the parsed model, so that
//! `tulle explain` is an opinion of its own, and real Envoys are compared with it. What it does not know is in `docs/evaluator.md`.

mod arrival;
mod callers;
mod decision;
mod edits;
mod evaluate;
pub mod examples;
mod matching;
mod nearest;
mod normalise;
mod patterns;
mod permission;
mod questions;
mod re2;
mod request;
mod route;

pub use callers::{CallerClass, classes};
pub use decision::{Answer, Arrival, Backing, Decision, Fate, Injected, Limited, RouteDecision, Verdict};
pub use evaluate::Evaluator;
pub use nearest::{Difference, Nearest};
pub use normalise::{Seen, Side, normalise};
pub use questions::{Likeness, Questions, ask, decide_alike, likeness, questions, rules_of};
pub use request::{Caller, Destination, HttpRequest, Operation, Request};

use crate::model::Model;

/// Decides one request. For many, keep an [`Evaluator`].
pub fn evaluate(model: &Model, request: &Request) -> Decision {
    Evaluator::new(model).evaluate(request)
}

/// The Allow rule that comes nearest to letting in a refused request; see [`Evaluator::nearest`].
pub fn nearest(model: &Model, request: &Request, arrival: &Arrival) -> Option<Nearest> {
    Evaluator::new(model).nearest(request, arrival)
}
