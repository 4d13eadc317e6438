//! A peer that means harm: it speaks libp2p, with the key of an organisation whose node does not run, and floods, dawdles or
//! announces more than may be sent.
//!
//! `hostile DATA ADDRESS flood|ask|slow|silent|crowd|reserve|oversized SECONDS` prints what became of it as JSON.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use counterfoil_federation::Config;
use counterfoil_federation::message::{
    Announcement, Introduction, MESSAGE_BYTES_MAX, Placed, Request, Response, decode_response, encode,
};
use counterfoil_node::data::{DataDir, passphrase};
use counterfoil_node::keystore::Keystore;
use counterfoil_node::runtime::Runtime;
use counterfoil_node::store::Memory;
use counterfoil_protocol::ids::{ByteString, Bytes, base32};
use counterfoil_protocol::keys::SecretKey;
use counterfoil_tests::process::Outcome;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, TopicHash, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Codec, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, noise, ping, tcp, yamux};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Between two bytes of somebody who dawdles.
const DAWDLE: Duration = Duration::from_millis(300);
/// Requests that are under way at once.
const FLOOD: u64 = 16;
/// Connections that are opened and on which nothing is said.
const SILENT: usize = 200;
/// Keys that speak for nobody.
const CROWD: usize = 100;

/// What is written on a stream.
#[derive(Debug, Clone)]
enum Act {
    /// A message as it should be.
    Message(Vec<u8>),
    /// A message, byte by byte.
    Drip(Vec<u8>),
    /// A length, and then nothing.
    Announce(u32),
}

/// Writes acts, and reads answers as slowly as they were asked for.
#[derive(Debug, Clone, Default)]
struct Mischief {
    dawdles: bool,
}

impl Codec for Mischief {
    type Protocol = StreamProtocol;
    type Request = Act;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Act>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        if !self.dawdles {
            io.take(4 + MESSAGE_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
            return Ok(bytes);
        }
        let mut one = [0];
        while io.read(&mut one).await? > 0 {
            bytes.extend(one);
            sleep(DAWDLE).await;
        }
        Ok(bytes)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, act: Act) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match act {
            Act::Message(bytes) => {
                io.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()).await?;
                io.write_all(&bytes).await?;
                io.close().await
            }
            Act::Drip(bytes) => {
                io.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()).await?;
                for byte in bytes {
                    io.write_all(&[byte]).await?;
                    io.flush().await?;
                    sleep(DAWDLE).await;
                }
                io.close().await
            }
            Act::Announce(length) => {
                io.write_all(&length.to_be_bytes()).await?;
                io.flush().await
            }
        }
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, _: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    hello: request_response::Behaviour<Mischief>,
    sync: request_response::Behaviour<Mischief>,
    gossip: Gossip,
}

/// What it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Messages on a topic.
    Flood,
    /// Requests.
    Ask,
    /// Streams on which a byte comes and goes now and then.
    Slow,
    /// Connections on which nothing is said.
    Silent,
    /// Connections with many keys that speak for nobody.
    Crowd,
    /// The relay's help, for a key that speaks for nobody.
    Reserve,
    /// Lengths and messages beyond what is allowed.
    Oversized,
}

/// What became of it.
#[derive(Debug, Default)]
struct Fate {
    connected: u64,
    closed: u64,
    introduced: bool,
    asked: u64,
    answered: u64,
    refused: u64,
    failed: u64,
    published: u64,
    reserved: u64,
    denied: u64,
}

/// The key and introduction of the organisation in `data`, whose node does not run.
fn introduction(data: &Path) -> Outcome<(SecretKey, Introduction)> {
    let data = DataDir::new(data);
    let keys = Keystore::load(&data.node_keys_path(), &passphrase()?)?;
    let runtime = Runtime::start(data.path(), data.identity(&keys)?, Config::default(), Memory::default())?;
    let view = runtime.view()?;
    let own = view.chains.get(&runtime.organisation()).ok_or("it has no chain")?;
    let head = own.head().ok_or("it has no head")?;
    let standing = own
        .standing()
        .iter()
        .filter(|one| head.size().contains(one.position()))
        .map(|one| Placed { position: one.position(), statement: ByteString(one.bytes().to_vec()) });
    let mesh = view.membership.as_ref().ok_or("it is in no mesh")?.mesh();
    let introduction =
        Introduction { mesh, head: ByteString(head.bytes().to_vec()), standing: standing.collect() };
    runtime.stop();
    Ok((data.key(&keys, "peer")?, introduction))
}

