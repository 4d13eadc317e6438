//! What an honest organisation signed proves nothing against it, however it is put together, also when it lost what it had
//! signed last and went on in a new epoch; two chains of one organisation always give a proof, whatever the epoch.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use counterfoil_protocol::chain::misbehaviour::{
    Accused, Contradiction, Evidence, Misbehaviour, ProvenLeaf, contradiction,
};
use counterfoil_protocol::chain::proof::{LeafHashes, consistency_proof, inclusion_proof, root};
use counterfoil_protocol::chain::receipt::{Receipt, receipt};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{Hash, HeadDraft, SignedHead};
use counterfoil_protocol::codec;
use counterfoil_protocol::identity::{Organisation, StandingDigest, Succession, epoch_of, first_seq};
use counterfoil_protocol::ids::{ByteString, HeadSeq, Position, Timestamp, TreeSize};
use counterfoil_protocol::keys::{PublicKey, SecretKey, Signer as _};
use counterfoil_protocol::statement::{Kind, Payload, Statement};
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_protocol::test_support::recovery::recovery;
use proptest::prelude::*;

static ACCUSED: LazyLock<TestOrganisation> = LazyLock::new(|| TestOrganisation::new(1));
static OTHER: LazyLock<TestOrganisation> = LazyLock::new(|| TestOrganisation::new(2));

/// One chain with every head that was signed over it.
#[derive(Clone)]
struct History {
    digests: Vec<LeafDigest>,
    leaves: LeafHashes,
    heads: Vec<SignedHead>,
    epoch: u64,
    /// What leads to the chain key of the epoch.
    succession: Vec<ByteString>,
}

impl History {
    fn empty() -> Self {
        let leaves = LeafHashes::default();
        Self { digests: Vec::new(), leaves, heads: Vec::new(), epoch: 0, succession: Vec::new() }
    }

    fn accused(&self) -> Accused {
        Accused { succession: self.succession.clone(), ..Accused::from(&inception()) }
    }

    /// What becomes of the chain when everything behind its `last`th head is lost: it goes on from there in a new epoch.
    fn recovered(&self, organisation: &TestOrganisation, last: usize) -> Self {
        let base = &self.heads[last];
        let mut next = self.clone();
        next.heads.truncate(last + 1);
        next.digests.truncate(base.size().0 as usize);
        next.leaves.0.truncate(base.size().0 as usize);
        let now = description(organisation, &self.succession);
        next.epoch += 1;
        let version = organisation.recovered(&now, recovery(base), next.epoch);
        let statement = organisation.root_statement(Kind::Organisation, &version);
        let digest = statement.statement().leaf_digest();
        next.digests.push(digest);
        next.leaves.0.push(digest.leaf_hash());
        next.succession.push(ByteString(statement.statement().bytes().to_vec()));
        next
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
            seq: match self.heads.last().map(SignedHead::seq) {
                Some(last) if epoch_of(last) == self.epoch => HeadSeq(last.0 + 1),
                _ => first_seq(self.epoch),
            },
            previous: self.heads.last().map(SignedHead::hash),
            size,
            root: root(&self.leaves, size).unwrap(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(size.0),
        };
        self.heads.push(draft.sign(&organisation.epoch_key(self.epoch)).unwrap());
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
        let (key, signature) = (chain_key(head), head.receipt_signature());
        let receipt =
            receipt(&ACCUSED.id(), &key, signature, head.size(), Position(position), &path).unwrap();
        let receipt = Receipt::parse(&receipt).unwrap();
        ProvenLeaf::of_receipt(&receipt, self.digests[position as usize], &note(head).0)
    }
}

fn chain_key(head: &SignedHead) -> PublicKey {
    ACCUSED.epoch_key(epoch_of(head.seq())).public_key()
}

