//! Who a connection speaks for, and what it may cost.

use std::collections::BTreeMap;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::{ByteString, Bytes, MeshId, OrganisationId, Timestamp};
use counterfoil_protocol::keys::PublicKey;

use crate::budget::Bucket;
use crate::config::Config;
use crate::effect::{ExchangeId, GatherId};
use crate::message::{Introduction, Range, Token};
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
    Heads {
        /// What digests in the answer are salted with.
        salt: u64,
    },
    /// To compare heads range by range.
    Ranges {
        /// What digests are salted with.
        salt: u64,
        /// The ranges asked about.
        ranges: Vec<Range>,
        /// What was found so far.
        wanted: Box<Wanted>,
    },
    /// To get heads that are newer.
    Announcements(Box<Wanted>),
    /// To get an organisation's head of which somebody told, and what is under it.
    Latest(OrganisationId),
    /// To get a head that may contradict the one that is here.
    Contradiction,
    /// To have a witness see the own new head.
    Offered,
    /// To get entries of a chain under this head.
    Entries(SignedHead),
    /// To learn whether a page that did not fit, and why, was wrong or the chain is.
    Consistency(Box<Suspicion>, String),
    /// To hand over a cosignature.
    Cosigned,
    /// To learn what this organisation has for a decision or a lineage.
    Evidence(GatherId, OrganisationId),
    /// To get what was withheld of this organisation's chain.
    Reveal(OrganisationId),
}

/// Organisations of which a peer has something that is not here, by the beginnings of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// What counts as told once all are here.
    pub token: Option<Token>,
    /// Those whose inceptions are here.
    pub known: Vec<Bytes<8>>,
    /// Others.
    pub unknown: Vec<Bytes<8>>,
    /// Those that are being asked for.
    pub asked: Vec<Bytes<8>>,
    /// Whether any head came.
    pub found: bool,
}

impl Wanted {
    /// How many are still to be asked for.
    pub const fn len(&self) -> usize {
        self.known.len() + self.unknown.len()
    }

    /// Whether none is.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
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
    /// Until when it holds one of the peer's places; none once it holds none any more.
    pub(crate) holds_until: Option<Millis>,
}

/// A connected peer.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its key, which the transport has proven.
    pub key: PublicKey,
    /// The organisation that it speaks for, once it has proven that.
    pub organisation: Option<OrganisationId>,
    /// Whether gossip is exchanged with it.
    pub(crate) in_circle: bool,
    /// Whether the peer's side has let this organisation in.
    pub admitted_there: bool,
    /// When to introduce oneself next.
    pub introduce_at: Option<Millis>,
    /// Requests under way that hold a place: those that have not waited for an answer for long.
    pub under_way: usize,
    /// Points lost.
    pub penalty: u32,
    /// Counter and expiry of the binding by which it speaks for its organisation.
    pub binding: Option<(u64, Timestamp)>,
    /// Requests and messages of it that were dropped because they were too many.
    pub limited: u64,
    /// Up to where it has told what is new there.
    pub(crate) token: Option<Token>,
    /// Comparisons in a row that found a difference but nothing new.
    pub(crate) different: u8,
    /// What is left of its requests.
    pub(crate) requests: Bucket,
    /// What is left of the messages that it may pass on.
    pub(crate) gossip: Bucket,
    /// What is left of the messages beyond these that are dropped and cost it nothing.
    pub(crate) excess: Bucket,
}

impl Peer {
    /// A peer that has only just connected.
    pub const fn new(key: PublicKey, now: Millis, config: &Config) -> Self {
        Self {
            key,
            organisation: None,
            in_circle: false,
            admitted_there: false,
            introduce_at: Some(now),
            under_way: 0,
            penalty: 0,
            binding: None,
            limited: 0,
            token: None,
            different: 0,
            requests: Bucket::full(config.peer_requests, now),
            gossip: Bucket::full(config.peer_gossip, now),
            excess: Bucket::full(config.peer_gossip, now),
        }
    }

    /// Whether another request may go to it.
    // INVARIANT(11): what one peer takes is bounded.
    pub const fn has_room(&self, config: &Config) -> bool {
        self.under_way < config.requests_per_peer_max
    }
}

