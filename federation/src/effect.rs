//! What comes out of the engine.

use std::sync::Arc;

use counterfoil_protocol::admissibility::Inquiry;
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{CompactRange, SignedHead};
use counterfoil_protocol::ids::{HeadHash, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::{Audience, Outside};
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Refusal, Verified};

use crate::message::{Announcement, Request, Response, Topic};
use crate::outbox::Ticket;
use crate::whereabouts::Located;

/// Names a caller's wish to append, so that its answer finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// Names a request to a peer, so that its response finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Names a gathering of evidence, so that its result finds who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatherId(pub u64);

/// Names a peer's request, so that the response finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u64);

/// Names a gossip message, so that the verdict on it finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub u64);

/// One thing to be written. All writes of one `Persist` become durable together or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// A statement with its place.
    Statement(Arc<Verified>),
    /// A place whose statement is withheld.
    Withheld {
        /// Whose chain.
        organisation: OrganisationId,
        /// Where.
        position: Position,
        /// The statement's digest.
        digest: LeafDigest,
    },
    /// The tree as it is after the statements of this batch.
    Tree {
        /// Whose chain.
        organisation: OrganisationId,
        /// Its compact range.
        range: CompactRange,
    },
    /// A head that was signed here, or accepted.
    Head(SignedHead),
    /// Cosignatures on the head of this size, in place of those known before.
    Cosignatures {
        /// Whose head.
        organisation: OrganisationId,
        /// Size of the head.
        size: TreeSize,
        /// Signature lines.
        lines: Vec<Arc<str>>,
    },
    /// A statement in the place of which its digest alone was.
    Revealed(Box<Verified>),
    /// A proof that an organisation misbehaved.
    Misbehaviour {
        /// Who.
        organisation: OrganisationId,
        /// The proof's bytes.
        proof: Vec<u8>,
    },
}

/// Who wants a proof out of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A peer: answer its request.
    Peer(ChannelId),
    /// The engine: say `Proven`.
    Engine,
}

/// What to do with a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Pass it on.
    Accept,
    /// Drop it; its sender did nothing wrong.
    Ignore,
    /// Drop it; its sender should have known better.
    Reject,
}

/// Where an appended statement stands.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The statement.
    pub statement: StatementId,
    /// Its position.
    pub position: Position,
    /// A head under which it stands, from which a receipt can be made.
    pub head: SignedHead,
}

/// Why a statement was not appended. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It failed a check.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It depends on a statement that is not known here.
    #[error("it refers to {0}, which is not known here; fetch or append that first")]
    UnknownRef(StatementId),
    /// It is in the chain already.
    #[error("{0} is in the chain already")]
    Duplicate(StatementId),
    /// The agreement that it names does not let it cross.
    #[error("it is for the parties of an agreement: {0}")]
    Outside(#[from] Outside),
    /// Too many statements wait.
    #[error("{0} statements wait to be written; try again shortly")]
    Busy(usize),
    /// The node does not sign at present.
    #[error("the node does not append: {0}")]
    Frozen(String),
}

