//! placeholder
pub mod shop;
pub mod bootstrap;
pub mod envoy_binary;
pub mod identity;
pub mod intercept;
pub mod netns;
pub mod process;
