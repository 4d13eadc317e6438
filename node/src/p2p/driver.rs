//! The swarm's loop.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use counterfoil_federation::Input;
use counterfoil_federation::effect::{ChannelId, ExchangeId, GossipId, Judgement};
use counterfoil_federation::message::{Request, Response};
use counterfoil_protocol::ids::MeshId;
use counterfoil_protocol::keys::PublicKey;
use futures::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message, OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, noise, ping, tcp};
use tokio::sync::mpsc::UnboundedReceiver;

use super::addresses::{Addresses, is_loopback, is_relayed, peer_of};
use super::behaviour::{
    Admitted, Behaviour, BehaviourEvent, CONNECTION_BYTES_MAX, CONNECTION_STREAMS_MAX, topic, topic_of,
};
use super::muxer::Multiplexer;
use super::{NetworkError, Order, Seen, Setup, circuit, peer_id, public_key};
use crate::runtime::{NetworkCommand, Runtime};

/// How often those without a connection are dialled.
const REDIAL: Duration = Duration::from_secs(2);
/// After so many times, those whose connection is relayed are dialled directly too.
const DIRECT_EVERY: u64 = 15;
/// Longest a connection is being set up, with all handshakes.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest a connection lasts on which nothing is under way.
const IDLE: Duration = Duration::from_secs(600);
/// After so long, whoever dials has given up the connection that there is: dials at one moment are over by then.
const SETTLED: Duration = Duration::from_secs(5);
/// Streams of one connection whose protocol is being agreed on.
const NEGOTIATING_MAX: usize = 16;
/// Most requests of others that wait for an answer.
const CHANNELS_MAX: usize = 1024;
/// Most of them that are of one peer.
const PEER_CHANNELS_MAX: usize = 32;
/// How long whoever was sent away stays away.
const SHUNNED: Duration = Duration::from_secs(30);
/// Most of those who are kept in mind.
const SHUNNED_MAX: usize = 1024;
/// Most gossip messages that wait for a judgement.
const JUDGEMENTS_MAX: usize = 4096;

/// The score of whoever is outside the circle: below every threshold, so that gossip is neither sent to it nor taken from it.
const OUTSIDE: f64 = -1_000.0;

struct Driver<'a> {
    swarm: Swarm<Behaviour>,
    mesh: MeshId,
    runtime: &'a Runtime,
    seen: &'a Mutex<Seen>,
    known: Addresses,
    /// Connections, by peer.
    open: BTreeMap<PeerId, HashMap<ConnectionId, Open>>,
    /// Those who were sent away, and until when.
    shunned: HashMap<PeerId, Instant>,
    /// Relays over which this node is to be reached, with what listens there.
    via: Vec<(Multiaddr, Option<ListenerId>)>,
    /// Whether it relays others, and whether on addresses of this machine alone too.
    carries: Option<bool>,
    dials: u64,
    hello: HashMap<OutboundRequestId, ExchangeId>,
    sync: HashMap<OutboundRequestId, ExchangeId>,
    channels: BTreeMap<ChannelId, Waiting>,
    judged: BTreeMap<GossipId, (MessageId, PeerId)>,
    next: u64,
}

/// A connection.
struct Open {
    /// The address at its other end.
    address: Multiaddr,
    since: Instant,
}

impl Open {
    fn is_relayed(&self) -> bool {
        is_relayed(&self.address)
    }

    /// Whether this connection can be none any more, given that its peer has just dialled `address` from afar.
    fn is_stale(&self, address: &Multiaddr) -> bool {
        let is_upgrade = self.is_relayed() && !is_relayed(address);
        !is_upgrade && self.since.elapsed() >= SETTLED
    }
}

/// A request of a peer that waits for an answer.
struct Waiting {
    peer: PeerId,
    is_hello: bool,
    open: ResponseChannel<Response>,
}

