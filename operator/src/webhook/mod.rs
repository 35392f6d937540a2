//! The webhook by which the API server asks about new pods: `AdmissionReview` v1 in and out, over TLS from the mesh's own CA.
//!
//! Decisions are `inject`'s. What cannot be read is answered with an error, and the API server (`failurePolicy: Fail`) then refuses
//! the pod: never started outside of the mesh by mistake. Who calls is not checked: an answer tells nothing that the
//! asker did not bring.

mod review;
mod reviews;
mod server;

pub use review::{BadReview, answer};
pub use reviews::Reviews;
pub use server::{CERTIFICATE_LIFETIME, MUTATE_PATH, Webhook, serve};