fn swarm(key: &SecretKey, mesh: &str, mode: Mode) -> Outcome<(Swarm<Behaviour>, IdentTopic)> {
    let topic = IdentTopic::new(format!("counterfoil/{mesh}/heads"));
    let topics: HashSet<TopicHash> = HashSet::from([topic.hash()]);
    let exchange = |name: &str, dawdles| -> Outcome<request_response::Behaviour<Mischief>> {
        let protocol = StreamProtocol::try_from_owned(format!("/counterfoil/{mesh}/{name}/1"))?;
        let config = request_response::Config::default()
            .with_request_timeout(Duration::from_secs(60))
            .with_max_concurrent_streams(10_000);
        let protocols = [(protocol, ProtocolSupport::Outbound)];
        Ok(request_response::Behaviour::with_codec(Mischief { dawdles }, protocols, config))
    };
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
        .max_transmit_size(4 << 20)
        .build()?;
    let mut gossip = Gossip::new_with_subscription_filter(
        MessageAuthenticity::Anonymous,
        config,
        WhitelistSubscriptionFilter(topics),
    )?;
    gossip.subscribe(&topic)?;
    let behaviour =
        Behaviour { hello: exchange("hello", false)?, sync: exchange("sync", mode == Mode::Slow)?, gossip };
    let mut seed = key.to_seed();
    let swarm =
        libp2p::SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(seed.as_mut_slice())?)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
            .with_behaviour(|_| behaviour)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
    Ok((swarm, topic))
}

/// Opens connections and says nothing, again and again.
async fn silent(address: Arc<str>) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&*address).await {
            let mut buffer = [0; 256];
            // Until the other side has had enough of it.
            while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await {}
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// A peer of a new key that connects and stays.
async fn stranger(target: Multiaddr) -> Outcome<()> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| ping::Behaviour::default())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let mut redial = interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = swarm.select_next_some() => {}
            _ = redial.tick() => {
                if swarm.connected_peers().next().is_none() {
                    // One that is under way, or refused, is tried again.
                    let _ = swarm.dial(target.clone());
                }
            }
        }
    }
}

/// Asks a relay to take connections for a key that speaks for nobody, again and again.
async fn reserve(target: Multiaddr, lasts: Duration) -> Outcome<Fate> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_, relay| relay)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let (mut fate, until, mut again) =
        (Fate::default(), Instant::now() + lasts, interval(Duration::from_millis(500)));
    let mut relay = None;
    while Instant::now() < until {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    fate.connected += 1;
                    relay = Some(target.clone().with(Protocol::P2p(peer_id)).with(Protocol::P2pCircuit));
                }
                SwarmEvent::NewListenAddr { .. } => fate.reserved += 1,
                SwarmEvent::ListenerClosed { .. } => fate.denied += 1,
                _ => {}
            },
            _ = again.tick() => match &relay {
                Some(relay) => drop(swarm.listen_on(relay.clone())?),
                // One that is under way, or refused, is tried again.
                None => drop(swarm.dial(target.clone())),
            }
        }
    }
    Ok(fate)
}

/// One round of what it does.
fn act(
    swarm: &mut Swarm<Behaviour>,
    peer: &PeerId,
    mode: Mode,
    topic: &IdentTopic,
    head: &ByteString,
    fate: &mut Fate,
) -> Outcome<()> {
    let heads = Request::Heads { known: None, digest: Bytes([7; 32]), salt: 7, exposed: Vec::new() };
    let heads = encode(&heads)?;
    let behaviour = swarm.behaviour_mut();
    match mode {
        Mode::Flood => {
            // Each differs and tells of a head that stands, so that none is refused before it costs something.
            for _ in 0..100 {
                let told = Announcement {
                    head: head.clone(),
                    cosignatures: vec![base32(&rand::random::<[u8; 32]>())],
                    inception: None,
                    succession: Vec::new(),
                    page: None,
                };
                let sent = behaviour.gossip.publish(topic.clone(), encode(&told)?);
                fate.published += u64::from(sent.is_ok());
            }
        }
        Mode::Ask => {
            // As many at once as are taken, so that what limits them is the budget.
            while fate.asked - fate.answered - fate.refused - fate.failed < FLOOD {
                behaviour.sync.send_request(peer, Act::Message(heads.clone()));
                fate.asked += 1;
            }
        }
        Mode::Silent | Mode::Crowd | Mode::Reserve => {}
        Mode::Slow => {
            if fate.asked < 500 {
                behaviour.sync.send_request(peer, Act::Drip(heads));
                fate.asked += 1;
            }
        }
        Mode::Oversized => {
            let most = u32::try_from(MESSAGE_BYTES_MAX)?;
            for length in [u32::MAX, most + 1, most] {
                behaviour.sync.send_request(peer, Act::Announce(length));
                fate.asked += 1;
            }
            let long = vec![rand::random::<u8>(); 1 << 20];
            fate.published += u64::from(behaviour.gossip.publish(topic.clone(), long).is_ok());
        }
    }
    Ok(())
}