/// Runs the network until it is told to stop or the engine has gone.
pub(super) fn run(
    setup: Setup,
    runtime: &Runtime,
    mut orders: UnboundedReceiver<Order>,
    seen: &Mutex<Seen>,
    admitted: &Admitted,
    ready: &Sender<Result<(), NetworkError>>,
) {
    let executor = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(executor) => executor,
        Err(error) => {
            // Whoever started this waits for nothing else.
            let _ = ready.send(Err(NetworkError::Setup(error.to_string())));
            return;
        }
    };
    executor.block_on(async {
        let swarm = match swarm(&setup, admitted) {
            Ok(swarm) => swarm,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let mut driver = Driver {
            swarm,
            mesh: setup.mesh,
            runtime,
            seen,
            known: Addresses::default(),
            open: BTreeMap::new(),
            shunned: HashMap::new(),
            via: setup.via.into_iter().map(|relay| (relay, None)).collect(),
            carries: setup.relay.then(|| setup.listen.iter().any(is_loopback)),
            dials: 0,
            hello: HashMap::new(),
            sync: HashMap::new(),
            channels: BTreeMap::new(),
            judged: BTreeMap::new(),
            next: 0,
        };
        driver.known.give(setup.dial);
        let _ = ready.send(Ok(()));
        let mut redial = tokio::time::interval(REDIAL);
        loop {
            let goes_on = tokio::select! {
                event = driver.swarm.select_next_some() => driver.event(event),
                order = orders.recv() => match order {
                    Some(Order::Engine(command)) => {
                        driver.command(*command);
                        true
                    }
                    Some(Order::Know(addresses)) => {
                        driver.known.give(addresses);
                        driver.dial();
                        true
                    }
                    Some(Order::Members(members)) => {
                        driver.follow_relays(&members.moved);
                        if driver.known.take_members(members) {
                            driver.dial();
                        }
                        true
                    }
                    Some(Order::Stop) | None => false,
                },
                _ = redial.tick() => {
                    driver.reserve();
                    driver.dial();
                    true
                }
            };
            if !goes_on {
                driver.close();
                return;
            }
        }
    });
}

/// Whether nobody answers any more at the other end. Where the first answer is late, the next is asked for on a new stream,
/// and then it is that stream on which nothing comes. Every node answers pings, so whoever cannot be asked might as well be silent.
fn is_silent(failure: &ping::Failure) -> bool {
    match failure {
        ping::Failure::Timeout | ping::Failure::Unsupported => true,
        ping::Failure::Other { error } => {
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        }
    }
}

fn swarm(setup: &Setup, admitted: &Admitted) -> Result<Swarm<Behaviour>, NetworkError> {
    let failed = |error: String| NetworkError::Setup(error);
    let mut seed = setup.key.to_seed();
    let key = Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(|e| failed(e.to_string()))?;
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, Multiplexer::new)
        .map_err(|e| failed(e.to_string()))?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = CONNECTION_STREAMS_MAX as u32;
            config.max_stream_data = CONNECTION_BYTES_MAX / 4;
            config.max_connection_data = CONNECTION_BYTES_MAX;
            config
        })
        .with_dns()
        .map_err(|e| failed(e.to_string()))?
        .with_relay_client(noise::Config::new, Multiplexer::new)
        .map_err(|e| failed(e.to_string()))?
        .with_behaviour(|key, via| Ok(Behaviour::new(key, &setup.mesh, via, admitted, setup.relay)?))
        .map_err(|e| failed(e.to_string()))?
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(IDLE).with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
        })
        .with_connection_timeout(HANDSHAKE)
        .build();
    for address in &setup.listen {
        swarm
            .listen_on(address.clone())
            .map_err(|error| NetworkError::Listen { address: address.clone(), error: error.to_string() })?;
    }
    Ok(swarm)
}

