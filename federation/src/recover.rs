//! What a recovery goes on from, and what it writes. This is done on the data of a node that does not run.

use std::sync::Arc;

use counterfoil_protocol::chain::head::HeadError;
use counterfoil_protocol::chain::{Head, HeadDraft, SignedHead};
use counterfoil_protocol::identity::{LostHead, RecoveryError, epoch_of, first_seq};
use counterfoil_protocol::ids::{Timestamp, TreeSize};
use counterfoil_protocol::keys::{PublicKey, Signer};
use counterfoil_protocol::statement::{Authentic, Refusal, verify};

use crate::effect::Write;
use crate::replica::Replica;

/// From where a chain goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The latest head that is here, with everything under it.
    pub base: SignedHead,
    /// How many statements are here: those behind the base are kept.
    pub size: TreeSize,
    /// A later head that is known to have been signed.
    pub lost: Option<LostHead>,
}

/// Why there is nothing to recover, or not like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRecovery {
    /// It signs.
    #[error(
        "head.lock and data agree, and the keystore has the chain key: this node signs, and nothing is to be recovered"
    )]
    NotNeeded,
    /// There is no head.
    #[error("the chain has no head yet, so that nothing was let out that could be lost")]
    NoHead,
    /// The head lock cannot be made sense of.
    #[error("the head lock does not hold a head of this organisation: {0}")]
    Lock(HeadError),
    /// The head lock is of a later epoch than the data.
    #[error(
        "the head lock is of a later epoch than the data; restore a later backup, or move head.lock away and let the node \
         run until it has fetched what its peers have of its chain"
    )]
    LaterEpoch,
    /// The chain is only partly here.
    #[error(
        "the chain is only partly fetched from its peers; let the node run until it has everything under a head"
    )]
    Partial,
    /// The statement is not a recovery that may stand here.
    #[error("the recovery: {0}")]
    Refused(#[from] Refusal),
    /// See the inner error.
    #[error("the recovery: {0}")]
    Tree(#[from] RecoveryError),
    /// The statement is none.
    #[error("the statement is no recovery")]
    NoStatement,
    /// The head cannot be signed.
    #[error("the first head of the new epoch: {0}")]
    Head(#[from] HeadError),
}

/// From where the chain on disk can go on: `locked` is what the head lock holds, `chain_key` that of the keystore.
///
/// # Errors
/// [`NoRecovery`].
pub fn ground(
    own: &Replica,
    locked: Option<&Arc<[u8]>>,
    chain_key: &PublicKey,
) -> Result<Ground, NoRecovery> {
    let epochs = own.state().epochs();
    let base = own.head().cloned().ok_or(NoRecovery::NoHead)?;
    if epoch_of(base.seq()) != epochs.latest().number {
        return Err(NoRecovery::Partial);
    }
    let mut ground = Ground { base, size: own.size(), lost: None };
    let Some(bytes) = locked else { return Ok(ground) };
    let head = Head::parse(bytes.clone()).map_err(NoRecovery::Lock)?;
    let locked = match epochs.open_head(head) {
        Err(HeadError::Epoch { .. }) => return Err(NoRecovery::LaterEpoch),
        opened => opened.map_err(NoRecovery::Lock)?,
    };
    if own.size() < locked.size() {
        ground.lost = Some(LostHead { seq: locked.seq(), size: locked.size() });
    } else if epochs.latest().key == *chain_key {
        return Err(NoRecovery::NotNeeded);
    } else {
        ground.base = locked;
    }
    Ok(ground)
}

/// Appends the recovery to the chain and signs the first head of the new epoch. Gives what is to be written, all at once, and
/// the head, which is for the head lock then.
///
/// # Errors
/// [`NoRecovery`]; nothing was changed.
pub fn recover(
    own: &Replica,
    ground: &Ground,
    statement: Authentic,
    chain_key: &dyn Signer,
    now: Timestamp,
) -> Result<(Vec<Write>, SignedHead), NoRecovery> {
    let mut next = own.clone();
    let verified = Arc::new(verify(next.state(), statement)?);
    let recovery = verified.payload().recovery().ok_or(NoRecovery::NoStatement)?;
    recovery.check_tree(verified.position(), &next.range().root())?;
    next.append(&verified)?;
    let draft = HeadDraft {
        organisation: next.organisation(),
        seq: first_seq(next.state().epochs().latest().number),
        previous: Some(ground.base.hash()),
        size: next.size(),
        root: next.range().root(),
        standing: next.state().standing_digest(),
        issued_at: now,
    };
    let head = draft.sign(chain_key)?;
    let opened = next.state().epochs().open_head(Head::parse(head.bytes().clone())?)?;
    let tree = Write::Tree { organisation: next.organisation(), range: next.range().clone() };
    Ok((vec![Write::Statement(verified), tree, Write::Head(opened)], head))
}
