//! placeholder
pub mod shop;
