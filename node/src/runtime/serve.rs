//! The thread that reads for peers: pages, proofs, and what is asked about statements.

use std::sync::mpsc::{Receiver, SyncSender};

use counterfoil_federation::effect::{Asker, ChannelId};
use counterfoil_federation::evidence::bearing;
use counterfoil_federation::message::{Announcement, Bearing, Response};
use counterfoil_federation::store::{consistency, page, revealed};
use counterfoil_federation::whereabouts::whereabouts;
use counterfoil_federation::{Config, Input};
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::mesh::Audience;
use counterfoil_protocol::observation::Subject;

use super::{Message, NetworkCommand, Outward};
use crate::store::{EvidenceEdges, Store};

/// A question that the store is to answer.
pub(super) struct Wanted {
    pub(super) outward: Option<Outward>,
    pub(super) organisation: OrganisationId,
    pub(super) read: Read,
}

/// What is to be read of a chain.
pub(super) enum Read {
    Page {
        channel: ChannelId,
        from: Position,
        size: TreeSize,
        audience: Box<Audience>,
        head: Option<Box<Announcement>>,
    },
    Withheld {
        channel: ChannelId,
        positions: Vec<Position>,
        audience: Box<Audience>,
    },
    Lacking {
        from: Position,
        max: usize,
    },
    Bearing {
        channel: ChannelId,
        about: Vec<Subject>,
        audience: Box<Audience>,
        head: Box<Announcement>,
    },
    Whereabouts {
        channel: ChannelId,
        statements: Vec<StatementId>,
        audience: Box<Audience>,
    },
    Consistency {
        asker: Asker,
        from: TreeSize,
        to: TreeSize,
    },
}

/// Reads pages and proofs, one at a time. Ends when nobody can ask any more.
pub(super) fn serve(store: &Store, config: &Config, wanted: &Receiver<Wanted>, inputs: &SyncSender<Message>) {
    while let Ok(Wanted { outward, organisation, read }) = wanted.recv() {
        let chain = store.chain(organisation);
        let (channel, response) = match read {
            Read::Page { channel, from, size, audience, head } => {
                let page = page(&chain, &audience, from, size, config);
                (channel, page.map(|page| Response::with_page(page, head)))
            }
            Read::Withheld { channel, positions, audience } => {
                (channel, Ok(Response::Revealed(revealed(&chain, &audience, &positions, config))))
            }
            Read::Bearing { channel, about, audience, head } => {
                let places = bearing(&EvidenceEdges(store), &organisation, &about, &audience);
                (channel, Ok(Response::Evidence(Bearing { head, places })))
            }
            Read::Whereabouts { channel, statements, audience } => {
                (channel, Ok(Response::Whereabouts(whereabouts(store, &statements, &audience))))
            }
            Read::Lacking { from, max } => {
                let entries = store.lacking(&organisation, from, max).unwrap_or_else(|error| {
                    tracing::error!(%error, "what is withheld cannot be read");
                    Vec::new()
                });
                let input = Input::Lacking { organisation, entries };
                if inputs.send(Message::Input(Box::new(input))).is_err() {
                    return;
                }
                continue;
            }
            Read::Consistency { asker: Asker::Peer(channel), from, to } => {
                (channel, consistency(&chain, from, to).map(Response::Consistency))
            }
            Read::Consistency { asker: Asker::Engine, from, to } => {
                let consistency = consistency(&chain, from, to).ok();
                let input = Input::Proven { organisation, consistency };
                if inputs.send(Message::Input(Box::new(input))).is_err() {
                    return;
                }
                continue;
            }
        };
        let response = response.unwrap_or_else(|error| Response::Refused(error.to_string()));
        if let Some(outward) = outward {
            outward(NetworkCommand::Respond { channel, response });
        }
    }
}
