//! Bytes and meaning of Counterfoil.
//!
//! This crate is pure: no async, no clock, no disk, no randomness, no peers. The five properties of the design are
//! modules, in the order in which an outcome passes through them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`observation`] | first property: authority-credentialed observation |
//! | [`weighting`] | second property: evidential weighting |
//! | [`admissibility`] | third property: composite admissibility |
//! | [`actuation`] | fourth property: governed actuation |
//! | [`lineage`] | fifth property: lineage-recorded provenance |
//! | [`statement`] | the signed envelope, its kinds, and the one way to a verified statement |
//! | [`identity`] | organisations, authorities, and what is in force where |
//! | [`chain`] | the Merkle log, heads, receipts, cosignatures |
//! | [`mesh`] | charters, membership, recognition, links and counterfoils |
//! | [`retention`] | how long documents are kept at least |
//! | [`bundle`] | a lineage in one file, proven offline |
//! | [`codec`], [`cose`], [`digest`], [`ids`], [`keys`], [`limits`] | what all of these stand on |

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test that fails this way says where"
    )
)]

pub mod actuation;
pub mod admissibility;
pub mod bundle;
pub mod chain;
pub mod codec;
pub mod cose;
pub mod digest;
pub mod identity;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod lineage;
pub mod mesh;
pub mod observation;
pub mod retention;
pub mod statement;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
pub mod weighting;
