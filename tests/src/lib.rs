//! Support for tests that need more than one crate.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")
)]

pub mod fleet;
pub mod hostile;
pub mod lab;
pub mod process;
pub mod python;
pub mod shared;
