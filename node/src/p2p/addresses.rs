//! Whom to dial, and where.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::Members;

/// Most addresses that were given by people or letters of invitation.
const GIVEN_MAX: usize = 256;

/// Where others are; those that were given and those of neighbours are dialled again and again while nobody there is
/// connected.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Given by the configuration or an invitation.
    given: BTreeSet<Multiaddr>,
    /// Of members, as their latest bindings say.
    members: BTreeMap<PeerId, BTreeSet<Multiaddr>>,
    /// Members that are to be connected all the time.
    neighbours: HashSet<PeerId>,
}

/// Whether a connection with this address goes over a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether an address is `peer` itself, or leads over it.
fn is_over(address: &Multiaddr, peer: &PeerId) -> bool {
    address.iter().any(|part| part == Protocol::P2p(*peer))
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

    /// Takes the members, in place of those known before. Returns whether there is anybody or anything new to dial.
    pub(super) fn take_members(&mut self, members: Members) -> bool {
        let known = std::mem::take(&mut self.members);
        for address in members.addresses {
            if let Some(peer) = peer_of(&address) {
                self.members.entry(peer).or_default().insert(address);
            }
        }
        let before = std::mem::replace(&mut self.neighbours, members.neighbours);
        let is_new = |peer: &PeerId| !before.contains(peer) || self.members.get(peer) != known.get(peer);
        self.neighbours.iter().any(is_new)
    }

    /// Where a peer may be. A connection over `local` as a relay is not for `local` to make.
    pub(super) fn of(&self, peer: &PeerId, local: &PeerId) -> BTreeSet<Multiaddr> {
        let given = self.given.iter().filter(|address| peer_of(address) == Some(*peer));
        let all = self.members.get(peer).into_iter().flatten().chain(given);
        all.filter(|address| !is_over(address, local)).cloned().collect()
    }

    /// Forgets that anybody is there: somebody else is.
    pub(super) fn forget(&mut self, address: &Multiaddr, peer: &PeerId) {
        let named = address.clone().with_p2p(*peer).unwrap_or_else(|address| address);
        self.given.retain(|one| *one != named);
        if let Some(known) = self.members.get_mut(peer) {
            known.remove(&named);
        }
    }

    /// Where each peer is that is to be connected all the time, but for `local`, and addresses of which it is not known who
    /// is there.
    pub(super) fn targets(&self, local: &PeerId) -> (BTreeMap<PeerId, BTreeSet<Multiaddr>>, Vec<Multiaddr>) {
        let given: BTreeSet<PeerId> = self.given.iter().filter_map(peer_of).collect();
        let wanted = self.neighbours.iter().chain(&given).filter(|peer| *peer != local);
        let mut peers: BTreeMap<_, _> = wanted.map(|peer| (*peer, self.of(peer, local))).collect();
        peers.retain(|_, addresses| !addresses.is_empty());
        let anybody = self.given.iter().filter(|address| peer_of(address).is_none()).cloned().collect();
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

    fn all(addresses: &[Multiaddr], neighbours: &[u8]) -> Members {
        let neighbours = neighbours.iter().map(|n| peer(*n)).collect();
        Members { neighbours, addresses: addresses.to_vec(), ..Members::default() }
    }

    #[test]
    fn a_peer_is_dialled_at_all_of_its_addresses_and_never_over_oneself() {
        let mut addresses = Addresses::default();
        let unnamed: Multiaddr = "/ip4/10.0.0.3/tcp/1".parse().unwrap();
        addresses.give([at("/ip4/10.0.0.1/tcp/1", 1), unnamed.clone(), at("/ip4/10.0.0.7/tcp/1", 7)]);
        let members =
            [at("/ip4/10.0.0.1/tcp/2", 1), circuit(9, 2), circuit(7, 3), at("/ip4/10.0.0.4/tcp/1", 4)];
        assert!(addresses.take_members(all(&members, &[1, 2, 3])));
        assert!(!addresses.take_members(all(&members, &[1, 2])), "there is nobody new");
        assert!(addresses.take_members(all(&members, &[1, 2, 3])), "one is to be connected now");
        let (peers, anybody) = addresses.targets(&peer(7));
        assert_eq!(anybody, [unnamed]);
        let wanted = [
            (peer(1), BTreeSet::from([at("/ip4/10.0.0.1/tcp/1", 1), at("/ip4/10.0.0.1/tcp/2", 1)])),
            (peer(2), BTreeSet::from([circuit(9, 2)])),
        ];
        assert_eq!(peers, BTreeMap::from(wanted));
        // Whoever is no neighbour is dialled when it is asked, and not by itself.
        assert_eq!(addresses.of(&peer(4), &peer(7)), BTreeSet::from([at("/ip4/10.0.0.4/tcp/1", 4)]));
        assert_eq!(addresses.of(&peer(3), &peer(7)), BTreeSet::new());
    }

    #[test]
    fn whoever_has_another_key_now_is_not_looked_for_where_it_was() {
        let mut addresses = Addresses::default();
        addresses.give([at("/ip4/10.0.0.1/tcp/1", 1)]);
        addresses.take_members(all(&[at("/ip4/10.0.0.1/tcp/1", 1)], &[1]));
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
