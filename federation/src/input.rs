//! What goes into the engine.

use std::collections::BTreeSet;

use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{HeadHash, MeshId, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::Charter;
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::Authentic;

use crate::effect::{AppendId, ChannelId, ExchangeId, GatherId, GossipId};
use crate::message::{Consistency, Request, Response, Topic};
use crate::outbox::Ticket;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody wants a statement appended to the own chain. Its signature is checked, nothing else is.
    Append {
        /// What the reply carries.
        append: AppendId,
        /// The statement.
        statement: Box<Authentic>,
        /// Those of its refs that the store knows, and itself where it stands in the own chain already.
        known: BTreeSet<StatementId>,
    },
    /// The write with this ticket is on disk.
    Durable(Ticket),
    /// The head lock was asked to change.
    HeadLocked {
        /// The ticket of the question.
        ticket: Ticket,
        /// Done, or what the lock holds instead.
        outcome: Result<(), Option<HeadHash>>,
    },
    /// A witness that was asked outside of the mesh's own network has cosigned the own head of this size.
    Cosigned {
        /// Size of the head.
        size: TreeSize,
        /// The signature line.
        line: String,
    },
    /// A write failed; it is unknown what is on disk. The driver ends after this.
    WriteFailed {
        /// The ticket of the write.
        ticket: Ticket,
        /// Why.
        reason: String,
    },
    /// The organisation takes part in a mesh from now on.
    EnterMesh {
        /// The mesh.
        mesh: MeshId,
        /// Its charter, as the mesh id commits to it.
        charter: Charter,
    },
    /// A connection to a peer stands. The transport has proven the peer's key.
    Connected(PublicKey),
    /// The last connection to a peer is gone.
    Disconnected(PublicKey),
    /// There is no connection to a peer, and it did not come about.
    Unreached(PublicKey),
    /// A peer asks something.
    Asked {
        /// Who.
        peer: PublicKey,
        /// What the response carries.
        channel: ChannelId,
        /// The request.
        request: Request,
    },
    /// A peer answers.
    Answered {
        /// Which request.
        exchange: ExchangeId,
        /// The answer.
        response: Response,
    },
    /// A request will not be answered.
    Failed(ExchangeId),
    /// The store says what the first leaves of a chain give, as the engine asked; nothing where it does not have them.
    Proven {
        /// Whose chain.
        organisation: OrganisationId,
        /// The answer.
        consistency: Option<Consistency>,
    },
    /// Exchange with an organisation is paused, or resumed.
    Pause {
        /// With whom.
        organisation: OrganisationId,
        /// Whether it is paused from now on.
        paused: bool,
    },
    /// Somebody is about to decide: ask the members what they know.
    Gather {
        /// What the result carries.
        gather: GatherId,
        /// What it is about.
        about: Vec<Subject>,
        /// Longest wait in milliseconds.
        wait_ms: u64,
    },
    /// Somebody looks for statements that are not here: ask the members who has them.
    Locate {
        /// What the result carries.
        gather: GatherId,
        /// The statements.
        statements: BTreeSet<StatementId>,
        /// Longest wait in milliseconds.
        wait_ms: u64,
    },
    /// The store says which entries of a chain are digests alone, in order; none where there are no more.
    Lacking {
        /// Whose chain.
        organisation: OrganisationId,
        /// The entries.
        entries: Vec<(Position, LeafDigest)>,
    },
    /// A gossip message arrived.
    Heard {
        /// The neighbour that it came from.
        peer: PublicKey,
        /// What the judgement carries.
        gossip: GossipId,
        /// Its topic.
        topic: Topic,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The deadline has come.
    Wake,
}
