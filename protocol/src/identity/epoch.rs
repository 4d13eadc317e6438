//! Epochs of the chain key: which key signs heads, checkpoints and receipts of which sizes of the chain.
//!
//! ```text
//! size    0 ................ base ....... recovery | recovery + 1 .................
//! key     that of epoch 0                          | that of epoch 1
//! seq     0, 1, 2, ...                             | 2^40, 2^40 + 1, ...
//! ```
//!
//! An epoch ends with a [`Recovery`](super::Recovery): the organisation gives up whatever its former key signed beyond the
//! head that the recovery names. Sequence numbers of epochs never meet, so no head of one contradicts one of another by its
//! number.

use crate::chain::checkpoint::{Checkpoint, CheckpointError};
use crate::chain::head::{Head, HeadError, SignedHead};
use crate::chain::note::Note;
use crate::ids::{HeadSeq, KeyId, OrganisationId, Position, TreeSize};
use crate::keys::PublicKey;

/// How many bits of a sequence number count the heads of one epoch.
const EPOCH_BITS: u32 = 40;

/// The epoch that heads with this sequence number belong to.
pub const fn epoch_of(seq: HeadSeq) -> u64 {
    seq.0 >> EPOCH_BITS
}

/// The first sequence number of an epoch.
pub const fn first_seq(epoch: u64) -> HeadSeq {
    HeadSeq(epoch << EPOCH_BITS)
}

/// One epoch of an organisation's chain key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Which: 0 for the one that the inception began.
    pub number: u64,
    /// Where the statement stands that began it.
    pub since: Position,
    /// The chain key.
    pub key: PublicKey,
    /// The head with which the epoch before ended; none for the first.
    pub base: Option<SignedHead>,
}

/// All epochs of an organisation so far.
#[derive(Debug, Clone)]
pub struct Epochs {
    organisation: OrganisationId,
    first: Epoch,
    later: Vec<Epoch>,
}

impl Epochs {
    pub(super) const fn new(organisation: OrganisationId, key: PublicKey) -> Self {
        let first = Epoch { number: 0, since: Position(0), key, base: None };
        Self { organisation, first, later: Vec::new() }
    }

    pub(super) fn begin(&mut self, since: Position, key: PublicKey, base: SignedHead) {
        let number = self.latest().number.saturating_add(1);
        self.later.push(Epoch { number, since, key, base: Some(base) });
    }

    /// Every epoch in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Epoch> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The latest.
    pub fn latest(&self) -> &Epoch {
        self.later.last().unwrap_or(&self.first)
    }

    /// The epoch with this number.
    pub fn get(&self, number: u64) -> Option<&Epoch> {
        self.iter().find(|epoch| epoch.number == number)
    }

    /// The epoch of which this is the chain key.
    pub fn of_key(&self, key: &KeyId) -> Option<&Epoch> {
        self.iter().find(|epoch| epoch.key.id() == *key)
    }

    /// The epoch whose key signs trees of this size.
    pub fn at(&self, size: TreeSize) -> &Epoch {
        let later = self.later.iter().rev().find(|epoch| size.contains(epoch.since));
        later.unwrap_or(&self.first)
    }

    /// Checks a head's signatures with the key of its size. Its sequence number must be of that epoch.
    ///
    /// # Errors
    /// [`HeadError`]: [`HeadError::Epoch`] for what a former key signed beyond its epoch, and for heads of an epoch that is
    /// not known here.
    pub fn open_head(&self, head: Head) -> Result<SignedHead, HeadError> {
        let epoch = self.at(head.claimed_size());
        self.is_own(&head)?;
        if epoch_of(head.claimed_seq()) != epoch.number {
            let (seq, size) = (head.claimed_seq(), head.claimed_size());
            return Err(HeadError::Epoch { seq, size, epoch: epoch.number });
        }
        head.verify(&epoch.key)
    }

    /// Checks a head's signatures with the key of the epoch that its sequence number names, wherever that began.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn open_by_seq(&self, head: Head) -> Result<SignedHead, HeadError> {
        self.is_own(&head)?;
        let (seq, size) = (head.claimed_seq(), head.claimed_size());
        let unknown = HeadError::Epoch { seq, size, epoch: self.latest().number };
        let key = self.get(epoch_of(seq)).ok_or(unknown)?.key;
        head.verify(&key)
    }

    fn is_own(&self, head: &Head) -> Result<(), HeadError> {
        let (expected, found) = (self.organisation, head.organisation());
        if found == expected { Ok(()) } else { Err(HeadError::OtherOrganisation { expected, found }) }
    }

    /// Opens a signed checkpoint, and gives the key of its size, which signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open_checkpoint(&self, bytes: &[u8]) -> Result<(Checkpoint, Note, PublicKey), CheckpointError> {
        let note = Note::parse(bytes)?;
        let key = self.at(Checkpoint::parse(note.text())?.size).key;
        let (checkpoint, note) = Checkpoint::open(bytes, &self.organisation, key)?;
        Ok((checkpoint, note, key))
    }
}