/// Something that the driver or a user may want to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// A statement of another organisation was accepted and is durable.
    Accepted(Arc<Verified>),
    /// A peer's organisation is known and is, or is not, a member.
    Introduced {
        /// The organisation.
        organisation: OrganisationId,
        /// Whether it is a member.
        admitted: bool,
    },
    /// The own head of this size has a quorum of cosignatures.
    Witnessed(TreeSize),
    /// The own head of this size has lacked a quorum of cosignatures for long, and these witnesses have not signed it.
    WitnessesSilent {
        /// Size of the head.
        size: TreeSize,
        /// Who is silent.
        silent: Vec<OrganisationId>,
    },
    /// Of these witnesses of the own chain, one of them the last, no peer was connected for as long as the charter lets word of
    /// the present count.
    WitnessesAway {
        /// Who is away.
        away: Vec<OrganisationId>,
        /// How many witnesses there are.
        of: usize,
    },
    /// An organisation is told of more often than its budget allows; what is beyond is dropped.
    Limited(OrganisationId),
    /// An organisation signed what contradicts itself.
    Misbehaved(OrganisationId),
    /// An organisation's new epoch is not followed, because it leaves out what is here.
    NotFollowed {
        /// The organisation.
        organisation: OrganisationId,
        /// Why.
        reason: String,
    },
    /// Members have answered that they hold no later head of the own chain, whose latest is not known here.
    Asked {
        /// Those who have.
        asked: Vec<OrganisationId>,
        /// Those who answered last that they hold one, which is not here yet.
        holding: Vec<OrganisationId>,
        /// All other members.
        others: Vec<OrganisationId>,
    },
    /// An own chain that was behind its head lock has caught up, and the node signs again.
    CaughtUp(TreeSize),
    /// A peer was refused or lost points, and why.
    Penalised {
        /// The peer.
        peer: PublicKey,
        /// What it did.
        reason: String,
    },
    /// Something that cannot happen has happened; the node has stopped signing.
    Alarm(String),
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Effect {
    /// Write, all or nothing, and sync; then say `Durable`.
    Persist {
        /// What the answer carries.
        ticket: Ticket,
        /// The writes, in order.
        writes: Vec<Write>,
    },
    /// Put `head` into the head lock if it holds `previous`, and sync; then say `HeadLocked`.
    LockHead {
        /// What the answer carries.
        ticket: Ticket,
        /// What the lock must hold.
        previous: Option<HeadHash>,
        /// What it is to hold.
        head: SignedHead,
    },
    /// Send a request.
    Send {
        /// To whom.
        peer: PublicKey,
        /// What the response carries.
        exchange: ExchangeId,
        /// The request.
        request: Request,
    },
    /// Answer a request.
    Respond {
        /// Which.
        channel: ChannelId,
        /// The answer.
        response: Response,
    },
    /// Answer a request for entries out of the store.
    Serve {
        /// Which request.
        channel: ChannelId,
        /// Whose chain.
        organisation: OrganisationId,
        /// The first position wanted.
        from: Position,
        /// Size of the head under which they are wanted.
        size: TreeSize,
        /// Who asks, and what it may read.
        audience: Box<Audience>,
        /// The head, where the answer is to have it too.
        head: Option<Box<Announcement>>,
    },
    /// Answer a request for withheld entries out of the store.
    Reveal {
        /// Which request.
        channel: ChannelId,
        /// Whose chain.
        organisation: OrganisationId,
        /// Which entries.
        positions: Vec<Position>,
        /// Who asks, and what it may read.
        audience: Box<Audience>,
    },
    /// Answer, out of the store, which places of the own chain bear on these subjects.
    Find {
        /// Which request.
        channel: ChannelId,
        /// What it is about.
        about: Vec<Subject>,
        /// Who asks, and what it may read.
        audience: Box<Audience>,
        /// The own head, for the answer.
        head: Box<Announcement>,
    },
    /// Connect with a peer; [`Input::Connected`](crate::input::Input::Connected) or
    /// [`Input::Unreached`](crate::input::Input::Unreached) follows.
    Reach(PublicKey),
    /// What was asked for a decision, and what came of it. Everything that came is on disk.
    Gathered {
        /// Which gathering.
        gather: GatherId,
        /// Organisation by organisation.
        inquiries: Vec<Inquiry>,
    },
    /// Answer, out of the store, where these statements stand.
    Locate {
        /// Which request.
        channel: ChannelId,
        /// The statements.
        statements: Vec<StatementId>,
        /// Who asks, and what it may read.
        audience: Box<Audience>,
    },
    /// What members said of statements that are looked for. Everything that came is on disk.
    Located {
        /// Which gathering.
        gather: GatherId,
        /// Organisation by organisation.
        answers: Vec<Located>,
    },
    /// Say which entries of a chain, from a position on, are here as digests alone.
    Lacking {
        /// Whose chain.
        organisation: OrganisationId,
        /// The first position of interest.
        from: Position,
        /// How many at most.
        max: usize,
    },
    /// Say out of the store what the first leaves of a chain give.
    Prove {
        /// To whom.
        asker: Asker,
        /// Whose chain.
        organisation: OrganisationId,
        /// How many leaves.
        from: TreeSize,
        /// Size of the tree that the proof is to lead to.
        to: TreeSize,
    },
    /// Publish on a topic.
    Gossip {
        /// The topic.
        topic: Topic,
        /// The message.
        bytes: Arc<[u8]>,
    },
    /// Say what is to become of a gossip message.
    Judge {
        /// Which.
        gossip: GossipId,
        /// The judgement.
        judgement: Judgement,
    },
    /// Answer a wish to append.
    Reply {
        /// Which.
        append: AppendId,
        /// The answer.
        outcome: Result<Box<Appended>, AppendError>,
    },
    /// Exchange gossip with a peer from now on, or no more. With a peer that has only just connected none is exchanged.
    GossipWith {
        /// The peer.
        peer: PublicKey,
        /// Whether it begins, or ends.
        begins: bool,
    },
    /// Close the connection to a peer.
    Disconnect(PublicKey),
    /// Tell whoever listens.
    Notify(Event),
}
