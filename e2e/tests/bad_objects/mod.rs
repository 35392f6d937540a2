//! The parts of the test `kubernetes_bad_objects`.

#![allow(clippy::indexing_slicing, reason = "helpers of a test")]

pub(crate) mod applying;
pub(crate) mod judgement;
pub(crate) mod noticed;
pub(crate) mod plugin;
pub(crate) mod stage;
pub(crate) mod steps;
