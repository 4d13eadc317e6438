//! Another implementation of RFC 9162 says the same: roots, inclusion and consistency proofs, made by either side and
//! checked by the other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::chain::proof::{
    LeafHashes, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::chain::{CompactRange, Hash};
use counterfoil_protocol::ids::{Position, TreeSize};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use sha2::Sha256;

const LARGEST: u64 = 70;

fn entry(n: u64) -> [u8; 32] {
    counterfoil_protocol::digest::sha256(&[&n.to_be_bytes()])
}

fn ours(size: u64) -> (LeafHashes, Hash) {
    let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&entry(n))).collect();
    let mut range = CompactRange::default();
    leaves.iter().for_each(|leaf| range.append(*leaf));
    (LeafHashes(leaves), range.root())
}

fn theirs(size: u64) -> MemoryBackedTree<Sha256, [u8; 32]> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|n| tree.push(entry(n)));
    tree
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| Hash(hash.try_into().unwrap())).collect()
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn roots_and_inclusion_proofs_agree() {
    for size in 1..LARGEST {
        let ((leaves, root), tree) = (ours(size), theirs(size));
        assert_eq!(tree.root().as_bytes().as_slice(), root.0);
        for n in 0..size {
            let made = inclusion_proof(&leaves, Position(n), TreeSize(size)).unwrap();
            let proof = tree.prove_inclusion(usize::try_from(n).unwrap());
            assert_eq!(hashes(proof.as_bytes()), made, "{n} of {size}");
            let proof = InclusionProof::<Sha256>::try_from_bytes(bytes(&made)).unwrap();
            tree.root().verify_inclusion(&entry(n), n, &proof).unwrap();
            let leaf = leaf_hash(&entry(n));
            verify_inclusion(&leaf, Position(n), TreeSize(size), &made, &root).unwrap();
        }
    }
}

#[test]
fn consistency_proofs_agree() {
    for size in 2..LARGEST {
        let ((leaves, root), tree) = (ours(size), theirs(size));
        for from in 1..size {
            let (_, older) = ours(from);
            let made = consistency_proof(&leaves, TreeSize(from), TreeSize(size)).unwrap();
            let proof = tree.prove_consistency(usize::try_from(size - from).unwrap());
            assert_eq!(hashes(proof.as_bytes()), made, "{from} to {size}");
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&made)).unwrap();
            tree.root().verify_consistency(&theirs(from).root(), &proof).unwrap();
            verify_consistency(TreeSize(from), &older, TreeSize(size), &root, &made).unwrap();
        }
    }
}
