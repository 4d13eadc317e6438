//! Public vectors: each file of a kind that is implemented is run, and must give what it says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::proof::{verify_consistency, verify_inclusion};
use counterfoil_protocol::ids::{Bytes, Position, TreeSize};
use counterfoil_protocol::keys::{PreparedKey, PublicKey, Verifier as _};
use counterfoil_tests::shared::{files, shared};
use serde::Deserialize;

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
}

fn hashes(texts: &Option<Vec<String>>) -> Option<Vec<Hash>> {
    texts.iter().flatten().map(|text| hash(text)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

impl Consistency {
    fn verifies(&self) -> bool {
        let (Some(from), Some(to), Some(proof)) = (hash(&self.root1), hash(&self.root2), hashes(&self.proof))
        else {
            return false;
        };
        verify_consistency(TreeSize(self.size1), &from, TreeSize(self.size2), &to, &proof).is_ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

impl Inclusion {
    fn verifies(&self) -> bool {
        let (Some(root), Some(leaf), Some(path)) =
            (hash(&self.root), hash(&self.leaf_hash), hashes(&self.proof))
        else {
            return false;
        };
        verify_inclusion(&leaf, Position(self.leaf_idx), TreeSize(self.tree_size), &path, &root).is_ok()
    }
}

/// Runs every file of a folder. Gives how many verified and how many were refused.
fn run<T: for<'de> Deserialize<'de>>(
    folder: &str,
    outcome: impl Fn(&T) -> (bool, bool),
) -> Option<(usize, usize)> {
    let folder = shared(folder)?;
    let (mut verified, mut refused) = (0, 0);
    for path in files(&folder, "json").unwrap() {
        let case: T = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (verifies, should) = outcome(&case);
        assert_eq!(verifies, should, "{}", path.display());
        if verifies { verified += 1 } else { refused += 1 }
    }
    Some((verified, refused))
}

#[test]
fn merkle_consistency_proofs() {
    // Some cases have a text in place of a root, to say that it does not matter. Here a root is a digest of 32 bytes or
    // nothing, so those are refused whatever they say.
    let has_roots = |c: &Consistency| hash(&c.root1).is_some() && hash(&c.root2).is_some();
    let ran = run("vectors/merkle-rfc6962/consistency", |c: &Consistency| {
        (c.verifies(), !c.want_err && has_roots(c))
    });
    if let Some((verified, refused)) = ran {
        assert!(verified >= 5 && refused >= 50, "{verified} verified, {refused} refused");
    }
}

#[test]
fn merkle_inclusion_proofs() {
    let ran = run("vectors/merkle-rfc6962/inclusion", |c: &Inclusion| (c.verifies(), !c.want_err));
    if let Some((verified, refused)) = ran {
        assert!(verified >= 3 && refused >= 50, "{verified} verified, {refused} refused");
    }
}

#[derive(Deserialize)]
struct EdgeCase {
    number: u64,
    key: String,
    sig: String,
    msg: String,
    flags: Option<Vec<String>>,
}

/// Which edge cases of Ed25519 are accepted is frozen: those whose points merely have a component of low order that
/// cancels out. Points of low order, other encodings than the canonical one, and sums that hold only after
/// multiplication by the cofactor are refused.
#[test]
fn ed25519_edge_cases() {
    let Some(folder) = shared("vectors/ed25519-cctv") else { return };
    let mut ran = 0;
    for path in files(&folder, "json").unwrap() {
        let cases: Vec<EdgeCase> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases {
            let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
            let key: [u8; 32] = hex(&case.key).try_into().unwrap();
            let signature = Bytes::<64>(hex(&case.sig).try_into().unwrap());
            let accepted = PublicKey::from_ed25519(&key)
                .is_ok_and(|key| key.verify(case.msg.as_bytes(), &signature).is_ok());
            let refused_for = [
                "low_order_A",
                "low_order_R",
                "non_canonical_A",
                "non_canonical_R",
                "low_order_residue",
                "reencoded_k",
            ];
            let prepared = PublicKey::from_ed25519(&key)
                .and_then(PreparedKey::new)
                .is_ok_and(|key| key.verify(case.msg.as_bytes(), &signature).is_ok());
            assert_eq!(prepared, accepted, "case {}: from tables", case.number);
            let flags = case.flags.unwrap_or_default();
            let expected = !flags.iter().any(|flag| refused_for.contains(&flag.as_str()));
            assert_eq!(accepted, expected, "case {}: {flags:?}", case.number);
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran} cases ran");
}
