//! What an honest organisation signed proves nothing against it, however it is put together; two chains of one
//! organisation always give a proof.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use counterfoil_protocol::chain::misbehaviour::{
    Contradiction, Evidence, Misbehaviour, ProvenLeaf, contradiction,
};
use counterfoil_protocol::chain::proof::{LeafHashes, consistency_proof, inclusion_proof, root};
use counterfoil_protocol::chain::receipt::{Receipt, receipt};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{Hash, HeadDraft, SignedHead};
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::StandingDigest;
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, Timestamp, TreeSize};
use counterfoil_protocol::keys::{SecretKey, Signer as _};
use counterfoil_protocol::test_support::TestOrganisation;
use proptest::prelude::*;

static ACCUSED: LazyLock<TestOrganisation> = LazyLock::new(|| TestOrganisation::new(1));
static OTHER: LazyLock<TestOrganisation> = LazyLock::new(|| TestOrganisation::new(2));

/// One chain with every head that was signed over it.
#[derive(Clone)]
struct History {
    digests: Vec<LeafDigest>,
    leaves: LeafHashes,
    heads: Vec<SignedHead>,
}

impl History {
    fn empty() -> Self {
        Self { digests: Vec::new(), leaves: LeafHashes::default(), heads: Vec::new() }
    }

    /// Commits `count` statements, told apart by `salt`, under a new head.
    fn commit(&mut self, organisation: &TestOrganisation, count: u64, salt: u8) {
        for _ in 0..count {
            let digest = LeafDigest::of(&[&[salt][..], &self.digests.len().to_be_bytes()].concat());
            self.leaves.0.push(digest.leaf_hash());
            self.digests.push(digest);
        }
        let size = TreeSize(self.digests.len() as u64);
        let draft = HeadDraft {
            organisation: organisation.id(),
            seq: HeadSeq(self.heads.len() as u64),
            previous: self.heads.last().map(SignedHead::hash),
            size,
            root: root(&self.leaves, size).unwrap(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(size.0),
        };
        self.heads.push(draft.sign(organisation.chain_key.as_ref()).unwrap());
    }

    fn grow(&mut self, organisation: &TestOrganisation, commits: &[u64], salt: u8) {
        commits.iter().for_each(|count| self.commit(organisation, *count, salt));
    }

    fn of(organisation: &TestOrganisation, commits: &[u64]) -> Self {
        let mut history = Self::empty();
        history.grow(organisation, commits, 0);
        history
    }

    fn proven(&self, position: u64, head: &SignedHead) -> ProvenLeaf {
        let path = inclusion_proof(&self.leaves, Position(position), head.size()).unwrap();
        let (key, signature) = (ACCUSED.chain_key.public_key(), head.receipt_signature());
        let receipt =
            receipt(&ACCUSED.id(), &key, signature, head.size(), Position(position), &path).unwrap();
        let receipt = Receipt::parse(&receipt).unwrap();
        ProvenLeaf::of_receipt(&receipt, self.digests[position as usize], &note(head).0)
    }
}

fn note(head: &SignedHead) -> ByteString {
    ByteString(head.note().to_string().into_bytes())
}

fn inception() -> Vec<u8> {
    ACCUSED.inception.statement().bytes().to_vec()
}

fn commits() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(1u64..6, 1..9)
}

/// Everything that can be cut out of what the honest signed, or made from it by anybody.
struct Pieces {
    heads: Vec<ByteString>,
    notes: Vec<ByteString>,
    hashes: Vec<Vec<Hash>>,
    roots: Vec<Hash>,
    digests: Vec<LeafDigest>,
}

impl Pieces {
    fn of(history: &History, other: &History) -> Self {
        let signed = || history.heads.iter().chain(&other.heads);
        let mut hashes = vec![Vec::new()];
        let mut roots = Vec::new();
        for history in [history, other] {
            let last = history.digests.len() as u64;
            for size in 1..=last {
                roots.push(root(&history.leaves, TreeSize(size)).unwrap());
                for n in 0..size {
                    hashes.push(inclusion_proof(&history.leaves, Position(n), TreeSize(size)).unwrap());
                    hashes.push(consistency_proof(&history.leaves, TreeSize(n), TreeSize(size)).unwrap());
                }
            }
        }
        roots.extend(history.leaves.0.iter().copied());
        Self {
            heads: signed().map(|head| ByteString(head.bytes().to_vec())).collect(),
            notes: signed().map(note).collect(),
            hashes,
            roots,
            digests: history.digests.iter().chain(&other.digests).copied().collect(),
        }
    }
}

