//! The file's items.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::chain::proof::MissingSubtree;
use crate::chain::{Hash, LeafDigest};
use crate::codec::{self, CodecError, Value, write_head};
use crate::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp, TreeSize};
use crate::limits::BUNDLE_ITEM_BYTES_MAX;

pub(super) const MAGIC: &[u8; 8] = b"CFBUNDLE";
pub(super) const VERSION: u8 = 2;

/// What the bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The statements whose lineage it proves.
    pub about: Vec<StatementId>,
    /// Statements that belong to the lineage and are withheld from, or unknown to, whoever wrote the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<StatementId>,
    /// Statements that belong to the lineage, and that the writer has and leaves out: they are limited to others than those
    /// for whom the bundle is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limited: Vec<StatementId>,
    /// Proofs that organisations signed contradicting heads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misbehaviour: Vec<ByteString>,
    /// Parts of chains that are here without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// The first and last second of the period that the ranges are to cover.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub period: Option<(Timestamp, Timestamp)>,
    /// How many chains follow.
    pub sections: u64,
}

/// Reads exactly two: a tuple would let more elements follow, and so have more than one encoding.
fn two<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(Timestamp, Timestamp)>, D::Error> {
    let period = Vec::<Timestamp>::deserialize(deserializer)?;
    match period.as_slice() {
        [first, last] => Ok(Some((*first, *last))),
        _ => Err(de::Error::invalid_length(period.len(), &"a first and a last second")),
    }
}

/// A part of a chain of which every entry is here: the statement, or its leaf hash where it is withheld.
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

/// One chain, followed by as many items of type [`Entry`] as `entries` says.
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
    /// Earlier sizes of the chain that signed statements in this bundle speak of, ascending, each below the head's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// How many entries follow.
    pub entries: u64,
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

/// A piece of a chain's tree. The pieces of a section follow each other without gap or overlap from the first position to
/// the head's size, so that they give the head's root, and each statement's position is known by counting.
///
/// ```text
/// Entry = bstr                                 ; a statement
///       / [ statement: bstr, [+ bstr] ]        ; a statement, and what is disclosed of its sealed claims
///       / [ level: uint, hash: bstr .size 32 ] ; the complete subtree of 2^level leaves that are not here
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A statement.
    Statement {
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// Disclosures of its sealed claims, each as encoded, in the order of their digests.
        disclosures: Vec<Vec<u8>>,
    },
    /// Statements that are not here. At level 0 it is one, withheld.
    Absent {
        /// The height of the subtree: it has `2^level` leaves.
        level: u32,
        /// Its root.
        root: Hash,
    },
}

impl Entry {
    /// The entry's item.
    pub fn encode(&self, out: &mut Vec<u8>) {
        fn bytes(content: &[u8], out: &mut Vec<u8>) {
            write_head(2, content.len() as u64, out);
            out.extend_from_slice(content);
        }
        match self {
            Self::Statement { bytes: statement, disclosures } if disclosures.is_empty() => {
                bytes(statement, out);
            }
            Self::Statement { bytes: statement, disclosures } => {
                write_head(4, 2, out);
                bytes(statement, out);
                write_head(4, disclosures.len() as u64, out);
                disclosures.iter().for_each(|disclosure| bytes(disclosure, out));
            }
            Self::Absent { level, root } => {
                write_head(4, 2, out);
                write_head(0, u64::from(*level), out);
                bytes(&root.0, out);
            }
        }
    }

    /// Reads one item, all of it.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(item: &[u8]) -> Result<Self, CodecError> {
        let wrong = || CodecError::Shape("an entry is a statement, disclosed or not, or a subtree".into());
        if let Some(statement) = codec::as_byte_string(item) {
            return Ok(Self::Statement { bytes: statement.into(), disclosures: Vec::new() });
        }
        let mut parts = match codec::from_bytes(item, BUNDLE_ITEM_BYTES_MAX)? {
            Value::Array(parts) if parts.len() == 2 => parts.into_iter(),
            _ => return Err(wrong()),
        };
        match (parts.next(), parts.next()) {
            (Some(Value::Bytes(bytes)), Some(Value::Array(items))) if !items.is_empty() => {
                let disclosures = items.into_iter().map(|item| match item {
                    Value::Bytes(disclosure) => Ok(disclosure),
                    _ => Err(wrong()),
                });
                let disclosures = disclosures.collect::<Result<_, _>>()?;
                Ok(Self::Statement { bytes: bytes.into(), disclosures })
            }
            (Some(Value::Integer(level)), Some(Value::Bytes(root))) => {
                let level = u32::try_from(level).map_err(|_| wrong())?;
                let root = root.try_into().map_err(|_| wrong())?;
                Ok(Self::Absent { level, root: Hash(root) })
            }
            _ => Err(wrong()),
        }
    }
}

impl From<LeafDigest> for Entry {
    /// A statement of which the digest alone is known.
    fn from(digest: LeafDigest) -> Self {
        Self::Absent { level: 0, root: digest.leaf_hash() }
    }
}

/// Why a bundle can be neither read nor written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle.
    #[error("it does not begin with CFBUNDLE and a version that this program reads ({VERSION})")]
    Magic,
    /// See the inner error.
    #[error("item {item}: {error}")]
    Item {
        /// Which item of the sequence, from zero.
        item: u64,
        /// What is wrong.
        error: CodecError,
    },
    /// An item is too long.
    #[error("item {0} has more than {BUNDLE_ITEM_BYTES_MAX} bytes")]
    TooLong(u64),
    /// Items are missing, or too many.
    #[error("the file ends early or has items that its manifest does not announce")]
    Length,
    /// A statement that the bundle is to be about is not here.
    #[error("{0} is not known here; fetch it first, or check the id")]
    Unknown(StatementId),
    /// A statement that the bundle is to be about is not for its readers.
    #[error(
        "{0} is limited to others than the bundle is for; say for which of those that may read it the file is, or that it \
         is to have what is limited all the same"
    )]
    Limited(StatementId),
    /// A claim is to be disclosed that nobody here can disclose.
    #[error("{statement} has no sealed claim {name:?} that this node could disclose")]
    Undisclosed {
        /// The statement.
        statement: StatementId,
        /// The claim's name.
        name: String,
    },
    /// A chain has no head yet.
    #[error("{0} has no head here yet")]
    NoHead(OrganisationId),
    /// A hash that a proof needs is missing.
    #[error("{0}")]
    Missing(#[from] MissingSubtree),
    /// The source cannot be read.
    #[error("{0}")]
    Source(String),
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// Whether a file begins like a bundle, of whatever version.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}
