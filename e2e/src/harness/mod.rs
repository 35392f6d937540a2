//! Environments that tests run in: a control plane alone, or a whole mesh of processes with real Envoys in network
//! namespaces.
//!
//! Everything waits for conditions, never for time to pass, and everything made is removed when it is dropped, also after
//! a panic; what a killed test left is removed by its next start.

mod binary;
pub mod broken;
mod capture;
mod envoy;
mod load;
mod loopback;
mod loot;
mod machine;
mod mesh;
mod namespace;
mod operator;
mod plane;
mod steps;
mod wait;
pub mod yaml;

pub use binary::{own_program, tulle};
pub use capture::{Capture, Segment};
pub use envoy::{Envoy, Stats};
pub use load::Load;
pub use loopback::{As, Loopback};
pub use loot::Loot;
pub use machine::can_run;
pub use mesh::{Mesh, MeshOptions, Proxies, Proxy};
pub use namespace::Namespace;
pub use operator::Operator;
pub use plane::{ControlPlane, Tokens, free_address, resident, write_whole};
pub use steps::Steps;
pub use wait::{until, wait_until};
