//! Other implementations say the same: RFC 9162 roots and proofs, and C2SP notes, made by either side and checked by the
//! other; Ed25519 as Wycheproof's vectors have it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use base64::Engine as _;
use counterfoil_protocol::chain::checkpoint::verifier;
use counterfoil_protocol::chain::note::{Note, VerifierKey};
use counterfoil_protocol::chain::proof::{
    LeafHashes, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::chain::{CompactRange, Hash, HeadDraft};
use counterfoil_protocol::identity::StandingDigest;
use counterfoil_protocol::ids::{Bytes, HeadSeq, Position, Timestamp, TreeSize};
use counterfoil_protocol::keys::{PreparedKey, PublicKey, SecretKey, Signer as _, Verifier as _};
use counterfoil_protocol::test_support::TestOrganisation;
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

/// The secret key of a Go signer, which is the form that others read: `PRIVATE+KEY+<name>+<key id>+<base64 of 01 and seed>`.
fn go_signer(name: &str, seed: [u8; 32], key: &PublicKey) -> String {
    let id = signed_note::key_id(name, &[&[1u8][..], key.as_bytes()].concat());
    let secret = base64::engine::general_purpose::STANDARD.encode([&[1u8][..], &seed].concat());
    format!("PRIVATE+KEY+{name}+{id:08x}+{secret}")
}

#[test]
fn notes_of_either_side_are_opened_by_the_other() {
    use signed_note::Signer as _;
    let organisation = TestOrganisation::new(1);
    let key = verifier(&organisation.id(), organisation.chain_key.public_key()).unwrap();
    let head = HeadDraft {
        organisation: organisation.id(),
        seq: HeadSeq(0),
        previous: None,
        size: TreeSize(5),
        root: ours(5).1,
        standing: StandingDigest::EMPTY,
        issued_at: Timestamp(1000),
    };
    let head = head.sign(organisation.chain_key.as_ref()).unwrap();
    let text = head.note().to_string();
    let open = |text: &str| {
        let known = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
        let list = signed_note::VerifierList::new(vec![Box::new(known)]);
        signed_note::Note::from_bytes(text.as_bytes())
            .unwrap()
            .verify(&list)
            .is_ok_and(|(known, _)| known.len() == 1)
    };
    assert!(open(&text));
    assert!(!open(&text.replace("\n5\n", "\n6\n")));

    // Theirs, with a second signature that nobody here knows.
    let (seed, name) = ([7; 32], "log.example");
    let secret = SecretKey::from_seed(&seed);
    let signer = signed_note::StandardSigner::new(&go_signer(name, seed, &secret.public_key())).unwrap();
    let other = SecretKey::from_seed(&[8; 32]);
    let other = signed_note::StandardSigner::new(&go_signer("other", [8; 32], &other.public_key())).unwrap();
    let mut note = signed_note::Note::new(b"log.example\n1\nAAAA\n", &[]).unwrap();
    note.add_sigs(&[&signer, &other]).unwrap();
    let key = VerifierKey::note(name, secret.public_key()).unwrap();
    assert_eq!(signer.name(), name);
    let bytes = note.to_bytes();
    Note::parse(&bytes).unwrap().verify(&key).unwrap();
    let changed = String::from_utf8(bytes).unwrap().replace("AAAA", "AAAB");
    assert!(Note::parse(changed.as_bytes()).unwrap().verify(&key).is_err());
}

/// Wycheproof's vectors, under the strict rule: valid ones hold, everything else is refused.
#[test]
fn ed25519_judges_as_wycheproof_says() {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut ran = [0, 0];
    for group in set.test_groups {
        let key = PublicKey::from_ed25519(group.key.pk[..].try_into().unwrap());
        for test in group.tests {
            let signature: Option<[u8; 64]> = test.sig[..].try_into().ok();
            let holds = key.as_ref().ok().zip(signature).is_some_and(|(key, signature)| {
                let signature = Bytes(signature);
                let plain = key.verify(&test.msg, &signature);
                assert_eq!(PreparedKey::new(*key).unwrap().verify(&test.msg, &signature), plain);
                plain.is_ok()
            });
            assert_eq!(holds, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            ran[usize::from(holds)] += 1;
        }
    }
    assert!(ran.iter().all(|count| *count > 50), "{ran:?}");
}