/// How an adversary picks and changes pieces.
#[derive(Debug, Clone)]
struct Choice {
    form: u8,
    picks: [prop::sample::Index; 8],
    /// Bits to change, of the evidence's bytes; none most of the time.
    flip: Option<(prop::sample::Index, u8)>,
    inception: u8,
}

fn choice() -> impl Strategy<Value = Choice> {
    let flip = prop::option::weighted(0.3, (any::<prop::sample::Index>(), 0u8..8));
    (0u8..5, any::<[prop::sample::Index; 8]>(), flip, 0u8..8)
        .prop_map(|(form, picks, flip, inception)| Choice { form, picks, flip, inception })
}

fn evidence(pieces: &Pieces, choice: &Choice) -> Evidence {
    let pick = &choice.picks;
    let (one, other) = (pick[0].get(&pieces.notes).clone(), pick[1].get(&pieces.notes).clone());
    let hashes = |n: usize| pick[n].get(&pieces.hashes).clone();
    let leaf = |checkpoint, digest: usize, path: usize| {
        Box::new(ProvenLeaf { checkpoint, digest: *pick[digest].get(&pieces.digests), path: hashes(path) })
    };
    match choice.form {
        0 => Evidence::Heads {
            one: pick[0].get(&pieces.heads).clone(),
            other: pick[1].get(&pieces.heads).clone(),
        },
        1 => Evidence::Checkpoints { one, other },
        2 => {
            Evidence::Prefix { older: one, newer: other, root: *pick[2].get(&pieces.roots), proof: hashes(3) }
        }
        _ => Evidence::Leaves {
            position: Position(pick[7].index(40) as u64),
            one: leaf(one, 2, 3),
            other: leaf(other, 4, 5),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_the_honest_signed_proves_anything(
        own in commits(), others in commits(), choices in prop::collection::vec(choice(), 64),
    ) {
        let (history, other) = (History::of(&ACCUSED, &own), History::of(&OTHER, &others));
        let pieces = Pieces::of(&history, &other);
        for choice in &choices {
            let inception = match choice.inception {
                0 => OTHER.inception.statement().bytes().to_vec(),
                _ => inception(),
            };
            let proof = Misbehaviour { inception: ByteString(inception), evidence: evidence(&pieces, choice) };
            prop_assert!(proof.check().is_err(), "{proof:?}");
            let mut bytes = codec::encode(&proof).unwrap();
            prop_assert_eq!(Misbehaviour::parse(&bytes).unwrap(), proof);
            if let Some((at, bit)) = choice.flip {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                let checked = Misbehaviour::parse(&bytes).and_then(|proof| proof.check());
                prop_assert!(checked.is_err(), "{checked:?}");
            }
        }
    }

    /// The pieces that fit each other best: all true proofs between all heads.
    #[test]
    fn no_two_heads_of_one_chain_contradict_each_other(own in commits()) {
        let history = History::of(&ACCUSED, &own);
        for (older, newer) in
            history.heads.iter().flat_map(|one| history.heads.iter().map(move |other| (one, other)))
        {
            prop_assert_eq!(contradiction(older, newer), None);
            prop_assert_eq!(Misbehaviour::of(&inception(), older, newer), None);
            let (one, other) = (note(older).0, note(newer).0);
            prop_assert_eq!(Misbehaviour::of_checkpoints(&inception(), &one, &other), None);
            if older.size() < newer.size() {
                let proof = consistency_proof(&history.leaves, older.size(), newer.size()).unwrap();
                for given in [older.root(), newer.root()] {
                    prop_assert_eq!(Misbehaviour::of_prefix(&inception(), older, newer, &given, &proof), None);
                }
            }
            for position in 0..older.size().0.min(newer.size().0) {
                let leaves = [older, newer].map(|head| history.proven(position, head));
                let [one, other] = leaves;
                prop_assert_eq!(Misbehaviour::of_leaves(&inception(), Position(position), one, other), None);
            }
        }
    }

    /// A fork at a random point, with commits of any sizes on both sides.
    #[test]
    fn every_fork_gives_a_proof_of_each_form_that_fits(
        before in commits(), one in commits(), other in commits(),
    ) {
        let common = History::of(&ACCUSED, &before);
        let fork = common.digests.len() as u64;
        let (mut left, mut right) = (common.clone(), common);
        left.grow(&ACCUSED, &one, 1);
        right.grow(&ACCUSED, &other, 2);
        for a in left.heads.iter().filter(|head| head.size().0 > fork) {
            for b in right.heads.iter().filter(|head| head.size().0 > fork) {
                for proof in proofs(&left, &right, a, b, fork)? {
                    let bytes = codec::encode(&proof).unwrap();
                    let (guilty, _) = Misbehaviour::parse(&bytes).unwrap().check().unwrap();
                    prop_assert_eq!(guilty, ACCUSED.id());
                }
            }
        }
    }
}

/// The proofs that two heads on both sides of a fork give: each form that can apply must.
fn proofs(
    left: &History,
    right: &History,
    a: &SignedHead,
    b: &SignedHead,
    fork: u64,
) -> Result<Vec<Misbehaviour>, TestCaseError> {
    let inception = inception();
    let mut found = Vec::new();
    let mut forms = BTreeSet::new();
    if let Some(proof) = Misbehaviour::of(&inception, a, b) {
        let (_, how) = proof.check().unwrap();
        prop_assert_eq!(Some(how), contradiction(a, b));
        forms.insert(how);
        found.push(proof);
    }
    prop_assert_eq!(a.seq() == b.seq(), forms.contains(&Contradiction::Sequence));
    if a.size() == b.size() {
        let proof = Misbehaviour::of_checkpoints(&inception, &note(a).0, &note(b).0);
        prop_assert!(proof.is_some());
        found.extend(proof);
    } else {
        let (older, newer, tree) = if a.size() < b.size() { (a, b, right) } else { (b, a, left) };
        let given = root(&tree.leaves, older.size()).unwrap();
        let hashes = consistency_proof(&tree.leaves, older.size(), newer.size()).unwrap();
        let proof = Misbehaviour::of_prefix(&inception, older, newer, &given, &hashes);
        prop_assert!(proof.is_some());
        found.extend(proof);
    }
    for position in fork..a.size().0.min(b.size().0) {
        let (one, other) = (left.proven(position, a), right.proven(position, b));
        let proof = Misbehaviour::of_leaves(&inception, Position(position), one, other);
        prop_assert!(proof.is_some(), "position {}", position);
        found.extend(proof);
    }
    Ok(found)
}

#[test]
fn a_later_head_that_covers_less_is_a_contradiction_of_its_own() {
    let history = History::of(&ACCUSED, &[3, 2]);
    let last = history.heads.last().unwrap();
    let draft = HeadDraft {
        organisation: ACCUSED.id(),
        seq: HeadSeq(9),
        previous: Some(last.hash()),
        size: TreeSize(4),
        root: root(&history.leaves, TreeSize(4)).unwrap(),
        standing: StandingDigest::EMPTY,
        issued_at: Timestamp(9),
    };
    let shorter = draft.sign(ACCUSED.chain_key.as_ref()).unwrap();
    let proof = Misbehaviour::of(&inception(), &shorter, last).unwrap();
    let conviction = proof.convict().unwrap();
    assert_eq!(conviction.how, Contradiction::Order);
    assert_eq!(conviction.signed.map(|signed| signed.size), [TreeSize(5), TreeSize(4)]);
}

#[test]
fn what_another_key_signed_convicts_nobody() {
    let stranger = SecretKey::from_seed(&[9; 32]);
    assert_ne!(stranger.public_key(), ACCUSED.chain_key.public_key());
    let head = |root: u8| {
        HeadDraft {
            organisation: ACCUSED.id(),
            seq: HeadSeq(1),
            previous: None,
            size: TreeSize(1),
            root: Hash([root; 32]),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(1),
        }
        .sign(&stranger)
        .unwrap()
    };
    // Nobody can open these heads; a careless caller who has them nevertheless gets proofs that do not check.
    let proof = Misbehaviour::of(&inception(), &head(1), &head(2)).unwrap();
    assert!(proof.check().is_err());
    let (one, other) = (note(&head(1)).0, note(&head(2)).0);
    assert_eq!(Misbehaviour::of_checkpoints(&inception(), &one, &other), None);
}
