//! libp2p as a thin driver: it carries what the engine says and tells the engine what it hears. It decides nothing.
//!
//! ```text
//! engine thread --NetworkCommand--> swarm (own thread) --Input--> engine thread
//! ```
//!
//! The swarm's thread may wait for the engine, which slows the network down; the engine never waits for the network.

mod addresses;
mod behaviour;
mod codec;
mod driver;
mod muxer;
mod sources;
mod strangers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use counterfoil_protocol::ids::MeshId;
use counterfoil_protocol::keys::{PublicKey, SecretKey, Signer as _};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub(crate) use self::addresses::reachable;
use self::addresses::{is_relayed, peer_of};
use self::behaviour::Admitted;
use crate::runtime::{NetworkCommand, Outward, Runtime, RuntimeError};

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The peer's key is not usable, or the transports cannot be set up.
    #[error("network: {0}")]
    Setup(String),
    /// An address cannot be listened on.
    #[error("network: cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: Multiaddr,
        /// What the system says.
        error: String,
    },
    /// An address over which the node is to be reached names no relay.
    #[error(
        "network: {0} names no relay; end it with /p2p/ and the relay's peer id, as its `status` shows it"
    )]
    NoRelay(Multiaddr),
    /// See the inner error.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
}

/// What the driver is told, besides what the engine wants.
enum Order {
    Engine(Box<NetworkCommand>),
    /// Addresses at which members may be reached; those without a connection are dialled again and again.
    Know(Vec<Multiaddr>),
    /// The members, in place of those told before.
    Members(Members),
    Stop,
}

/// What others may see of the network's state.
#[derive(Debug, Default)]
struct Seen {
    listening: Vec<Multiaddr>,
    remote: BTreeMap<PeerId, Multiaddr>,
}

/// The members of the mesh, as the network needs to know them.
#[derive(Debug, Default)]
pub struct Members {
    /// Their nodes.
    pub peers: HashSet<PeerId>,
    /// Those of them that are to be connected all the time.
    pub neighbours: HashSet<PeerId>,
    /// Where they are.
    pub addresses: Vec<Multiaddr>,
    /// Peers by those in whose place they speak for an organisation.
    pub moved: HashMap<PeerId, PeerId>,
}

/// How a connection with a peer comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Where the peer is, or the relay that carries the connection.
    pub address: Multiaddr,
    /// Whether a relay carries it.
    pub is_relayed: bool,
}

/// A running network. Dropping it closes all connections.
pub struct Network {
    orders: UnboundedSender<Order>,
    seen: Arc<Mutex<Seen>>,
    admitted: Admitted,
    thread: Mutex<Option<JoinHandle<()>>>,
    local: PeerId,
}

/// What a network starts from.
pub struct Setup {
    /// The mesh, whose name stands in every protocol and topic.
    pub mesh: MeshId,
    /// The peer's key.
    pub key: SecretKey,
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// Whom to dial.
    pub dial: Vec<Multiaddr>,
    /// Relays over which the node is to be reached, each with its peer id.
    pub via: Vec<Multiaddr>,
    /// Whether it relays the connections of other members.
    pub relay: bool,
}

impl Network {
    /// Listens, and connects the engine to it.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn start(setup: Setup, runtime: Arc<Runtime>) -> Result<Self, NetworkError> {
        let local = peer_id(&setup.key.public_key())?;
        if let Some(unnamed) = setup.via.iter().find(|address| peer_of(address).is_none()) {
            return Err(NetworkError::NoRelay(unnamed.clone()));
        }
        let (orders, incoming) = unbounded_channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let admitted: Admitted = Arc::new(RwLock::new(HashSet::new()));
        let (ready, started) = std::sync::mpsc::channel();
        let thread = {
            let (seen, admitted, runtime) = (seen.clone(), admitted.clone(), runtime.clone());
            std::thread::Builder::new()
                .name("network".into())
                .spawn(move || driver::run(setup, &runtime, incoming, &seen, &admitted, &ready))
                .map_err(|error| NetworkError::Setup(error.to_string()))?
        };
        started.recv().map_err(|_| NetworkError::Setup("its thread ended".into()))??;
        let outward: Outward = {
            let orders = orders.clone();
            Arc::new(move |command| {
                // A network that has stopped needs no commands.
                let _ = orders.send(Order::Engine(Box::new(command)));
            })
        };
        runtime.connect(outward)?;
        Ok(Self { orders, seen, admitted, thread: Mutex::new(Some(thread)), local })
    }

    /// The own peer id.
    pub const fn local(&self) -> PeerId {
        self.local
    }

    /// Addresses at which this node listens, with its peer id.
    pub fn listening(&self) -> Vec<Multiaddr> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.listening.iter().map(|address| with_peer(address.clone(), self.local)).collect()
    }

    /// How the connection with a peer comes about, if there is one.
    pub fn reach(&self, key: &PublicKey) -> Option<Reach> {
        let peer = peer_id(key).ok()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let address = seen.remote.get(&peer)?;
        Some(Reach { address: address.clone(), is_relayed: is_relayed(address) })
    }

    /// Adds addresses at which members may be reached.
    pub fn know(&self, addresses: Vec<Multiaddr>) {
        // A network that has stopped dials nobody.
        let _ = self.orders.send(Order::Know(addresses));
    }

    /// Says who the members are, in place of what was said before.
    pub fn members(&self, members: Members) {
        *self.admitted.write().unwrap_or_else(PoisonError::into_inner) = members.peers.clone();
        // A network that has stopped dials nobody.
        let _ = self.orders.send(Order::Members(members));
    }

    /// Closes all connections and waits for the thread.
    pub fn stop(&self) {
        // The thread may have ended already.
        let _ = self.orders.send(Order::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the network's thread ended by a panic");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address with the peer's id at its end.
fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    address.with_p2p(peer).unwrap_or_else(|address| address)
}

/// Where a relay takes connections for this node.
fn circuit(relay: &Multiaddr) -> Multiaddr {
    relay.clone().with(Protocol::P2pCircuit)
}

/// The libp2p peer id of an Ed25519 key.
///
/// # Errors
/// [`NetworkError::Setup`] when libp2p does not take the key.
pub fn peer_id(key: &PublicKey) -> Result<PeerId, NetworkError> {
    libp2p::identity::ed25519::PublicKey::try_from_bytes(key.as_bytes())
        .map(|key| PeerId::from_public_key(&key.into()))
        .map_err(|error| NetworkError::Setup(error.to_string()))
}

/// The Ed25519 key that a peer id carries (libp2p peer-ids: an identity multihash of the encoded key).
fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let bytes = peer.to_bytes();
    let key: &[u8; 32] = bytes.strip_prefix(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20])?.try_into().ok()?;
    PublicKey::from_ed25519(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_peer_id_are_the_same_thing() {
        let key = SecretKey::from_seed(&[7; 32]).public_key();
        let peer = peer_id(&key).unwrap();
        assert_eq!(public_key(&peer), Some(key));
        let binding = counterfoil_protocol::identity::NodeBinding::peer_id_bytes(&key);
        assert_eq!(peer.to_bytes(), binding.0);
    }
}
