//! The swarm's loop.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use counterfoil_federation::Input;
use counterfoil_federation::effect::{ChannelId, ExchangeId, GossipId, Judgement};
use counterfoil_federation::message::{Request, Response};
use counterfoil_protocol::ids::MeshId;
use futures::StreamExt as _;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message, OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, noise, tcp, yamux};
use tokio::sync::mpsc::UnboundedReceiver;

use super::behaviour::{Behaviour, BehaviourEvent, topic, topic_of};
use super::{NetworkError, Order, Setup, peer_id, public_key};
use crate::runtime::{NetworkCommand, Runtime};

/// How often those without a connection are dialled.
const REDIAL: Duration = Duration::from_secs(2);
/// Most requests of others that wait for an answer.
const CHANNELS_MAX: usize = 1024;
/// Most gossip messages that wait for a judgement.
const JUDGEMENTS_MAX: usize = 4096;
/// Most addresses that are dialled.
const ADDRESSES_MAX: usize = 4096;

struct Driver<'a> {
    swarm: Swarm<Behaviour>,
    mesh: MeshId,
    runtime: &'a Runtime,
    listening: &'a Mutex<Vec<Multiaddr>>,
    known: BTreeSet<Multiaddr>,
    remote: HashMap<PeerId, Multiaddr>,
    hello: HashMap<OutboundRequestId, ExchangeId>,
    sync: HashMap<OutboundRequestId, ExchangeId>,
    channels: BTreeMap<ChannelId, (bool, ResponseChannel<Response>)>,
    judged: BTreeMap<GossipId, (MessageId, PeerId)>,
    next: u64,
}

/// Runs the network until it is told to stop or the engine has gone.
pub(super) fn run(
    setup: Setup,
    runtime: &Runtime,
    mut orders: UnboundedReceiver<Order>,
    listening: &Mutex<Vec<Multiaddr>>,
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
        let swarm = match swarm(&setup) {
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
            listening,
            known: setup.dial.into_iter().collect(),
            remote: HashMap::new(),
            hello: HashMap::new(),
            sync: HashMap::new(),
            channels: BTreeMap::new(),
            judged: BTreeMap::new(),
            next: 0,
        };
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
                        driver.know(addresses);
                        driver.dial();
                        true
                    }
                    Some(Order::Stop) | None => false,
                },
                _ = redial.tick() => {
                    driver.dial();
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    });
}

fn swarm(setup: &Setup) -> Result<Swarm<Behaviour>, NetworkError> {
    let failed = |error: String| NetworkError::Setup(error);
    let mut seed = setup.key.to_seed();
    let key = Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(|e| failed(e.to_string()))?;
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|e| failed(e.to_string()))?
        .with_quic()
        .with_dns()
        .map_err(|e| failed(e.to_string()))?
        .with_behaviour(|key| Ok(Behaviour::new(key, &setup.mesh)?))
        .map_err(|e| failed(e.to_string()))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
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

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn know(&mut self, addresses: Vec<Multiaddr>) {
        let room = ADDRESSES_MAX.saturating_sub(self.known.len());
        self.known.extend(addresses.into_iter().take(room));
    }

    /// Dials every known address whose peer has no connection.
    fn dial(&mut self) {
        for address in self.known.clone() {
            let peer = address.iter().find_map(|part| match part {
                Protocol::P2p(peer) => Some(peer),
                _ => None,
            });
            let options = match peer {
                Some(peer) if peer == *self.swarm.local_peer_id() || self.swarm.is_connected(&peer) => {
                    continue;
                }
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![address.clone()])
                    .build(),
                None if self.remote.values().any(|remote| *remote == address) => continue,
                None => DialOpts::from(address.clone()),
            };
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%address, %error, "not dialled");
            }
        }
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
                let Some((is_hello, open)) = self.channels.remove(&channel) else { return };
                let behaviour = self.swarm.behaviour_mut();
                let exchange = if is_hello { &mut behaviour.hello } else { &mut behaviour.sync };
                if exchange.send_response(open, response).is_err() {
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
            NetworkCommand::Disconnect(peer) => {
                if let Ok(peer) = peer_id(&peer) {
                    // Without a connection there is nothing to close.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) -> bool {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                self.listening.lock().unwrap_or_else(PoisonError::into_inner).push(address);
                true
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| *one != address);
                true
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, num_established, .. } => {
                self.remote.insert(peer_id, endpoint.get_remote_address().clone());
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
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.remote.remove(&peer_id);
                public_key(&peer_id).is_none_or(|key| self.tell(Input::Disconnected(key)))
            }
            SwarmEvent::Behaviour(BehaviourEvent::Hello(event)) => self.exchange(true, event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.exchange(false, event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.heard(event),
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "no connection");
                true
            }
            _ => true,
        }
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
                let Some(peer) = public_key(&peer) else { return true };
                if self.channels.len() >= CHANNELS_MAX {
                    self.channels.retain(|_, (_, channel)| channel.is_open());
                }
                if self.channels.len() >= CHANNELS_MAX {
                    return true;
                }
                let channel = ChannelId(self.number());
                self.channels.insert(channel, (is_hello, open));
                self.tell(Input::Asked { peer, channel, request })
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
