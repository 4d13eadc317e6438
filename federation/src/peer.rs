//! Who a connection speaks for, and what it may cost.

use std::collections::BTreeMap;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::{ByteString, OrganisationId};
use counterfoil_protocol::keys::PublicKey;

use crate::config::Config;
use crate::effect::{ExchangeId, GatherId};
use crate::message::Introduction;
use crate::replica::{Replica, ReplicaError};
use crate::time::Millis;

/// Two heads of one chain, of different sizes, that may contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The smaller.
    pub older: SignedHead,
    /// The larger.
    pub newer: SignedHead,
}

impl Suspicion {
    /// Whose heads.
    pub fn organisation(&self) -> OrganisationId {
        self.newer.organisation()
    }
}

/// What a request to a peer was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To be introduced.
    Hello,
    /// To hear of newer heads.
    Heads,
    /// To get entries of a chain under this head.
    Entries(SignedHead),
    /// To learn whether a page that did not fit, and why, was wrong or the chain is.
    Consistency(Box<Suspicion>, String),
    /// To hand over a cosignature.
    Cosigned,
    /// To learn what this organisation's chain has for a decision.
    Evidence(GatherId, OrganisationId),
    /// To get what was withheld of this organisation's chain.
    Reveal(OrganisationId),
}

/// A request under way.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// To whom.
    pub peer: PublicKey,
    /// What for.
    pub purpose: Purpose,
    /// When it is given up.
    pub until: Millis,
}

/// A connected peer.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its key, which the transport has proven.
    pub key: PublicKey,
    /// The organisation that it speaks for, once it has proven that.
    pub organisation: Option<OrganisationId>,
    /// Whether the peer's side has let this organisation in.
    pub admitted_there: bool,
    /// When to introduce oneself next.
    pub introduce_at: Option<Millis>,
    /// Requests under way.
    pub under_way: usize,
    /// Points lost.
    pub penalty: u32,
}

impl Peer {
    /// A peer that has only just connected.
    pub const fn new(key: PublicKey, now: Millis) -> Self {
        Self {
            key,
            organisation: None,
            admitted_there: false,
            introduce_at: Some(now),
            under_way: 0,
            penalty: 0,
        }
    }

    /// Whether another request may go to it.
    // INVARIANT(11): what one peer takes is bounded.
    pub const fn has_room(&self, config: &Config) -> bool {
        self.under_way < config.requests_per_peer_max
    }
}

/// Requests under way, by id.
pub type Exchanges = BTreeMap<ExchangeId, Exchange>;

/// Why an introduction introduces nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// See the inner error.
    #[error("introduction: {0}")]
    Chain(#[from] ReplicaError),
    /// The peer's key is not bound to the organisation, or the binding has expired.
    #[error("introduction: no binding of the peer's key to {0} is in force")]
    NotBound(OrganisationId),
    /// Nothing to go by.
    #[error("introduction: the inception is missing")]
    NoInception,
}

/// What an introduction brought.
#[derive(Debug, Clone)]
pub struct Introduced {
    /// The organisation's chain, of which the inception alone is known.
    pub empty: Replica,
    /// Its head.
    pub head: SignedHead,
    /// The versions of the organisation that lead to the head's chain key.
    pub succession: Vec<ByteString>,
}

/// Checks who `peer` speaks for.
///
/// # Errors
/// [`IntroductionError`].
pub fn check_introduction(
    introduction: &Introduction,
    peer: &PublicKey,
    now: Millis,
) -> Result<Introduced, IntroductionError> {
    let inception = introduction.standing.first().ok_or(IntroductionError::NoInception)?;
    let empty = Replica::new(inception.statement.0.as_slice().into())?;
    let (whole, head) = Replica::from_standing(&introduction.standing, &introduction.head)?;
    let organisation = whole.organisation();
    if whole.state().node(peer, now.timestamp()).is_none() {
        return Err(IntroductionError::NotBound(organisation));
    }
    Ok(Introduced { empty, head, succession: whole.succession() })
}
