//! Merkle tree hashes (RFC 9162, section 2.1) and the compact range that appends to a tree without holding it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::sha256;
use crate::ids::{Bytes, TreeSize, base32};

/// A node of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// SHA-256 of a statement's bytes: the entry that the tree hashes, 32 bytes whatever the statement's size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafDigest(pub [u8; 32]);

macro_rules! bytes_like {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32(&self.0))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Bytes(self.0).serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Bytes::<32>::deserialize(deserializer).map(|bytes| Self(bytes.0))
            }
        }
    };
}

bytes_like!(Hash);
bytes_like!(LeafDigest);

impl LeafDigest {
    /// The digest of a statement.
    pub fn of(statement: &[u8]) -> Self {
        Self(sha256(&[statement]))
    }

    /// The leaf's hash in the tree.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.0)
    }
}

/// Hash of a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(sha256(&[&[0x00], entry]))
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(sha256(&[&[0x01], &left.0, &right.0]))
}

/// Root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(sha256(&[]))
}

/// The roots of the complete subtrees that a tree of some size consists of, largest first.
///
/// It has as many peaks as the size has one bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(try_from = "RawRange", into = "RawRange")]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl TryFrom<RawRange> for CompactRange {
    type Error = RangeError;

    fn try_from(raw: RawRange) -> Result<Self, RangeError> {
        Self::from_parts(TreeSize(raw.size), raw.peaks)
    }
}

impl From<CompactRange> for RawRange {
    fn from(range: CompactRange) -> Self {
        Self { size: range.size, peaks: range.peaks }
    }
}

/// The number of peaks does not fit the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {expected} peaks, not {found}")]
pub struct RangeError {
    /// Size given.
    pub size: TreeSize,
    /// Peaks that it has.
    pub expected: u32,
    /// Peaks given.
    pub found: usize,
}

/// A subtree that no tree has at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no complete subtree of level {level} begins behind {size} leaves")]
pub struct UnalignedSubtree {
    /// Level given, leaves being 0.
    pub level: u32,
    /// Leaves before it.
    pub size: TreeSize,
}

impl CompactRange {
    /// The range with these peaks.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn from_parts(size: TreeSize, peaks: Vec<Hash>) -> Result<Self, RangeError> {
        let expected = size.0.count_ones();
        if peaks.len() == expected as usize {
            Ok(Self { size: size.0, peaks })
        } else {
            Err(RangeError { size, expected, found: peaks.len() })
        }
    }

    /// Number of leaves.
    pub const fn size(&self) -> TreeSize {
        TreeSize(self.size)
    }

    /// Roots of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf, by its hash.
    pub fn append(&mut self, leaf: Hash) {
        self.join(0, leaf);
        self.size = self.size.saturating_add(1);
    }

    /// Adds the complete subtree of `2^level` leaves that has this root.
    ///
    /// # Errors
    /// [`UnalignedSubtree`] when no such subtree of a tree begins at this size; nothing is changed then.
    pub fn append_subtree(&mut self, level: u32, root: Hash) -> Result<(), UnalignedSubtree> {
        let refused = UnalignedSubtree { level, size: TreeSize(self.size) };
        let leaves = 1u64.checked_shl(level).ok_or(refused)?;
        let size = self.size.checked_add(leaves).ok_or(refused)?;
        if !self.size.is_multiple_of(leaves) {
            return Err(refused);
        }
        self.join(level, root);
        self.size = size;
        Ok(())
    }

    /// Joins a subtree with those of its size to its left.
    fn join(&mut self, level: u32, root: Hash) {
        let mut hash = root;
        let mut size = self.size >> level;
        while size & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            size >>= 1;
        }
        self.peaks.push(hash);
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162, section 2.1.1, word for word.
    fn definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&definition(&leaves[..split]), &definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn appending_gives_the_root_of_the_definition() {
        let leaves: Vec<Hash> = (0u16..130).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut range = CompactRange::default();
        for size in 0..=leaves.len() {
            assert_eq!(range.root(), definition(&leaves[..size]), "size {size}");
            assert_eq!(range.peaks().len(), size.count_ones() as usize);
            if let Some(leaf) = leaves.get(size) {
                range.append(*leaf);
            }
        }
        let bytes = crate::codec::encode(&range).unwrap();
        assert_eq!(crate::codec::decode::<CompactRange>(&bytes, 4096).unwrap(), range);
    }

    #[test]
    fn subtrees_stand_for_their_leaves() {
        let leaves: Vec<Hash> = (0u16..64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for size in 0..leaves.len() {
            let mut whole = CompactRange::default();
            leaves[..size].iter().for_each(|leaf| whole.append(*leaf));
            for level in 0..7u32 {
                let width = 1 << level;
                let mut range = whole.clone();
                let fits = size % width == 0;
                let root = definition(leaves.get(size..size + width).unwrap_or(&leaves[..1]));
                assert_eq!(range.append_subtree(level, root).is_ok(), fits, "{level} behind {size}");
                if fits && size + width <= leaves.len() {
                    assert_eq!(range.root(), definition(&leaves[..size + width]));
                }
                assert!(fits || range == whole);
            }
        }
        assert!(CompactRange::default().append_subtree(64, empty_root()).is_err());
        let mut full = CompactRange::default();
        full.append_subtree(63, empty_root()).unwrap();
        assert!(full.append_subtree(63, empty_root()).is_err());
    }

    #[test]
    fn peaks_must_fit_the_size() {
        assert!(CompactRange::from_parts(TreeSize(3), vec![empty_root()]).is_err());
    }
}
