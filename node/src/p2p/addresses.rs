//! Whom to dial, and where.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Most addresses that were given by people or letters of invitation.
const GIVEN_MAX: usize = 256;

/// Addresses that are dialled again and again while nobody there is connected.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Given by the configuration or an invitation.
    given: BTreeSet<Multiaddr>,
    /// Of members, as their latest bindings say.
    members: BTreeMap<PeerId, BTreeSet<Multiaddr>>,
}

/// Whether a connection with this address goes over a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether an address is of one machine alone.
pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The peer that an address leads to: the last that it names, since a relay may stand before.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

/// Those of a node's addresses at which others reach it: what is of its machine alone says nothing to them, unless there
/// is nothing else.
pub(crate) fn reachable(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let outside: Vec<Multiaddr> = addresses.iter().filter(|one| !is_loopback(one)).cloned().collect();
    if outside.is_empty() { addresses } else { outside }
}

impl Addresses {
    /// Takes addresses that were given.
    pub(super) fn give(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        for address in addresses {
            if self.given.len() < GIVEN_MAX {
                self.given.insert(address);
            }
        }
    }

    /// Takes the members' addresses, in place of those known before.
    pub(super) fn take_members(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        self.members.clear();
        for address in addresses {
            if let Some(peer) = peer_of(&address) {
                self.members.entry(peer).or_default().insert(address);
            }
        }
    }

    /// Forgets that anybody is there: somebody else is.
    pub(super) fn forget(&mut self, address: &Multiaddr, peer: &PeerId) {
        let named = address.clone().with_p2p(*peer).unwrap_or_else(|address| address);
        self.given.retain(|one| *one != named);
        if let Some(known) = self.members.get_mut(peer) {
            known.remove(&named);
        }
    }

    /// Where each peer may be, but for `local`, and addresses of which it is not known who is there. A connection over
    /// `local` as a relay is not for `local` to make.
    pub(super) fn targets(&self, local: &PeerId) -> (BTreeMap<PeerId, BTreeSet<Multiaddr>>, Vec<Multiaddr>) {
        let (mut peers, mut anybody) = (self.members.clone(), Vec::new());
        for address in &self.given {
            match peer_of(address) {
                Some(peer) => drop(peers.entry(peer).or_default().insert(address.clone())),
                None => anybody.push(address.clone()),
            }
        }
        peers.remove(local);
        for addresses in peers.values_mut() {
            addresses.retain(|address| !address.iter().any(|part| part == Protocol::P2p(*local)));
        }
        peers.retain(|_, addresses| !addresses.is_empty());
        (peers, anybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        let key = counterfoil_protocol::keys::SecretKey::from_seed(&[n; 32]);
        super::super::peer_id(&counterfoil_protocol::keys::Signer::public_key(&key)).unwrap()
    }

    fn at(text: &str, n: u8) -> Multiaddr {
        text.parse::<Multiaddr>().unwrap().with_p2p(peer(n)).unwrap()
    }

    fn circuit(relay: u8, n: u8) -> Multiaddr {
        at("/ip4/10.0.0.9/tcp/1", relay).with(Protocol::P2pCircuit).with_p2p(peer(n)).unwrap()
    }

    #[test]
    fn a_peer_is_dialled_at_all_of_its_addresses_and_never_over_oneself() {
        let mut addresses = Addresses::default();
        let unnamed: Multiaddr = "/ip4/10.0.0.3/tcp/1".parse().unwrap();
        addresses.give([at("/ip4/10.0.0.1/tcp/1", 1), unnamed.clone(), at("/ip4/10.0.0.7/tcp/1", 7)]);
        addresses.take_members([at("/ip4/10.0.0.1/tcp/2", 1), circuit(9, 2), circuit(7, 3)]);
        let (peers, anybody) = addresses.targets(&peer(7));
        assert_eq!(anybody, [unnamed]);
        let wanted = [
            (peer(1), BTreeSet::from([at("/ip4/10.0.0.1/tcp/1", 1), at("/ip4/10.0.0.1/tcp/2", 1)])),
            (peer(2), BTreeSet::from([circuit(9, 2)])),
        ];
        assert_eq!(peers, BTreeMap::from(wanted));
    }

    #[test]
    fn whoever_has_another_key_now_is_not_looked_for_where_it_was() {
        let mut addresses = Addresses::default();
        addresses.give([at("/ip4/10.0.0.1/tcp/1", 1)]);
        addresses.take_members([at("/ip4/10.0.0.1/tcp/1", 1)]);
        addresses.forget(&"/ip4/10.0.0.1/tcp/1".parse().unwrap(), &peer(1));
        assert_eq!(addresses.targets(&peer(7)), (BTreeMap::new(), Vec::new()));
    }

    #[test]
    fn an_address_of_one_machine_is_for_others_on_it_alone() {
        let (here, there) = (at("/ip4/127.0.0.1/tcp/1", 1), at("/ip4/10.0.0.1/tcp/1", 1));
        assert_eq!(reachable(vec![here.clone(), there.clone()]), vec![there]);
        assert_eq!(reachable(vec![here.clone()]), vec![here]);
    }
}
