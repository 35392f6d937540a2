//! All I/O of Tulle: the file source, the engine, identity, processes, status and the command line.
//!
//! The layers below are pure; this one owns clocks, files, sockets and processes. `control_plane` wires a control plane,
//! `cli` is the only reader of flags, `settings` the only reader of the environment.

pub mod access_log;
pub mod admin;
pub mod allocate;
pub mod bootstrap;
pub mod callers;
pub mod cli;
pub mod control_plane;
pub mod demo;
pub mod engine;
pub mod envoy_binary;
pub mod health;
pub mod identity;
pub mod inject;
pub mod intercept;
pub mod netns;
pub mod packages;
pub mod process;
pub mod rules;
pub mod run;
pub mod settings;
pub mod shop;
pub mod source;
pub mod status;
pub mod upkeep;
pub mod webhook;