/// What is left of what a peer may cost, after its connection has ended: coming again is no way to be given more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departed {
    pub(crate) at: Millis,
    penalty: u32,
    limited: u64,
    requests: Bucket,
    gossip: Bucket,
    excess: Bucket,
}

/// How long that is remembered.
pub(crate) const DEPARTED_MS: u64 = 60_000;

impl Departed {
    pub(crate) const fn of(peer: &Peer, now: Millis) -> Self {
        let Peer { penalty, limited, requests, gossip, excess, .. } = *peer;
        Self { at: now, penalty, limited, requests, gossip, excess }
    }

    /// Whoever was let go comes again with nothing to spare.
    pub(crate) fn returns(&self, peer: &mut Peer, config: &Config) {
        peer.penalty = self.penalty.min(config.penalty_max.saturating_sub(1));
        (peer.limited, peer.requests) = (self.limited, self.requests);
        (peer.gossip, peer.excess) = (self.gossip, self.excess);
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
    /// The peer's key is not bound to the organisation, or not in this mesh.
    #[error("introduction: the peer's key is not bound to {0}")]
    NotBound(OrganisationId),
    /// The binding has expired: whoever was away renews it, and comes again.
    #[error("introduction: the binding of the peer's key to {0} has expired; it is to be renewed")]
    Expired(OrganisationId),
    /// Another peer speaks for the organisation by now.
    #[error("introduction: another peer's key has been bound to {0} since")]
    Superseded(OrganisationId),
    /// Nothing to go by.
    #[error("introduction: the inception is missing")]
    NoInception,
}

impl IntroductionError {
    /// The points that it costs. Who was away for long, or has a new key by now, does nothing wrong.
    pub const fn points(&self) -> u32 {
        match self {
            Self::Expired(_) | Self::Superseded(_) => 0,
            Self::Chain(_) | Self::NotBound(_) | Self::NoInception => 50,
        }
    }
}

/// A peer's introduction that was found to be right.
pub struct Introduced {
    /// The organisation's chain, of which nothing but the inception is known.
    pub empty: Replica,
    /// Its standing statements, all of them.
    pub whole: Replica,
    /// The head that the peer brought.
    pub head: SignedHead,
    /// Counter and expiry of the peer's binding.
    pub binding: (u64, Timestamp),
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
    let (whole, head) = Replica::introduced(introduction)?;
    let organisation = whole.organisation();
    let binding = binding(whole.state(), peer, introduction.mesh);
    let binding = binding.ok_or_else(|| {
        let was_bound = whole.state().nodes().any(|binding| binding.peer_key == *peer);
        if was_bound {
            IntroductionError::Superseded(organisation)
        } else {
            IntroductionError::NotBound(organisation)
        }
    })?;
    if binding.1 < now.timestamp() {
        return Err(IntroductionError::Expired(organisation));
    }
    let succession = whole.succession();
    Ok(Introduced { empty, whole, head, binding, succession })
}

/// Counter and expiry of the binding of a peer's key, expired or not, unless another's counter is higher.
pub fn binding(state: &OrganisationState, peer: &PublicKey, mesh: MeshId) -> Option<(u64, Timestamp)> {
    let mut speakers = state.speakers(mesh).filter(|binding| binding.peer_key == *peer);
    speakers.next().map(|binding| (binding.counter, binding.expires))
}

/// What is known of a peer's binding beyond the one that it came with: the highest counter holds, whoever has it.
///
/// # Errors
/// [`IntroductionError::Superseded`] when another peer's counter is higher.
pub fn latest_binding(
    state: &OrganisationState,
    peer: &PublicKey,
    mesh: MeshId,
    held: (u64, Timestamp),
) -> Result<(u64, Timestamp), IntroductionError> {
    match state.speakers(mesh).map(|binding| binding.counter).max() {
        Some(highest) if highest > held.0 => {
            binding(state, peer, mesh).ok_or(IntroductionError::Superseded(state.organisation()))
        }
        _ => Ok(held),
    }
}