async fn run(data: &Path, address: &str, mode: Mode, lasts: Duration) -> Outcome<Fate> {
    if mode == Mode::Reserve {
        return reserve(address.parse()?, lasts).await;
    }
    let (key, introduction) = introduction(data)?;
    let (mut swarm, topic) = swarm(&key, &base32(introduction.mesh.as_bytes()), mode)?;
    let target: Multiaddr = address.parse()?;
    let head = introduction.head.clone();
    let hello = encode(&Request::Hello(Box::new(introduction)))?;
    let mut fate = Fate::default();
    if mode == Mode::Silent {
        let parts: Vec<&str> = address.split('/').collect();
        if let [_, "ip4", ip, "tcp", port, ..] = parts[..] {
            let socket: Arc<str> = format!("{ip}:{port}").into();
            for _ in 0..SILENT {
                tokio::spawn(silent(socket.clone()));
            }
        }
    }
    if mode == Mode::Crowd {
        for _ in 0..CROWD {
            let target = target.clone();
            tokio::spawn(async move { stranger(target).await.map_err(|error| error.to_string()) });
        }
    }
    let until = Instant::now() + lasts;
    let (mut rounds, mut redial) = (interval(Duration::from_millis(5)), interval(Duration::from_millis(250)));
    // Rounds that were missed are not made up for, and what was said has to get out.
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut peer = None;
    while Instant::now() < until {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    fate.connected += 1;
                    swarm.behaviour_mut().hello.send_request(&peer_id, Act::Message(hello.clone()));
                }
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                    fate.closed += 1;
                    peer = None;
                }
                SwarmEvent::Behaviour(BehaviourEvent::Hello(request_response::Event::Message {
                    peer: from,
                    message: Message::Response { response, .. },
                    ..
                })) => {
                    let answer = decode_response(response.get(4..).unwrap_or_default());
                    if let Ok(Response::Hello { admitted: true, .. }) = answer {
                        fate.introduced = true;
                    }
                    peer = Some(from);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => match event {
                    request_response::Event::Message { message: Message::Response { response, .. }, .. } => {
                        match decode_response(response.get(4..).unwrap_or_default()) {
                            Ok(Response::Refused(_)) => fate.refused += 1,
                            Ok(_) => fate.answered += 1,
                            Err(_) => fate.failed += 1,
                        }
                    }
                    request_response::Event::OutboundFailure { .. } => fate.failed += 1,
                    _ => {}
                },
                _ => {}
            },
            _ = rounds.tick() => {
                if let Some(peer) = peer {
                    act(&mut swarm, &peer, mode, &topic, &head, &mut fate)?;
                    yield_now().await;
                }
            }
            _ = redial.tick() => {
                if swarm.connected_peers().next().is_none() {
                    // One that is under way, or refused, is tried again.
                    let _ = swarm.dial(target.clone());
                }
            }
        }
    }
    Ok(fate)
}

fn start() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, address, mode, seconds] = &arguments[..] else {
        return Err(
            "usage: hostile DATA ADDRESS flood|ask|slow|silent|crowd|reserve|oversized SECONDS".into()
        );
    };
    let mode = match mode.as_str() {
        "flood" => Mode::Flood,
        "ask" => Mode::Ask,
        "slow" => Mode::Slow,
        "silent" => Mode::Silent,
        "crowd" => Mode::Crowd,
        "reserve" => Mode::Reserve,
        "oversized" => Mode::Oversized,
        other => return Err(format!("there is no mode {other:?}").into()),
    };
    let lasts = Duration::from_secs(seconds.parse()?);
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fate = executor.block_on(run(Path::new(data), address, mode, lasts))?;
    println!(
        "{}",
        json!({
            "connected": fate.connected, "closed": fate.closed, "introduced": fate.introduced, "asked": fate.asked,
            "answered": fate.answered, "refused": fate.refused, "failed": fate.failed, "published": fate.published,
            "reserved": fate.reserved, "denied": fate.denied,
        })
    );
    Ok(())
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
