//! The file's items, read and written.

use serde::{Deserialize, Serialize};

use crate::chain::proof::MissingSubtree;
use crate::chain::{Hash, LeafDigest};
use crate::codec::{self, CodecError, Value};
use crate::digest::blake3;
use crate::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp, TreeSize};
use crate::limits::BUNDLE_BYTES_MAX;

const MAGIC: &[u8] = b"CFBUNDLE";
const VERSION: u8 = 1;

/// What the bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The statements whose lineage it proves.
    pub about: Vec<StatementId>,
    /// Statements that belong to the lineage and are withheld from, or unknown to, whoever wrote the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<StatementId>,
    /// Proofs that organisations signed contradicting heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misbehaviour: Vec<ByteString>,
    /// Parts of chains that are here without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// The first and last second of the period that the ranges are to cover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<(Timestamp, Timestamp)>,
    /// How many chains follow.
    pub sections: u64,
}

/// A part of a chain of which every entry is here: the statement, or its digest where it is withheld.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// The first position.
    pub from: Position,
    /// The position behind the last.
    pub to: Position,
}

/// One chain, followed by `statements` items of type [`Included`] in chain order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Whose chain.
    pub organisation: OrganisationId,
    /// Its head.
    pub head: ByteString,
    /// Signature lines of witnesses on the head's checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosignatures: Vec<String>,
    /// Earlier sizes of the chain that signed statements in this bundle speak of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// How many statements follow.
    pub statements: u64,
}

/// The proof that the chain, when it had this size, was the beginning of what the head covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// The size.
    pub size: TreeSize,
    /// Consistency proof to the head (RFC 9162, section 2.1.4).
    pub proof: Vec<Hash>,
}

/// One entry with its place: a statement, or in a range the digest of one that is withheld.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Position in its chain.
    pub position: Position,
    /// The statement's bytes; none where they are withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<ByteString>,
    /// The statement's digest, where its bytes are withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<LeafDigest>,
    /// Inclusion path to the head (RFC 9162, section 2.1.3).
    pub path: Vec<Hash>,
}

/// Why a bundle can be neither read nor written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle.
    #[error("it does not begin with CFBUNDLE and a version that this program reads ({VERSION})")]
    Magic,
    /// Too long.
    #[error("a bundle has at most {BUNDLE_BYTES_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// See the inner error.
    #[error("item {item}: {error}")]
    Item {
        /// Which item of the sequence, from zero.
        item: usize,
        /// What is wrong.
        error: CodecError,
    },
    /// Items are missing, or too many.
    #[error("the file ends early or has items that its manifest does not announce")]
    Length,
    /// A statement that the bundle is to be about is not here.
    #[error("{0} is not known here; fetch it first, or check the id")]
    Unknown(StatementId),
    /// A chain has no head yet.
    #[error("{0} has no head here yet")]
    NoHead(OrganisationId),
    /// A hash that a proof needs is missing.
    #[error("{0}")]
    Missing(#[from] MissingSubtree),
    /// The source cannot be read.
    #[error("{0}")]
    Source(String),
}

/// A bundle, read but not verified.
pub(super) struct Unverified {
    pub(super) manifest: Manifest,
    pub(super) sections: Vec<(Section, Vec<Included>)>,
}

/// Whether a file begins like a bundle.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Whether the file ends with the digest of what stands before it, whatever that is.
pub(super) fn digest_holds(bytes: &[u8]) -> bool {
    let Some((rest, digest)) = bytes.split_last_chunk::<32>() else { return false };
    // A byte string of 32 bytes.
    rest.strip_suffix(&[0x58, 0x20]).is_some_and(|covered| blake3(covered) == *digest)
}

/// Writes the items and the digest.
pub(super) fn assemble(
    manifest: &Manifest,
    sections: &[(Section, Vec<Included>)],
) -> Result<Vec<u8>, BundleError> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    let failed = |error| BundleError::Item { item: 0, error };
    bytes.extend_from_slice(&codec::encode(manifest).map_err(failed)?);
    for (section, statements) in sections {
        bytes.extend_from_slice(&codec::encode(section).map_err(failed)?);
        for statement in statements {
            bytes.extend_from_slice(&codec::encode(statement).map_err(failed)?);
        }
    }
    let digest = blake3(&bytes);
    bytes.extend_from_slice(&codec::encode(&ByteString(digest.to_vec())).map_err(failed)?);
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Reads the items.
pub(super) fn read(bytes: &[u8]) -> Result<Unverified, BundleError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLong(bytes.len()));
    }
    let rest = bytes.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION]));
    let mut items = Items { rest: rest.ok_or(BundleError::Magic)?, item: 0 };
    let manifest: Manifest = items.next()?;
    let mut sections = Vec::new();
    for _ in 0..manifest.sections {
        let section: Section = items.next()?;
        // Grows with what is really there: the announced number is not to be trusted.
        let mut statements = Vec::new();
        for _ in 0..section.statements {
            statements.push(items.next()?);
        }
        sections.push((section, statements));
    }
    let _digest: ByteString = items.next()?;
    if !items.rest.is_empty() {
        return Err(BundleError::Length);
    }
    Ok(Unverified { manifest, sections })
}

struct Items<'a> {
    rest: &'a [u8],
    item: usize,
}

impl Items<'_> {
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BundleError> {
        if self.rest.is_empty() {
            return Err(BundleError::Length);
        }
        let item = self.item;
        let failed = |error| BundleError::Item { item, error };
        let (value, rest): (Value, &[u8]) = codec::first_item(self.rest).map_err(failed)?;
        self.rest = rest;
        self.item += 1;
        codec::from_value(value).map_err(failed)
    }
}