impl Driver<'_> {
    /// Tells the engine. Returns whether it is still there.
    fn tell(&self, input: Input) -> bool {
        self.runtime.input(input).is_ok()
    }

    /// With this network all its connections end.
    fn close(&self) {
        let connected = self.open.keys().filter_map(public_key);
        // Where the engine has gone nobody needs to know.
        connected.map(|key| self.tell(Input::Disconnected(key))).for_each(drop);
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Goes on with relays that have another peer id by now.
    fn follow_relays(&mut self, moved: &HashMap<PeerId, PeerId>) {
        for (relay, listener) in &mut self.via {
            let Some(now) = peer_of(relay).and_then(|peer| moved.get(&peer)) else { continue };
            relay.pop();
            relay.push(Protocol::P2p(*now));
            if let Some(id) = listener.take() {
                self.swarm.remove_listener(id);
            }
        }
    }

    /// Asks those relays that do not take connections for this node to do so.
    fn reserve(&mut self) {
        for (relay, listener) in &mut self.via {
            if listener.is_none() {
                match self.swarm.listen_on(circuit(relay)) {
                    Ok(id) => *listener = Some(id),
                    Err(error) => tracing::warn!(%relay, %error, "not reached over the relay"),
                }
            }
        }
    }

    /// Dials every known peer that has no connection, at all of its addresses at once; from time to time also those whose
    /// connection is relayed, at their own addresses.
    fn dial(&mut self) {
        self.dials = self.dials.wrapping_add(1);
        let (peers, anybody) = self.known.targets(self.swarm.local_peer_id());
        for (peer, mut addresses) in peers {
            if self.is_shunned(&peer) {
                continue;
            }
            if let Some(open) = self.open.get(&peer) {
                let is_due = self.dials.is_multiple_of(DIRECT_EVERY) && open.values().all(Open::is_relayed);
                addresses.retain(|address| is_due && !is_relayed(address));
            }
            if addresses.is_empty() {
                continue;
            }
            let options = DialOpts::peer_id(peer)
                .condition(PeerCondition::NotDialing)
                .addresses(addresses.into_iter().collect())
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%peer, %error, "not dialled");
            }
        }
        for address in anybody {
            if self.open.values().any(|open| open.values().any(|open| open.address == address)) {
                continue;
            }
            if let Err(error) = self.swarm.dial(DialOpts::from(address.clone())) {
                tracing::debug!(%address, %error, "not dialled");
            }
        }
    }

    /// Dials one peer, and says to the engine if that leads nowhere.
    fn reach(&mut self, key: PublicKey) {
        let Ok(peer) = peer_id(&key) else { return };
        if self.open.contains_key(&peer) {
            return;
        }
        let mut addresses = self.known.of(&peer, self.swarm.local_peer_id());
        addresses.retain(|_| !self.is_shunned(&peer));
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::NotDialing)
            .addresses(addresses.into_iter().collect())
            .build();
        match self.swarm.dial(options) {
            // What comes of a dial that is under way is told as well.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "not reached");
                // Where the engine has gone nobody needs to know.
                let _ = self.tell(Input::Unreached(key));
            }
        }
    }

    fn is_shunned(&self, peer: &PeerId) -> bool {
        self.shunned.get(peer).is_some_and(|until| *until > Instant::now())
    }

    /// Shows how a peer is connected, and closes relayed connections to one that is connected directly.
    fn show(&mut self, peer: &PeerId) {
        let open = self.open.get(peer);
        let direct = open.and_then(|open| open.values().find(|one| !one.is_relayed()));
        let shown = direct.or_else(|| open.and_then(|open| open.values().next()));
        let shown = shown.map(|one| one.address.clone());
        let superfluous = open.filter(|_| direct.is_some()).into_iter().flatten();
        for (connection, _) in superfluous.filter(|(_, one)| one.is_relayed()) {
            self.swarm.close_connection(*connection);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match shown {
            Some(address) => seen.remote.insert(*peer, address),
            None => seen.remote.remove(peer),
        };
    }

    fn command(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::Send { peer, exchange, request } => {
                let Ok(peer) = peer_id(&peer) else { return };
                let behaviour = self.swarm.behaviour_mut();
                if matches!(request, Request::Hello(_)) {
                    self.hello.insert(behaviour.hello.send_request(&peer, request), exchange);
                } else {
                    self.sync.insert(behaviour.sync.send_request(&peer, request), exchange);
                }
            }
            NetworkCommand::Respond { channel, response } => {
                let Some(waiting) = self.channels.remove(&channel) else { return };
                let behaviour = self.swarm.behaviour_mut();
                let exchange = if waiting.is_hello { &mut behaviour.hello } else { &mut behaviour.sync };
                if exchange.send_response(waiting.open, response).is_err() {
                    tracing::debug!("whoever asked has gone before the answer");
                }
            }
            NetworkCommand::Gossip { topic: on, bytes } => {
                let on = topic(&self.mesh, on);
                match self.swarm.behaviour_mut().gossip.publish(on, bytes.to_vec()) {
                    // Nobody to tell: head vectors will.
                    Ok(_) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
                    Err(error) => tracing::debug!(%error, "not published"),
                }
            }
            NetworkCommand::Judge { gossip, judgement } => {
                let Some((message, source)) = self.judged.remove(&gossip) else { return };
                let acceptance = match judgement {
                    Judgement::Accept => MessageAcceptance::Accept,
                    Judgement::Ignore => MessageAcceptance::Ignore,
                    Judgement::Reject => MessageAcceptance::Reject,
                };
                self.swarm
                    .behaviour_mut()
                    .gossip
                    .report_message_validation_result(&message, &source, acceptance);
            }
            NetworkCommand::GossipWith { peer, begins } => {
                let Ok(peer) = peer_id(&peer) else { return };
                if begins {
                    self.swarm.behaviour_mut().gossip.set_application_score(&peer, 0.0);
                } else {
                    // What was about to go to it ends with the connection. It may come back, and is then told nothing.
                    self.swarm.behaviour_mut().gossip.set_application_score(&peer, OUTSIDE);
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            NetworkCommand::Reach(peer) => self.reach(peer),
            NetworkCommand::Disconnect(peer) => {
                if let Ok(peer) = peer_id(&peer) {
                    let now = Instant::now();
                    self.shunned.retain(|_, until| *until > now);
                    if self.shunned.len() < SHUNNED_MAX {
                        self.shunned.insert(peer, now + SHUNNED);
                    }
                    // Without a connection there is nothing to close.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) -> bool {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let is_outside = self.carries.is_some_and(|here| here || !is_loopback(&address));
                if is_outside && !is_relayed(&address) {
                    // Whoever is relayed here is told where that is.
                    self.swarm.add_external_address(address.clone());
                }
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if !seen.listening.contains(&address) {
                    seen.listening.push(address);
                }
                true
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.swarm.remove_external_address(&address);
                self.seen
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .listening
                    .retain(|one| *one != address);
                true
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.listener_closed(listener_id, &addresses, reason.err());
                true
            }
            SwarmEvent::ConnectionEstablished {
                peer_id, connection_id, endpoint, num_established, ..
            } => {
                let address = match &endpoint {
                    // It comes from the relay, which names nobody but itself.
                    ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => local_addr,
                    _ => endpoint.get_remote_address(),
                };
                let others = self.open.entry(peer_id).or_default();
                // A peer that was started anew knows nothing of what was said before, and is only told on a first connection.
                let begins_anew = endpoint.is_listener() && others.values().any(|one| one.is_stale(address));
                others.insert(connection_id, Open { address: address.clone(), since: Instant::now() });
                self.show(&peer_id);
                if begins_anew || self.is_shunned(&peer_id) {
                    let _ = self.swarm.disconnect_peer_id(peer_id);
                } else if num_established.get() == 1 {
                    // INVARIANT(10): until the engine knows who it speaks for, it is told nothing.
                    self.swarm.behaviour_mut().gossip.set_application_score(&peer_id, OUTSIDE);
                }
                match public_key(&peer_id) {
                    Some(key) if num_established.get() == 1 => self.tell(Input::Connected(key)),
                    Some(_) => true,
                    None => {
                        // Only Ed25519 peers can be bound to an organisation.
                        let _ = self.swarm.disconnect_peer_id(peer_id);
                        true
                    }
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                if let Some(open) = self.open.get_mut(&peer_id) {
                    let closed = open.remove(&connection_id);
                    let was_first = |closed: &Open| open.values().all(|one| one.since > closed.since);
                    if closed.is_some_and(|closed| !closed.is_relayed() && was_first(&closed))
                        && !open.is_empty()
                    {
                        // The others may be of a peer that was started anew.
                        let _ = self.swarm.disconnect_peer_id(peer_id);
                    }
                    if open.is_empty() {
                        self.open.remove(&peer_id);
                    }
                }
                self.show(&peer_id);
                num_established > 0
                    || public_key(&peer_id).is_none_or(|key| self.tell(Input::Disconnected(key)))
            }
            SwarmEvent::Behaviour(BehaviourEvent::Hello(event)) => self.exchange(true, event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.exchange(false, event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.heard(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if ping.result.as_ref().is_err_and(is_silent) {
                    tracing::debug!(peer = %ping.peer, "a connection is silent");
                    self.swarm.close_connection(ping.connection);
                }
                true
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error: DialError::WrongPeerId { address, .. },
                ..
            } => {
                // Whoever is to be found there has another key by now, and will say where it is.
                self.known.forget(&address, &peer);
                self.unreached(&peer)
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "no connection");
                peer_id.is_none_or(|peer| self.unreached(&peer))
            }
            _ => true,
        }
    }

    /// A dial led nowhere. Returns whether the engine is still there.
    fn unreached(&self, peer: &PeerId) -> bool {
        let key = public_key(peer).filter(|_| !self.open.contains_key(peer));
        key.is_none_or(|key| self.tell(Input::Unreached(key)))
    }

    /// A relay that takes no connections for this node any more is asked again.
    fn listener_closed(&mut self, id: ListenerId, addresses: &[Multiaddr], error: Option<io::Error>) {
        for (relay, listener) in self.via.iter_mut().filter(|(_, listener)| *listener == Some(id)) {
            *listener = None;
            tracing::info!(%relay, error = error.as_ref().map(ToString::to_string), "not reached over the relay");
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.listening.retain(|one| !addresses.contains(one));
    }

    fn exchange(&mut self, is_hello: bool, event: request_response::Event<Request, Response>) -> bool {
        let under_way = if is_hello { &mut self.hello } else { &mut self.sync };
        match event {
            request_response::Event::Message {
                message: Message::Response { request_id, response }, ..
            } => {
                let exchange = under_way.remove(&request_id);
                exchange.is_none_or(|exchange| self.tell(Input::Answered { exchange, response }))
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                tracing::debug!(%error, "a request failed");
                let exchange = under_way.remove(&request_id);
                exchange.is_none_or(|exchange| self.tell(Input::Failed(exchange)))
            }
            request_response::Event::Message {
                peer,
                message: Message::Request { request, channel: open, .. },
                ..
            } => {
                let Some(key) = public_key(&peer) else { return true };
                // INVARIANT(11): what one peer takes is bounded. What is dropped here fails at the other side.
                self.channels.retain(|_, waiting| waiting.open.is_open());
                let of_peer = self.channels.values().filter(|waiting| waiting.peer == peer).count();
                if self.channels.len() >= CHANNELS_MAX || of_peer >= PEER_CHANNELS_MAX {
                    return true;
                }
                let channel = ChannelId(self.number());
                self.channels.insert(channel, Waiting { peer, is_hello, open });
                self.tell(Input::Asked { peer: key, channel, request })
            }
            _ => true,
        }
    }

    fn heard(&mut self, event: gossipsub::Event) -> bool {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else {
            return true;
        };
        let (Some(peer), Some(topic)) =
            (public_key(&propagation_source), topic_of(&self.mesh, &message.topic))
        else {
            return true;
        };
        if self.judged.len() >= JUDGEMENTS_MAX {
            self.judged.pop_first();
        }
        let gossip = GossipId(self.number());
        self.judged.insert(gossip, (message_id, propagation_source));
        self.tell(Input::Heard { peer, gossip, topic, bytes: message.data })
    }
}
