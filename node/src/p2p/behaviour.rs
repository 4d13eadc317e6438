//! The protocols of one mesh, and the limits on each.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use counterfoil_federation::message::{GOSSIP_BYTES_MAX, Topic};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{MeshId, base32};
use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash,
    TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use libp2p::{connection_limits, identify, memory_connection_limits, ping, relay};

use super::codec::Wire;
use super::sources::Sources;
use super::strangers::Strangers;

type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;
type Exchange = request_response::Behaviour<Wire>;

/// Everything that a peer speaks.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) hello: Exchange,
    pub(super) sync: Exchange,
    pub(super) gossip: Gossip,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    via: relay::client::Behaviour,
    carrier: Toggle<relay::Behaviour>,
    sources: Sources,
    strangers: Strangers,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
}

/// Resident memory beyond which no new connection is taken.
const MEMORY_BYTES_MAX: usize = 2 << 30;
/// How often a connection is tried.
const PING: Duration = Duration::from_secs(5);
/// After so long without an answer, twice in a row, a connection is given up: a network that went away tells nobody.
const SILENT: Duration = Duration::from_secs(10);
/// Streams of one connection on which requests wait, of both directions. An engine has eight under way to one peer.
const STREAMS_MAX: usize = 24;
/// Streams of one connection.
pub(super) const CONNECTION_STREAMS_MAX: usize = 64;
/// Bytes of one connection that wait to be read, where the transport lets that be set.
pub(super) const CONNECTION_BYTES_MAX: u32 = 4 << 20;
/// Connections with one peer: each side dials at one moment, and one is relayed.
const PER_PEER_MAX: u32 = 3;

/// Peers that speak for members, as the own chain and those of others bind them.
pub(super) type Admitted = Arc<RwLock<HashSet<PeerId>>>;

fn mesh_name(mesh: &MeshId) -> String {
    base32(mesh.as_bytes())
}

/// The topic of a mesh on which such hints travel.
pub(super) fn topic(mesh: &MeshId, topic: Topic) -> IdentTopic {
    IdentTopic::new(format!("counterfoil/{}/{}", mesh_name(mesh), topic.name()))
}

/// Which topic a message came on.
pub(super) fn topic_of(mesh: &MeshId, hash: &TopicHash) -> Option<Topic> {
    Topic::ALL.into_iter().find(|one| topic(mesh, *one).hash() == *hash)
}

impl Behaviour {
    /// `carries` is whether members are relayed here.
    pub(super) fn new(
        key: &Keypair,
        mesh: &MeshId,
        via: relay::client::Behaviour,
        admitted: &Admitted,
        carries: bool,
    ) -> Result<Self, String> {
        let exchange = |name: &str, timeout_s| {
            let protocol = format!("/counterfoil/{}/{name}/1", mesh_name(mesh));
            let protocol = StreamProtocol::try_from_owned(protocol).map_err(|error| error.to_string())?;
            let config = request_response::Config::default()
                .with_request_timeout(Duration::from_secs(timeout_s))
                .with_max_concurrent_streams(STREAMS_MAX);
            Ok::<_, String>(Exchange::with_codec(Wire, [(protocol, ProtocolSupport::Full)], config))
        };
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(64))
            .with_max_pending_outgoing(Some(16))
            .with_max_established_per_peer(Some(PER_PEER_MAX))
            .with_max_established(Some(1024));
        let identity = identify::Config::new("counterfoil/1".into(), key.public())
            .with_agent_version(concat!("counterfoil/", env!("CARGO_PKG_VERSION")).into());
        Ok(Self {
            hello: exchange("hello", 10)?,
            sync: exchange("sync", 10)?,
            gossip: gossip(mesh)?,
            identify: identify::Behaviour::new(identity),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(SILENT)),
            via,
            carrier: carries.then(|| carrier(key.public().to_peer_id(), admitted)).into(),
            sources: Sources::default(),
            strangers: Strangers::new(admitted.clone()),
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_bytes(MEMORY_BYTES_MAX),
        })
    }
}

/// Relays connections of members. The library's limits of 128 KiB and two minutes would cut every backfill off.
fn carrier(local: PeerId, admitted: &Admitted) -> relay::Behaviour {
    let is_admitted = |admitted: &Admitted| {
        let admitted = admitted.clone();
        move |peer: PeerId, _: &Multiaddr, _| {
            admitted.read().unwrap_or_else(PoisonError::into_inner).contains(&peer)
        }
    };
    let mut config = relay::Config {
        max_reservations: 128,
        max_reservations_per_peer: 4,
        reservation_rate_limiters: vec![Box::new(is_admitted(admitted))],
        max_circuits: 512,
        max_circuits_per_peer: 64,
        max_circuit_duration: Duration::from_secs(86_400),
        max_circuit_bytes: 16 << 30,
        circuit_src_rate_limiters: vec![Box::new(is_admitted(admitted))],
        ..relay::Config::default()
    };
    // A burst for when the network comes back, then one in two seconds.
    if let Some(burst) = NonZeroU32::new(64) {
        let interval = Duration::from_secs(2);
        config = config.reservation_rate_per_peer(burst, interval).circuit_src_per_peer(burst, interval);
    }
    let mut carrier = relay::Behaviour::new(local, config);
    carrier.set_status(Some(relay::Status::Enable));
    carrier
}

/// Hints are anonymous: what counts is the signature inside. Nothing is passed on before the engine has judged it.
fn gossip(mesh: &MeshId) -> Result<Gossip, String> {
    let recalls = topic(mesh, Topic::Recalls).hash();
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        // The default id is the same for all anonymous messages.
        .message_id_fn(|message| {
            let mut content = message.topic.as_str().as_bytes().to_vec();
            content.extend_from_slice(&message.data);
            MessageId::new(&blake3(&content))
        })
        // Whoever publishes a recall sends it to everybody it is connected to; other hints go to a few, who pass them on.
        .flood_publish(false)
        .mesh_n_for_topic(512, recalls.clone())
        .mesh_n_high_for_topic(512, recalls)
        .mesh_n(8)
        .mesh_n_low(6)
        .mesh_n_high(12)
        .mesh_outbound_min(3)
        .gossip_lazy(6)
        // A judgement that comes after the message has left the cache is lost.
        .history_length(12)
        // Naming a message again and again costs more than itself; what was lost, comparing heads brings.
        .history_gossip(1)
        .heartbeat_interval(Duration::from_secs(1))
        .duplicate_cache_time(Duration::from_secs(600))
        .max_transmit_size(GOSSIP_BYTES_MAX)
        .connection_handler_queue_len(500)
        .build()
        .map_err(|error| error.to_string())?;
    let topics: HashSet<TopicHash> = Topic::ALL.into_iter().map(|one| topic(mesh, one).hash()).collect();
    let mut gossip = Gossip::new_with_subscription_filter(
        MessageAuthenticity::Anonymous,
        config,
        WhitelistSubscriptionFilter(topics),
    )
    .map_err(str::to_owned)?;
    // Quiet topics must not cost honest peers anything, nor must sharing an address.
    let quiet = TopicScoreParams {
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        ..TopicScoreParams::default()
    };
    let mut score = PeerScoreParams { ip_colocation_factor_weight: 0.0, ..PeerScoreParams::default() };
    for one in Topic::ALL {
        score.topics.insert(topic(mesh, one).hash(), quiet.clone());
    }
    gossip.with_peer_score(score, PeerScoreThresholds::default())?;
    for one in Topic::ALL {
        gossip.subscribe(&topic(mesh, one)).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

#[cfg(test)]
mod tests;
