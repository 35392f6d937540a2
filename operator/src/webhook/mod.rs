//! The webhooks by which the API server asks about new pods and about objects of ours: `AdmissionReview` v1 in and out, over TLS
//! from the mesh's own CA.
//!
//! Decisions about pods are `inject`'s. What cannot be read is answered with an error, and the API server (`failurePolicy: Fail`)
//! then refuses the pod: never started outside of the mesh by mistake. Judging our own objects is advice (`failurePolicy:
//! Ignore`): what is wrong with them fails closed anyway. Who calls is not checked: an answer about a pod tells nothing that the
//! asker did not bring, one about an object names others only in warnings.

mod review;
mod reviews;
mod server;
mod validate;

pub use review::{BadReview, answer};
pub use reviews::Reviews;
pub use server::{CERTIFICATE_LIFETIME, MUTATE_PATH, VALIDATE_PATH, Webhook, serve};
pub use validate::{Validator, validate};
