//! How many connections one address may be setting up here at one time.
//!
//! A connection costs a slot until its handshake is over, and who dials has proven nothing by then. With a limit on all of
//! them together, whoever opens connections and says nothing would keep everybody else out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Handshakes under way with one address.
const PENDING_MAX: usize = 5;

/// Too many handshakes are under way with one address.
#[derive(Debug, thiserror::Error)]
#[error("{PENDING_MAX} connections from {0} are being set up already")]
struct Busy(IpAddr);

/// Counts handshakes under way by the address that they come from.
#[derive(Default)]
pub(super) struct Sources {
    pending: HashMap<ConnectionId, IpAddr>,
}

/// The address that a connection comes from. Whoever has one IPv6 address has all of its network's.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into()),
        _ => None,
    }
}

impl Sources {
    fn begin(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), Busy> {
        // What a relay carries has no address of its own, and the relay has limits. Nodes on one machine are its owner's.
        let is_counted = |ip: &IpAddr| !ip.is_loopback() && !super::is_relayed(remote);
        let Some(ip) = source(remote).filter(is_counted) else { return Ok(()) };
        if self.pending.values().filter(|one| **one == ip).count() >= PENDING_MAX {
            return Err(Busy(ip));
        }
        self.pending.insert(connection, ip);
        Ok(())
    }
}

impl NetworkBehaviour for Sources {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(connection, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&connection);
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
        if let FromSwarm::ListenFailure(failure) = event {
            self.pending.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_the_place_of_others() {
        let mut sources = Sources::default();
        let number = ConnectionId::new_unchecked;
        for n in 0..PENDING_MAX {
            assert!(sources.begin(number(n), &at(&format!("/ip4/10.0.0.1/tcp/{}", 1000 + n))).is_ok());
        }
        let (first, another) = (at("/ip4/10.0.0.1/tcp/9"), at("/ip4/10.0.0.2/tcp/9"));
        assert!(sources.begin(number(10), &first).is_err());
        assert!(sources.begin(number(11), &another).is_ok());
        for n in 20..30 {
            assert!(
                sources.begin(number(n), &at("/ip4/127.0.0.1/tcp/9")).is_ok(),
                "one machine is not limited"
            );
        }
        sources.pending.remove(&number(0));
        assert!(sources.begin(number(12), &first).is_ok(), "whose handshake is over makes room");
    }

    #[test]
    fn one_network_of_version_six_is_one_source() {
        assert_eq!(source(&at("/ip6/2001:db8::1/tcp/1")), source(&at("/ip6/2001:db8::2/udp/1/quic-v1")));
        assert_ne!(source(&at("/ip6/2001:db8::1/tcp/1")), source(&at("/ip6/2001:db8:0:1::1/tcp/1")));
    }
}
