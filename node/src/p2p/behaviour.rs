//! The protocols of one mesh, and the limits on each.

use std::collections::HashSet;
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
use libp2p::{StreamProtocol, connection_limits, identify, memory_connection_limits, ping};

use super::codec::Wire;

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
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
}

/// Resident memory beyond which no new connection is taken.
const MEMORY_BYTES_MAX: usize = 2 << 30;

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
    pub(super) fn new(key: &Keypair, mesh: &MeshId) -> Result<Self, String> {
        let exchange = |name: &str, timeout_s| {
            let protocol = format!("/counterfoil/{}/{name}/1", mesh_name(mesh));
            let protocol = StreamProtocol::try_from_owned(protocol).map_err(|error| error.to_string())?;
            let config = request_response::Config::default()
                .with_request_timeout(Duration::from_secs(timeout_s))
                .with_max_concurrent_streams(64);
            Ok::<_, String>(Exchange::with_codec(Wire, [(protocol, ProtocolSupport::Full)], config))
        };
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(16))
            .with_max_pending_outgoing(Some(16))
            .with_max_established_per_peer(Some(4))
            .with_max_established(Some(1024));
        let identity = identify::Config::new("counterfoil/1".into(), key.public())
            .with_agent_version(concat!("counterfoil/", env!("CARGO_PKG_VERSION")).into());
        Ok(Self {
            hello: exchange("hello", 10)?,
            sync: exchange("sync", 10)?,
            gossip: gossip(mesh)?,
            identify: identify::Behaviour::new(identity),
            ping: ping::Behaviour::default(),
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_bytes(MEMORY_BYTES_MAX),
        })
    }
}

/// Hints are anonymous: what counts is the signature inside. Nothing is passed on before the engine has judged it.
fn gossip(mesh: &MeshId) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        // The default id is the same for all anonymous messages.
        .message_id_fn(|message| {
            let mut content = message.topic.as_str().as_bytes().to_vec();
            content.extend_from_slice(&message.data);
            MessageId::new(&blake3(&content))
        })
        .mesh_n(8)
        .mesh_n_low(6)
        .mesh_n_high(12)
        .mesh_outbound_min(3)
        .gossip_lazy(6)
        // A judgement that comes after the message has left the cache is lost.
        .history_length(12)
        .history_gossip(3)
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
