//! The drivers of a node: what the engine asks for, done on a real machine.
//!
//! | module | holds |
//! | --- | --- |
//! | [`store`] | chains in RocksDB, and the head lock beside it |
//! | [`keystore`] | secret keys, encrypted at rest |
//! | [`clock`] | the only place that asks for the time |
//! | [`runtime`] | the loop: inputs to the engine, effects to the disk, answers to callers |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "a test that fails this way says where"
    )
)]

pub mod clock;
pub mod keystore;
pub mod runtime;
pub mod store;
