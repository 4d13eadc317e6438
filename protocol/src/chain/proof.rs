//! Inclusion and consistency proofs (RFC 9162, sections 2.1.3 and 2.1.4).
//!
//! A proof's length is checked against what the sizes demand before anything is hashed.

use crate::ids::{Position, TreeSize};
use crate::limits::PROOF_HASHES_MAX;

use super::tree::{Hash, node_hash};

/// Where the hashes of complete subtrees come from.
pub trait Subtrees {
    /// Root of the complete subtree of `2^level` leaves that begins at leaf `index * 2^level`.
    fn subtree(&self, level: u32, index: u64) -> Option<Hash>;
}

/// A hash that a proof needs is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no hash at level {level}, index {index}")]
pub struct MissingSubtree {
    /// Level, leaves being 0.
    pub level: u32,
    /// Index within the level.
    pub index: u64,
}

/// Why a proof does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf lies outside the tree.
    #[error("position {position} lies outside a tree of {size}")]
    Position {
        /// Position asked for.
        position: Position,
        /// Size of the tree.
        size: TreeSize,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {from} is no earlier state of a tree of {to}")]
    Order {
        /// Size of the older tree.
        from: TreeSize,
        /// Size of the newer tree.
        to: TreeSize,
    },
    /// Wrong number of hashes.
    #[error("{found} hashes, where the proof has {expected}")]
    Length {
        /// Hashes needed.
        expected: usize,
        /// Hashes given.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

fn length(found: usize, expected: usize) -> Result<(), ProofError> {
    if found == expected && expected <= PROOF_HASHES_MAX {
        Ok(())
    } else {
        Err(ProofError::Length { expected, found })
    }
}

/// Splits the audit path of `position` in a tree of `size`: hashes below the point where the leaf's subtree joins the
/// right border, and hashes on the border.
fn path_shape(position: u64, size: u64) -> (u32, u32) {
    let inner = 64 - (position ^ (size - 1)).leading_zeros();
    let border = position.checked_shr(inner).unwrap_or(0).count_ones();
    (inner, border)
}

/// The root that an inclusion proof leads to.
///
/// # Errors
/// [`ProofError`] when the proof has the wrong form for the size; never [`ProofError::Root`].
pub fn root_from_inclusion(
    leaf: &Hash,
    position: Position,
    size: TreeSize,
    path: &[Hash],
) -> Result<Hash, ProofError> {
    if !size.contains(position) {
        return Err(ProofError::Position { position, size });
    }
    let (inner, border) = path_shape(position.0, size.0);
    length(path.len(), (inner + border) as usize)?;
    let (below, above) = path.split_at(inner as usize);
    let mut hash = *leaf;
    for (level, sibling) in below.iter().enumerate() {
        hash =
            if position.0 >> level & 1 == 0 { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) };
    }
    Ok(above.iter().fold(hash, |hash, left| node_hash(left, &hash)))
}

/// Checks that `leaf` stands at `position` of the tree with this size and root.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    position: Position,
    size: TreeSize,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if root_from_inclusion(leaf, position, size, path)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The two roots, older and newer, that the hashes of a consistency proof lead to.
///
/// `from_root` is used as the starting hash only where the older tree is a complete subtree of the newer and the proof
/// therefore leaves it out (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// [`ProofError`] for a wrong form; never [`ProofError::Root`].
pub fn roots_from_consistency(
    from: TreeSize,
    from_root: &Hash,
    to: TreeSize,
    proof: &[Hash],
) -> Result<(Hash, Hash), ProofError> {
    let (old, new) = (from.0, to.0);
    if old > new {
        return Err(ProofError::Order { from, to });
    }
    if old == new || old == 0 {
        length(proof.len(), 0)?;
        return Ok((*from_root, *from_root));
    }
    let (inner, border) = path_shape(old - 1, new);
    let shift = old.trailing_zeros();
    let inner = inner - shift;
    let complete = old.is_power_of_two();
    length(proof.len(), (inner + border) as usize + usize::from(!complete))?;
    let (seed, rest) = match proof.split_first() {
        Some((first, rest)) if !complete => (*first, rest),
        _ => (*from_root, proof),
    };
    let (below, above) = rest.split_at(inner as usize);
    let mask = (old - 1) >> shift;
    let (mut older, mut newer) = (seed, seed);
    for (level, hash) in below.iter().enumerate() {
        if mask >> level & 1 == 1 {
            older = node_hash(hash, &older);
            newer = node_hash(hash, &newer);
        } else {
            newer = node_hash(&newer, hash);
        }
    }
    for left in above {
        older = node_hash(left, &older);
        newer = node_hash(left, &newer);
    }
    Ok((older, newer))
}

/// Checks that the tree of size `to` begins with the tree of size `from`.
///
/// From the empty tree everything follows, and the proof is empty; equal sizes need equal roots.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    from: TreeSize,
    from_root: &Hash,
    to: TreeSize,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (older, newer) = roots_from_consistency(from, from_root, to, proof)?;
    if from.0 == 0 {
        let is_empty = *from_root == super::tree::empty_root() && (to.0 > 0 || to_root == from_root);
        return if is_empty { Ok(()) } else { Err(ProofError::Root) };
    }
    if older == *from_root && newer == *to_root { Ok(()) } else { Err(ProofError::Root) }
}

