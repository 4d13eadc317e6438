//! The rules of recovery, one row each, and heads to recover from.

#![allow(clippy::unwrap_used, reason = "a builder that cannot build is a broken test")]

use super::TestOrganisation;
use super::identity::{Row, World, with_authority};
use crate::chain::{CompactRange, HeadDraft, SignedHead};
use crate::identity::{LostHead, Organisation, Recovery, StandingDigest, first_seq};
use crate::ids::{ByteString, HeadSeq, OrganisationId, Timestamp, TreeSize};
use crate::keys::{SecretKey, Signer as _};
use crate::statement::{Authentic, Endorsed, Kind};

impl TestOrganisation {
    /// Its chain key in an epoch.
    pub fn epoch_key(&self, epoch: u64) -> SecretKey {
        if epoch == 0 {
            return SecretKey::from_seed(&self.chain_key.to_seed());
        }
        let seed = [&self.chain_key.to_seed()[..], &epoch.to_be_bytes()].concat();
        SecretKey::from_seed(&crate::digest::blake3(&seed))
    }

    /// The version after `now` that goes on from this head, with the chain key of `epoch`.
    pub fn recovered(&self, now: &Organisation, recovery: Recovery, epoch: u64) -> Organisation {
        Organisation {
            version: now.version + 1,
            chain_key: self.epoch_key(epoch).public_key(),
            recovery: Some(Box::new(recovery)),
            ..now.clone()
        }
    }
}

/// A recovery from `base`, which this statement follows at once, after everybody was asked.
pub fn recovery(base: &SignedHead) -> Recovery {
    Recovery {
        base: ByteString(base.bytes().to_vec()),
        proof: Vec::new(),
        reason: "the disk with head.lock failed".into(),
        lost: None,
        asked: Vec::new(),
        alone: false,
    }
}

impl World {
    /// A head over the first `size` statements, by any key.
    fn head(&self, key: &SecretKey, seq: HeadSeq, size: usize) -> SignedHead {
        let mut range = CompactRange::default();
        for statement in self.statements.iter().take(size) {
            range.append(statement.leaf_digest().leaf_hash());
        }
        let draft = HeadDraft {
            organisation: self.organisation.id(),
            seq,
            previous: None,
            size: TreeSize(size as u64),
            root: range.root(),
            standing: StandingDigest::EMPTY,
            issued_at: Timestamp(1000),
        };
        draft.sign(key).unwrap()
    }

    /// The latest head of the epoch in force.
    fn latest_head(&self) -> SignedHead {
        let epoch = self.state.epochs().latest().number;
        self.head(&self.organisation.epoch_key(epoch), HeadSeq(first_seq(epoch).0 + 2), self.statements.len())
    }

    /// A recovery by the threshold of root keys.
    fn recover(&self, recovery: Recovery) -> Authentic {
        self.organisation.root_statement(Kind::Organisation, &self.next_epoch(recovery))
    }

    fn next_epoch(&self, recovery: Recovery) -> Organisation {
        let epoch = self.state.epochs().latest().number + 1;
        self.organisation.recovered(self.state.description(), recovery, epoch)
    }

    fn recover_with(&self, change: impl FnOnce(&mut Organisation)) -> Authentic {
        let mut next = self.next_epoch(recovery(&self.latest_head()));
        change(&mut next);
        self.organisation.root_statement(Kind::Organisation, &next)
    }

    fn recover_from(&self, change: impl FnOnce(&mut Recovery)) -> Authentic {
        let mut recovery = recovery(&self.latest_head());
        change(&mut recovery);
        self.recover(recovery)
    }
}

fn nothing(_: &mut World) {}

/// The chain goes on in its second epoch.
pub fn in_second_epoch(world: &mut World) {
    world.add(world.recover_from(|_| {}));
}

