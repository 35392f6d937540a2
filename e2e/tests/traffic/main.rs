//! Real traffic through real Envoys, each test in a mesh of its own in network namespaces of its own. They are one program so that two of
//! them run at a time: they wait more than they compute.

mod broken;
mod bypass;
mod counters;
mod edits;
mod limits;
mod permissions;
mod plaintext;
mod restart;
mod revocation;
mod revocation_limits;
mod revocation_plaintext;
mod revoking;
mod routes;
mod shadow;
