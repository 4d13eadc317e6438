//! Support for tests that need more than one crate.

pub mod process;
pub mod python;
pub mod shared;
