//! A node: the daemon, its drivers, and the command line.
//!
//! ```text
//! command line --> api --> service --> runtime --> engine (federation)
//!                                       |  |
//!                               store, head lock   p2p --> other nodes
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`store`] | chains and indexes in RocksDB, and the head lock beside it |
//! | [`keystore`] | secret keys, encrypted at rest |
//! | [`clock`] | the only place that asks for the time |
//! | [`runtime`] | the loop: inputs to the engine, effects to disk and network, answers to callers |
//! | [`p2p`] | libp2p as a thin driver |
//! | [`import`] | foreign documents, read into claims |
//! | [`data`] | the data directory, and how a new organisation is made |
//! | [`asked`] | who has nothing later, where the own latest head is not known |
//! | [`backup`] | everything but the head lock, into a directory and back |
//! | [`service`] | what a node does for its organisation |
//! | [`api`] | HTTP over the owner's socket and over TCP |
//! | [`workers`] | the cores that check bundles |
//! | [`cli`] | the command line |
//! | [`demo`] | the demonstration |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "a test that fails this way says where"
    )
)]

pub mod api;
pub mod asked;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod data;
pub mod demo;
pub mod import;
mod intake;
mod key_cache;
pub mod keystore;
pub mod p2p;
pub mod runtime;
pub mod service;
pub mod store;
pub mod workers;
