//! Bundles: a self-contained file that proves a lineage offline.
//!
//! ```text
//! "CFBUNDLE" version(1 byte)
//! Manifest                             ; what it is about, what it knows to be missing, proofs of misbehaviour
//! ( Section  Entry* )*                 ; a chain: head, cosignatures, earlier sizes; then its tree, piece by piece
//! BLAKE3 of everything before (bstr)
//! ```
//!
//! All but the first line are items of a CBOR sequence (RFC 8742) in strict encoding. A section's entries cover the whole
//! tree under its head: statements, and between them the roots of the complete subtrees that are not here. They give the
//! head's root, so each statement stands where it is counted to stand. Among them is *every* standing statement, which
//! the head's digest proves, and those other statements that the lineage needs. From these alone [`verify()`] checks each
//! signature and position again and computes each decision anew; it reads a file of any length from beginning to end.
//!
//! A file is for anybody, or for some [`Readers`]: what is limited to others is in it as the hash of its leaf alone, and what
//! rests on it is not proven to them.

mod again;
mod check;
mod format;
mod ranges;
mod reader;
mod readers;
mod replay;
mod report;
mod times;
mod trust;
mod verify;
mod walk;
mod write;

pub use check::{Batch, Checked, InOrder, Workers};
pub use format::{BundleError, Earlier, Entry, Manifest, Range, Section, is_bundle};
pub use readers::Readers;
pub use report::{
    CHECKS, Check, DecisionReport, DisclosedClaim, OrganisationReport, Outcome, Report, StatementTimes,
};
pub use trust::{TrustError, TrustFile};
pub use verify::{Settings, open, verify, verify_file, verify_with};
pub use write::{ChainSource, Source, Wanted, write, write_to};

use std::collections::BTreeSet;

use crate::ids::StatementId;
use crate::lineage::edges;
use crate::observation::SubjectKey;
use crate::statement::{Payload, Statement};

/// Statements that a statement rests on or answers: what has to be in a bundle together with it.
fn references(statement: &Statement, payload: &Payload) -> BTreeSet<StatementId> {
    let own = statement.id();
    let mut found: BTreeSet<StatementId> = statement.header().refs.iter().copied().collect();
    for edge in edges(own, payload) {
        for node in [edge.from, edge.to] {
            if let SubjectKey::Statement(id) = node {
                found.insert(id);
            }
        }
    }
    found.remove(&own);
    found
}