/// Root of the `count` leaves from `start` on, where `start` is a multiple of the largest power of two in `count`.
fn range_root(tree: &impl Subtrees, start: u64, count: u64) -> Result<Hash, MissingSubtree> {
    let mut peaks = Vec::new();
    let (mut at, mut left) = (start, count);
    while left > 0 {
        let level = 63 - left.leading_zeros();
        let index = at >> level;
        peaks.push(tree.subtree(level, index).ok_or(MissingSubtree { level, index })?);
        at += 1 << level;
        left -= 1 << level;
    }
    let mut peaks = peaks.iter().rev();
    let last = peaks.next().copied().unwrap_or_else(super::tree::empty_root);
    Ok(peaks.fold(last, |right, left| node_hash(left, &right)))
}

/// Root of the first `size` leaves.
///
/// # Errors
/// [`MissingSubtree`] when the source lacks a hash.
pub fn root(tree: &impl Subtrees, size: TreeSize) -> Result<Hash, MissingSubtree> {
    range_root(tree, 0, size.0)
}

fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// The inclusion proof of `position` in the tree of `size`.
///
/// # Errors
/// [`MissingSubtree`] when the position lies outside, or the source lacks a hash.
pub fn inclusion_proof(
    tree: &impl Subtrees,
    position: Position,
    size: TreeSize,
) -> Result<Vec<Hash>, MissingSubtree> {
    if !size.contains(position) {
        return Err(MissingSubtree { level: 0, index: position.0 });
    }
    let mut path = Vec::new();
    let (mut start, mut count) = (0, size.0);
    while count > 1 {
        let middle = split(count);
        if position.0 - start < middle {
            path.push(range_root(tree, start + middle, count - middle)?);
            count = middle;
        } else {
            path.push(range_root(tree, start, middle)?);
            start += middle;
            count -= middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of size `to` begins with the tree of size `from`.
///
/// # Errors
/// [`MissingSubtree`] when `from` exceeds `to`, or the source lacks a hash.
pub fn consistency_proof(
    tree: &impl Subtrees,
    from: TreeSize,
    to: TreeSize,
) -> Result<Vec<Hash>, MissingSubtree> {
    if from > to {
        return Err(MissingSubtree { level: 0, index: from.0 });
    }
    if from.0 == 0 || from == to {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let (mut start, mut count, mut whole) = (0, to.0, true);
    let mut old = from.0;
    while old != count {
        let middle = split(count);
        if old <= middle {
            proof.push(range_root(tree, start + middle, count - middle)?);
            count = middle;
        } else {
            proof.push(range_root(tree, start, middle)?);
            start += middle;
            old -= middle;
            count -= middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(tree, start, count)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Leaf hashes in memory.
#[derive(Debug, Clone, Default)]
pub struct LeafHashes(pub Vec<Hash>);

impl Subtrees for LeafHashes {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        let width = 1usize.checked_shl(level)?;
        let start = usize::try_from(index).ok()?.checked_mul(width)?;
        let mut layer = self.0.get(start..start.checked_add(width)?)?.to_vec();
        while layer.len() > 1 {
            layer = layer
                .chunks(2)
                .filter_map(|pair| match pair {
                    [left, right] => Some(node_hash(left, right)),
                    _ => None,
                })
                .collect();
        }
        layer.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::tree::{CompactRange, leaf_hash};

    fn tree(size: u64) -> (LeafHashes, Vec<Hash>) {
        let mut range = CompactRange::default();
        let mut roots = vec![range.root()];
        let mut leaves = LeafHashes::default();
        for n in 0..size {
            let leaf = leaf_hash(&n.to_be_bytes());
            leaves.0.push(leaf);
            range.append(leaf);
            roots.push(range.root());
        }
        (leaves, roots)
    }

    #[test]
    fn every_proof_of_small_trees_verifies_and_no_other_root_does() {
        let (leaves, roots) = tree(34);
        for size in 0..=34u64 {
            let root = &roots[size as usize];
            for position in 0..size {
                let path = inclusion_proof(&leaves, Position(position), TreeSize(size)).unwrap();
                let leaf = &leaves.0[position as usize];
                let verify =
                    |leaf, root| verify_inclusion(leaf, Position(position), TreeSize(size), &path, root);
                assert_eq!(verify(leaf, root), Ok(()));
                assert_eq!(verify(&leaf_hash(b"other"), root), Err(ProofError::Root));
            }
            for from in 0..=size {
                let proof = consistency_proof(&leaves, TreeSize(from), TreeSize(size)).unwrap();
                let verify = |from_root, to_root| {
                    verify_consistency(TreeSize(from), from_root, TreeSize(size), to_root, &proof)
                };
                assert_eq!(verify(&roots[from as usize], root), Ok(()), "{from} to {size}");
                let other = leaf_hash(b"other");
                assert_eq!(verify(&other, root), Err(ProofError::Root), "{from} to {size}");
                if from > 0 {
                    assert_eq!(verify(&roots[from as usize], &other), Err(ProofError::Root));
                }
            }
        }
    }

    #[test]
    fn wrong_lengths_and_positions_are_refused_before_hashing() {
        let (leaves, roots) = tree(7);
        let mut path = inclusion_proof(&leaves, Position(3), TreeSize(7)).unwrap();
        path.push(roots[1]);
        let leaf = &leaves.0[3];
        assert_eq!(
            verify_inclusion(leaf, Position(3), TreeSize(7), &path, &roots[7]),
            Err(ProofError::Length { expected: 3, found: 4 })
        );
        assert!(matches!(
            verify_inclusion(leaf, Position(7), TreeSize(7), &path, &roots[7]),
            Err(ProofError::Position { .. })
        ));
        assert!(matches!(
            verify_consistency(TreeSize(8), &roots[7], TreeSize(7), &roots[7], &[]),
            Err(ProofError::Order { .. })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_proofs_never_panic(
            position in any::<u64>(), size in any::<u64>(), other in any::<u64>(),
            hashes in proptest::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
        ) {
            let root = leaf_hash(b"root");
            let _ = verify_inclusion(&root, Position(position), TreeSize(size), &hashes, &root);
            let _ = verify_consistency(TreeSize(other), &root, TreeSize(size), &root, &hashes);
        }
    }
}
