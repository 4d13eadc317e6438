//! How many peers may be connected here that speak for no member.
//!
//! They may ask to be admitted, and any key will do for that. The longest there makes room for the next. A connection that is told
//! to close stays for a while, until its last bytes are out; so that is counted too.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::PoisonError;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::behaviour::Admitted;

/// Their connections that stay.
const STAYING_MAX: usize = 64;
/// Those that were told to close and have not yet. With as many as that nobody else is let in.
const LEAVING_MAX: usize = 16;

/// There are too many of them.
#[derive(Debug, thiserror::Error)]
#[error(
    "{STAYING_MAX} peers that speak for no member are connected, and {LEAVING_MAX} have been told to make room"
)]
struct Crowded;

/// A connection that was not one of a member when it came.
#[derive(Debug)]
struct Stranger {
    peer: PeerId,
    connection: ConnectionId,
    is_leaving: bool,
}

/// Keeps count of connections that others opened and that are none of members.
// INVARIANT(11): what peers take that anybody may be is bounded.
pub(super) struct Strangers {
    admitted: Admitted,
    /// The longest there first.
    open: Vec<Stranger>,
    /// Those that are to be told to close.
    leaving: VecDeque<(PeerId, ConnectionId)>,
}

impl Strangers {
    pub(super) fn new(admitted: Admitted) -> Self {
        Self { admitted, open: Vec::new(), leaving: VecDeque::new() }
    }

    fn is_admitted(&self, peer: &PeerId) -> bool {
        self.admitted.read().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }

    /// Whoever has become a member is no stranger any more.
    fn forget_members(&mut self) {
        let admitted = self.admitted.read().unwrap_or_else(PoisonError::into_inner);
        self.open.retain(|one| !admitted.contains(&one.peer));
    }

    fn let_in(&mut self, peer: &PeerId) -> Result<(), Crowded> {
        if self.is_admitted(peer) {
            return Ok(());
        }
        self.forget_members();
        if self.open.len() < STAYING_MAX + LEAVING_MAX { Ok(()) } else { Err(Crowded) }
    }

    fn came(&mut self, peer: PeerId, connection: ConnectionId) {
        if self.is_admitted(&peer) {
            return;
        }
        self.open.push(Stranger { peer, connection, is_leaving: false });
        if self.open.iter().filter(|one| !one.is_leaving).count() > STAYING_MAX
            && let Some(first) = self.open.iter_mut().find(|one| !one.is_leaving)
        {
            // It may come back, as others may.
            first.is_leaving = true;
            self.leaving.push_back((first.peer, first.connection));
        }
    }

    fn went(&mut self, connection: ConnectionId) {
        self.open.retain(|one| one.connection != connection);
    }
}

impl NetworkBehaviour for Strangers {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.let_in(&peer).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) if endpoint.is_listener() => self.came(peer_id, connection_id),
            FromSwarm::ConnectionClosed(closed) => self.went(closed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // It is polled after each event of the swarm, and nothing else adds to these.
        self.leaving.pop_front().map_or(Poll::Pending, |(peer_id, connection)| {
            Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(connection) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Comes, if it is let in.
    fn comes(strangers: &mut Strangers, peer: PeerId, number: usize) -> bool {
        let is_in = strangers.let_in(&peer).is_ok();
        if is_in {
            strangers.came(peer, ConnectionId::new_unchecked(number));
        }
        is_in
    }

    #[test]
    fn the_longest_there_makes_room_and_those_that_do_not_go_are_counted() {
        let admitted = Admitted::default();
        let mut strangers = Strangers::new(admitted.clone());
        let peers: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(200).collect();
        for (number, peer) in peers.iter().enumerate().take(STAYING_MAX + LEAVING_MAX) {
            assert_eq!(strangers.leaving.len(), number.saturating_sub(STAYING_MAX), "all of these have room");
            assert!(comes(&mut strangers, *peer, number));
        }
        let told: Vec<PeerId> = strangers.leaving.iter().map(|(peer, _)| *peer).collect();
        assert_eq!(told, peers[..LEAVING_MAX], "each in turn, and once");

        let next = STAYING_MAX + LEAVING_MAX;
        assert!(!comes(&mut strangers, peers[next], next), "nobody has gone");
        let member = peers[199];
        admitted.write().unwrap().insert(member);
        assert!(comes(&mut strangers, member, 199), "members have room of their own");

        strangers.went(ConnectionId::new_unchecked(0));
        assert!(comes(&mut strangers, peers[next], next));
        assert!(!comes(&mut strangers, peers[next + 1], next + 1));

        admitted.write().unwrap().insert(peers[next]);
        assert!(comes(&mut strangers, peers[next + 1], next + 1), "who was admitted makes room too");
    }

    #[test]
    fn a_second_connection_of_one_peer_counts_as_another() {
        let mut strangers = Strangers::new(Admitted::default());
        let peer = PeerId::random();
        for number in 0..STAYING_MAX + LEAVING_MAX {
            assert!(comes(&mut strangers, peer, number));
        }
        assert!(!comes(&mut strangers, peer, 100));
    }
}