/// What the organisation says about itself by the last of its versions.
fn description(organisation: &TestOrganisation, succession: &[ByteString]) -> Organisation {
    let latest = succession.last().map(|bytes| Statement::parse(bytes.0.as_slice()).unwrap());
    let latest = latest.as_ref().unwrap_or(organisation.inception.statement());
    match Payload::decode(Kind::Organisation, latest.payload()).unwrap() {
        Payload::Organisation(organisation, _) => *organisation,
        _ => unreachable!("an organisation"),
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
    fn of(histories: &[History]) -> Self {
        let signed = || histories.iter().flat_map(|history| &history.heads);
        let mut hashes = vec![Vec::new()];
        let mut roots = Vec::new();
        for history in histories {
            let last = history.digests.len() as u64;
            for size in 1..=last {
                roots.push(root(&history.leaves, TreeSize(size)).unwrap());
                for n in 0..size {
                    hashes.push(inclusion_proof(&history.leaves, Position(n), TreeSize(size)).unwrap());
                    hashes.push(consistency_proof(&history.leaves, TreeSize(n), TreeSize(size)).unwrap());
                }
            }
        }
        roots.extend(histories.iter().flat_map(|history| history.leaves.0.iter().copied()));
        Self {
            heads: signed().map(|head| ByteString(head.bytes().to_vec())).collect(),
            notes: signed().map(note).collect(),
            hashes,
            roots,
            digests: histories.iter().flat_map(|history| history.digests.iter().copied()).collect(),
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
    /// How many of the later versions go with it.
    versions: prop::sample::Index,
}

fn choice() -> impl Strategy<Value = Choice> {
    let flip = prop::option::weighted(0.3, (any::<prop::sample::Index>(), 0u8..8));
    (0u8..5, any::<[prop::sample::Index; 8]>(), flip, 0u8..8, any::<prop::sample::Index>()).prop_map(
        |(form, picks, flip, inception, versions)| Choice { form, picks, flip, inception, versions },
    )
}

/// Losses: which head is the last that is left, and what is committed in the epoch that then begins.
fn losses() -> impl Strategy<Value = Vec<(prop::sample::Index, Vec<u64>)>> {
    prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(1u64..6, 1..5)), 0..3)
}

/// The chain before each loss, and at the end. A recovery goes on from a head of the epoch that it ends.
fn stages(own: &[u64], losses: &[(prop::sample::Index, Vec<u64>)]) -> Vec<History> {
    let mut stages = vec![History::of(&ACCUSED, own)];
    for (last, commits) in losses {
        let before = stages.last().unwrap();
        let of_epoch = |head: &SignedHead| epoch_of(head.seq()) == before.epoch;
        let first = before.heads.iter().position(of_epoch).unwrap();
        let last = first + last.index(before.heads.len() - first);
        let mut next = before.recovered(&ACCUSED, last);
        next.grow(&ACCUSED, commits, stages.len() as u8 + 10);
        stages.push(next);
    }
    stages
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
        own in commits(), losses in losses(), others in commits(),
        choices in prop::collection::vec(choice(), 64),
    ) {
        let mut histories = stages(&own, &losses);
        let succession = histories.last().unwrap().succession.clone();
        histories.push(History::of(&OTHER, &others));
        let pieces = Pieces::of(&histories);
        for choice in &choices {
            let inception = match choice.inception {
                0 => OTHER.inception.statement().bytes().to_vec(),
                _ => inception(),
            };
            let succession = succession[..choice.versions.index(succession.len() + 1)].to_vec();
            let evidence = evidence(&pieces, choice);
            let proof = Misbehaviour { inception: ByteString(inception), succession, evidence };
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

    /// Whatever leads to an epoch's key leads to that key, and to those before it.
    #[test]
    fn a_succession_gives_the_key_of_each_epoch(own in commits(), losses in losses()) {
        for stage in stages(&own, &losses) {
            let succession = Succession::walk(&inception(), &stage.succession).unwrap();
            prop_assert_eq!(succession.organisation(), ACCUSED.id());
            let keys: Vec<_> = succession.epochs().iter().map(|epoch| epoch.key).collect();
            let expected: Vec<_> = (0..=stage.epoch).map(|n| ACCUSED.epoch_key(n).public_key()).collect();
            prop_assert_eq!(keys, expected);
            if let Some((_, without_first)) = stage.succession.split_first().filter(|(_, rest)| !rest.is_empty()) {
                prop_assert!(Succession::walk(&inception(), without_first).is_err());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A fork at a random point, with commits of any sizes on both sides.
    #[test]
    fn every_fork_gives_a_proof_of_each_form_that_fits(
        before in commits(), losses in losses(), one in commits(), other in commits(),
    ) {
        let common = stages(&before, &losses).pop().unwrap();
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

    /// The pieces that fit each other best: all true proofs between all heads.
    #[test]
    fn no_two_heads_of_the_honest_contradict_each_other(own in prop::collection::vec(1u64..4, 1..5), losses in losses()) {
        let stages = stages(&own, &losses);
        let accused: Vec<Accused> = stages.iter().map(History::accused).collect();
        // Each with the chain that it was signed over.
        let heads: Vec<_> = {
            let before = std::iter::once(&[][..]).chain(stages.iter().map(|stage| stage.heads.as_slice()));
            let new = stages.iter().zip(before).flat_map(|(stage, before)| {
                stage.heads.iter().filter(|head| !before.contains(head)).map(move |head| (stage, head))
            });
            new.collect()
        };
        for ((stage, older), (later, newer)) in heads.iter().flat_map(|one| heads.iter().map(move |other| (*one, *other))) {
            prop_assert_eq!(contradiction(older, newer), None);
            let (one, other) = (note(older).0, note(newer).0);
            // With what the newer tree's first leaves give, which after a loss is not what the older head says.
            let prefix = (older.size() < newer.size()).then(|| {
                let given = root(&later.leaves, older.size()).unwrap();
                (given, consistency_proof(&later.leaves, older.size(), newer.size()).unwrap())
            });
            for accused in &accused {
                prop_assert_eq!(Misbehaviour::of(accused.clone(), older, newer), None);
                prop_assert_eq!(Misbehaviour::of_checkpoints(accused.clone(), &one, &other), None);
                if let Some((given, proof)) = &prefix {
                    let found = Misbehaviour::of_prefix(accused.clone(), older, newer, given, proof);
                    prop_assert_eq!(found, None);
                }
            }
            for position in (0..older.size().0.min(newer.size().0)).step_by(3) {
                let (one, other) = (stage.proven(position, older), later.proven(position, newer));
                let latest = accused.last().unwrap().clone();
                prop_assert_eq!(Misbehaviour::of_leaves(latest, Position(position), one, other), None);
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
    let mut found = Vec::new();
    let mut forms = BTreeSet::new();
    if let Some(proof) = Misbehaviour::of(left.accused(), a, b) {
        let (_, how) = proof.check().unwrap();
        prop_assert_eq!(Some(how), contradiction(a, b));
        forms.insert(how);
        found.push(proof);
    }
    prop_assert_eq!(a.seq() == b.seq(), forms.contains(&Contradiction::Sequence));
    if a.size() == b.size() {
        let proof = Misbehaviour::of_checkpoints(left.accused(), &note(a).0, &note(b).0);
        prop_assert!(proof.is_some());
        found.extend(proof);
    } else {
        let (older, newer, tree) = if a.size() < b.size() { (a, b, right) } else { (b, a, left) };
        let given = root(&tree.leaves, older.size()).unwrap();
        let hashes = consistency_proof(&tree.leaves, older.size(), newer.size()).unwrap();
        let proof = Misbehaviour::of_prefix(left.accused(), older, newer, &given, &hashes);
        prop_assert!(proof.is_some());
        found.extend(proof);
    }
    for position in fork..a.size().0.min(b.size().0) {
        let (one, other) = (left.proven(position, a), right.proven(position, b));
        let proof = Misbehaviour::of_leaves(left.accused(), Position(position), one, other);
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
