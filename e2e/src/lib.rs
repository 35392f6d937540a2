//! Test environments of Tulle with real Envoys, and the tools that they run inside network namespaces.
//!
//! `traffic` and `probe` are small programs of the `tulle-e2e` binary; the end-to-end tests under `tests/` start them in
//! the namespaces of workloads and read their JSON. `sim` are simulated proxies for tests and benchmarks of the control
//! plane alone. `cluster` is a real Kubernetes on this machine, `install` is Tulle on it, `pods` what runs in its mesh.

pub mod bench;
pub mod bypass;
pub mod cluster;
pub mod differential;
pub mod harness;
pub mod install;
pub mod pods;
pub mod probe;
pub mod sim;
pub mod traffic;