/// Every rule, kept and broken.
pub const RECOVERY_ROWS: &[Row] = &[
    ("a recovery from the latest head", nothing, |w| w.recover_from(|_| {}), None),
    (
        "a recovery after statements that no head covers",
        nothing,
        |w| w.recover(recovery(&w.head(&w.organisation.epoch_key(0), HeadSeq(0), 2))),
        None,
    ),
    ("a recovery in the second epoch", in_second_epoch, |w| w.recover_from(|_| {}), None),
    (
        "a rotation of root keys in the second epoch",
        in_second_epoch,
        |w| {
            w.recover_with(|next| {
                next.chain_key = w.organisation.epoch_key(1).public_key();
                next.recovery = None;
            })
        },
        None,
    ),
    (
        "everybody that was asked, and what was lost",
        nothing,
        |w| {
            w.recover_from(|recovery| {
                recovery.asked =
                    vec![OrganisationId::from_bytes([1; 32]), OrganisationId::from_bytes([2; 32])];
                recovery.lost = Some(LostHead { seq: HeadSeq(7), size: TreeSize(9) });
                recovery.alone = true;
            })
        },
        None,
    ),
    (
        "a recovery by one root key",
        nothing,
        |w| {
            let next = w.next_epoch(recovery(&w.latest_head()));
            let endorsed = Endorsed::new(Kind::Organisation, &next, &[]).unwrap();
            w.sign(w.organisation.root_keys.first().unwrap(), Kind::Organisation, &endorsed)
        },
        Some(("threshold", "1 of the 2")),
    ),
    (
        "a new chain key that nothing explains",
        nothing,
        |w| w.recover_with(|next| next.recovery = None),
        Some(("identity", "leaves chain and witness keys alone")),
    ),
    (
        "a new witness key as well",
        nothing,
        |w| w.recover_with(|next| next.witness_key = w.organisation.epoch_key(9).public_key()),
        Some(("identity", "leaves chain and witness keys alone")),
    ),
    (
        "the same chain key",
        nothing,
        |w| w.recover_with(|next| next.chain_key = w.organisation.epoch_key(0).public_key()),
        Some(("identity", "has a place")),
    ),
    (
        "the chain key of an earlier epoch",
        in_second_epoch,
        |w| w.recover_with(|next| next.chain_key = w.organisation.epoch_key(0).public_key()),
        Some(("identity", "has a place")),
    ),
    (
        "an authority's key",
        with_authority,
        |w| w.recover_with(|next| next.chain_key = SecretKey::from_seed(&[10; 32]).public_key()),
        Some(("identity", "has a place")),
    ),
    (
        "a version left out",
        nothing,
        |w| w.recover_with(|next| next.version = 2),
        Some(("identity", "one by one")),
    ),
    (
        "a base that another key signed",
        nothing,
        |w| w.recover(recovery(&w.head(&SecretKey::from_seed(&[9; 32]), HeadSeq(2), 3))),
        Some(("identity", "it names the key")),
    ),
    (
        "a base of another organisation",
        nothing,
        |w| {
            let other = HeadDraft {
                organisation: OrganisationId::from_bytes([1; 32]),
                seq: HeadSeq(0),
                previous: None,
                size: TreeSize(1),
                root: crate::chain::Hash([1; 32]),
                standing: StandingDigest::EMPTY,
                issued_at: Timestamp(1),
            };
            w.recover(recovery(&other.sign(w.organisation.chain_key.as_ref()).unwrap()))
        },
        Some(("identity", "it is a head of")),
    ),
    (
        "a base of more than stands here",
        nothing,
        |w| {
            let base = HeadDraft {
                organisation: w.organisation.id(),
                seq: HeadSeq(2),
                previous: None,
                size: TreeSize(4),
                root: crate::chain::Hash([1; 32]),
                standing: StandingDigest::EMPTY,
                issued_at: Timestamp(1),
            };
            w.recover(recovery(&base.sign(w.organisation.chain_key.as_ref()).unwrap()))
        },
        Some(("identity", "covers 4 statements")),
    ),
    (
        "a base of an earlier epoch",
        in_second_epoch,
        |w| w.recover(recovery(&w.head(&w.organisation.epoch_key(0), HeadSeq(2), 3))),
        Some(("identity", "not a head of the epoch that ends here")),
    ),
    (
        "a base with a number of the next epoch",
        nothing,
        |w| w.recover(recovery(&w.head(&w.organisation.epoch_key(0), first_seq(1), 3))),
        Some(("identity", "is of epoch 1")),
    ),
    (
        "what the former key signed after its epoch",
        in_second_epoch,
        |w| w.recover(recovery(&w.head(&w.organisation.epoch_key(0), HeadSeq(3), 4))),
        Some(("identity", "is of epoch 0")),
    ),
    (
        "versions that no proof could carry",
        nothing,
        |w| w.recover_with(|next| next.domains = vec!["x".repeat(96 * 1024)]),
        Some(("identity", "bytes together")),
    ),
    (
        "a recovery without a reason",
        nothing,
        |w| w.recover_from(|recovery| recovery.reason = String::new()),
        Some(("payload", "reason")),
    ),
    (
        "those who were asked, out of order",
        nothing,
        |w| w.recover_from(|recovery| recovery.asked = vec![OrganisationId::from_bytes([1; 32]); 2]),
        Some(("payload", "in order")),
    ),
    (
        "too many who were asked",
        nothing,
        |w| {
            let ids = (0..=256u16).map(|n| {
                let mut bytes = [0; 32];
                bytes.iter_mut().zip(n.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
                OrganisationId::from_bytes(bytes)
            });
            w.recover_from(|recovery| recovery.asked = ids.collect())
        },
        Some(("payload", "at most 256")),
    ),
    (
        "a lost head that is no later one",
        nothing,
        |w| {
            let lost = LostHead { seq: HeadSeq(3), size: TreeSize(3) };
            w.recover_from(|recovery| recovery.lost = Some(lost))
        },
        Some(("payload", "no later one")),
    ),
    (
        "a base that is no head",
        nothing,
        |w| w.recover_from(|recovery| recovery.base = ByteString(vec![1])),
        Some(("payload", "base of the recovery")),
    ),
    (
        "a base of nothing",
        nothing,
        |w| w.recover(recovery(&w.head(&w.organisation.epoch_key(0), HeadSeq(0), 0))),
        Some(("payload", "covers nothing")),
    ),
    (
        "a recovery in an inception's version",
        nothing,
        |w| w.recover_with(|next| next.version = 0),
        Some(("payload", "recovers nothing")),
    ),
];
