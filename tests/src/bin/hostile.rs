//! A peer that means harm: it speaks libp2p, with the key of an organisation whose node does not run, and floods, dawdles or
//! announces more than may be sent, until its standard input ends.
//!
//! `hostile DATA ADDRESS MODE [FROM...]` answers each line of its input with what became of it so far, as a line of JSON.

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use counterfoil_federation::Config;
use counterfoil_federation::message::{
    Announcement, Hint, Introduction, MESSAGE_BYTES_MAX, Request, Response, decode_response, encode,
};
use counterfoil_node::data::{DataDir, passphrase};
use counterfoil_node::keystore::Keystore;
use counterfoil_node::runtime::Runtime;
use counterfoil_node::store::Memory;
use counterfoil_protocol::ids::{ByteString, Bytes, HeadSeq, OrganisationId, Position, base32};
use counterfoil_protocol::keys::SecretKey;
use counterfoil_tests::process::Outcome;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::core::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Codec, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, noise, ping, tcp, yamux};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Between two bytes of somebody who dawdles.
const DAWDLE: Duration = Duration::from_millis(300);
/// So many bytes that come one by one, after which whoever does not take a stream has said so.
const TAKEN: usize = 4;
/// Bytes that are missing from a message, too many to come one by one before it is given up.
const MISSING: usize = 1000;
/// Requests that are under way at once, of somebody who asks all the time.
const FLOOD: u64 = 16;
/// The same of somebody who reads no answers: the first of them fill the buffers on the way.
const UNREAD_MAX: u64 = 110;
/// The same of somebody who does not finish what was begun: more than anybody has to take.
const UNFINISHED: u64 = 100;
/// Topics that are nobody's, and how long their names are.
const TOPICS: u64 = 20_000;
const TOPIC_BYTES: usize = 16 * 1024;
/// Messages in one round of a flood.
const WAVE: usize = 100;
/// Signature lines in every second message of a flood, so that it is long enough for receivers to warn their neighbours of it.
const LINES: usize = 24;
/// Connections that are opened and on which nothing is said.
const SILENT: usize = 200;
/// Keys that speak for nobody.
const CROWD: usize = 100;

/// Streams and sockets that somebody else has taken, and on which nothing comes to an end.
static HELD: AtomicU64 = AtomicU64::new(0);
/// What was done so far beside the swarm's own loop.
static DONE: AtomicU64 = AtomicU64::new(0);

/// Whether nothing is read from the one connection that there is.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// A socket from which nothing is read as long as that is not wanted.
struct Ears<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Ears<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if UNREAD.load(Ordering::Relaxed) {
            // That the connection is over shows when something is written.
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ears<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Counts as held while it lives.
struct Held;

impl Held {
    fn new() -> Self {
        HELD.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is written on a stream.
#[derive(Debug, Clone)]
enum Act {
    /// A message as it should be.
    Message(Vec<u8>),
    /// A message of that length, so much of it at once and the rest byte by byte, each after a while.
    Part { length: u32, at_once: usize },
}

/// Writes acts.
#[derive(Debug, Clone, Default)]
struct Mischief;

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
        io.take(4 + MESSAGE_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
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
            Act::Part { length, at_once } => {
                io.write_all(&length.to_be_bytes()).await?;
                io.write_all(&vec![0; at_once]).await?;
                io.flush().await?;
                let mut held = None;
                for written in 0..usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(at_once) {
                    sleep(DAWDLE).await;
                    io.write_all(&[0]).await?;
                    io.flush().await?;
                    DONE.fetch_add(1, Ordering::Relaxed);
                    if written == TAKEN {
                        held = Some(Held::new());
                    }
                }
                drop(held);
                io.close().await
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

type Gossip = gossipsub::Behaviour;

#[derive(NetworkBehaviour)]
struct Behaviour {
    hello: request_response::Behaviour<Mischief>,
    sync: request_response::Behaviour<Mischief>,
    gossip: Gossip,
    ping: ping::Behaviour,
}

/// Somebody who is to be carried by a relay.
#[derive(NetworkBehaviour)]
struct Carried {
    relay: libp2p::relay::client::Behaviour,
    ping: ping::Behaviour,
}

/// What it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Messages on a topic, each of which could be true.
    Flood,
    /// Messages on a topic that nobody can read or verify.
    Malformed,
    /// Requests.
    Ask,
    /// Streams on which a byte comes now and then.
    Slow,
    /// Messages of the largest size of which the last bytes are missing.
    Hoard,
    /// Connections on which nothing is said.
    Silent,
    /// Connections with many keys that speak for nobody.
    Crowd,
    /// The relay's help, for a key that speaks for nobody.
    Reserve,
    /// Lengths and messages beyond what is allowed.
    Oversized,
    /// Subscriptions to topics that are nobody's.
    Topics,
    /// Introduces itself, and then reads nothing more.
    Deaf,
    /// Asks for entries and reads none, so that answers pile up at whoever sends them.
    Unread,
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
    subscribed: u64,
    reserved: u64,
    denied: u64,
    dialled: u64,
}

impl Fate {
    fn to_json(&self) -> Value {
        json!({
            "connected": self.connected, "closed": self.closed, "introduced": self.introduced, "asked": self.asked,
            "answered": self.answered, "refused": self.refused, "failed": self.failed, "published": self.published,
            "subscribed": self.subscribed, "reserved": self.reserved, "denied": self.denied,
            "dialled": self.dialled, "held": HELD.load(Ordering::Relaxed), "done": DONE.load(Ordering::Relaxed),
        })
    }

    const fn under_way(&self) -> u64 {
        self.asked.saturating_sub(self.answered + self.refused + self.failed)
    }
}

/// What it says of its organisation, which has a node that does not run.
struct Disguise {
    key: SecretKey,
    introduction: Introduction,
    /// The heads that its organisation knows of, its own among them.
    heads: Vec<ByteString>,
    organisation: OrganisationId,
}

fn disguise(data: &Path) -> Outcome<Disguise> {
    let data = DataDir::new(data);
    let keys = Keystore::load(&data.node_keys_path(), &passphrase()?)?;
    let runtime = Runtime::start(data.path(), data.identity(&keys)?, Config::default(), Memory::default())?;
    let view = runtime.view()?;
    let own = view.chains.get(&runtime.organisation()).ok_or("it has no chain")?;
    let mesh = view.membership.as_ref().ok_or("it is in no mesh")?.mesh();
    let introduction = own.introduction(mesh).ok_or("it has no head")?;
    let heads = view.chains.values().filter_map(|chain| chain.head());
    let heads = heads.map(|head| ByteString(head.bytes().to_vec())).collect();
    let organisation = runtime.organisation();
    runtime.stop();
    Ok(Disguise { key: data.key(&keys, "peer")?, introduction, heads, organisation })
}

fn swarm(key: &SecretKey, mesh: &str) -> Outcome<(Swarm<Behaviour>, IdentTopic)> {
    let topic = IdentTopic::new(format!("counterfoil/{mesh}/heads"));
    let exchange = |name: &str| -> Outcome<request_response::Behaviour<Mischief>> {
        let protocol = StreamProtocol::try_from_owned(format!("/counterfoil/{mesh}/{name}/1"))?;
        let config = request_response::Config::default()
            .with_request_timeout(Duration::from_secs(60))
            .with_max_concurrent_streams(10_000);
        let protocols = [(protocol, ProtocolSupport::Outbound)];
        Ok(request_response::Behaviour::with_codec(Mischief, protocols, config))
    };
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| gossipsub::MessageId::new(&message.data))
        .max_transmit_size(4 << 20)
        .build()?;
    let mut gossip = Gossip::new(MessageAuthenticity::Anonymous, config)?;
    gossip.subscribe(&topic)?;
    let ping = ping::Behaviour::default();
    let behaviour = Behaviour { hello: exchange("hello")?, sync: exchange("sync")?, gossip, ping };
    let mut seed = key.to_seed();
    let swarm =
        libp2p::SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(seed.as_mut_slice())?)
            .with_tokio()
            .with_other_transport(|key| {
                let sockets =
                    tcp::tokio::Transport::new(tcp::Config::default()).map(|socket, _| Ears(socket));
                let secured = sockets.upgrade(Version::V1Lazy).authenticate(noise::Config::new(key)?);
                Ok(secured.multiplex(yamux::Config::default()))
            })?
            .with_behaviour(|_| behaviour)?
            .with_swarm_config(|config| {
                // Whoever does not read asks without waiting to hear that it may.
                config
                    .with_substream_upgrade_protocol_override(Version::V1Lazy)
                    .with_idle_connection_timeout(Duration::from_secs(600))
            })
            .build();
    Ok((swarm, topic))
}

/// Opens connections, from an address if one is given, and says nothing, again and again.
async fn silent(from: Option<SocketAddr>, to: SocketAddr) {
    let connect = async || -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(from)?;
        }
        socket.connect(to).await
    };
    loop {
        if let Ok(mut stream) = connect().await {
            let (_held, mut buffer) = (Held::new(), [0; 256]);
            DONE.fetch_add(1, Ordering::Relaxed);
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
                DONE.fetch_add(1, Ordering::Relaxed);
                if swarm.connected_peers().next().is_none() {
                    // One that is under way, or refused, is tried again.
                    let _ = swarm.dial(target.clone());
                }
            }
        }
    }
}

/// Asks a relay to take connections for a key that speaks for nobody, again and again.
async fn reserve(target: Multiaddr, mut orders: UnboundedReceiver<String>) -> Outcome<()> {
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_relay_client(noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_, relay| Carried { relay, ping: ping::Behaviour::default() })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let (mut fate, mut again) = (Fate::default(), interval(Duration::from_millis(100)));
    let mut relay = None;
    loop {
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
            },
            order = orders.recv() => match order {
                Some(_) => println!("{}", fate.to_json()),
                None => return Ok(()),
            },
        }
    }
}

/// A hint about one of these heads: with signature lines that are nobody's, so that each differs, and none is refused before it
/// costs something.
fn hint(heads: &[ByteString], number: usize) -> Hint {
    let lines = if number.is_multiple_of(2) { LINES } else { 1 };
    let head = heads.get(number / 2 % heads.len().max(1)).cloned().unwrap_or(ByteString(Vec::new()));
    Hint::Head(Box::new(Announcement {
        head,
        cosignatures: (0..lines).map(|_| base32(&rand::random::<[u8; 32]>())).collect(),
        inception: None,
        succession: Vec::new(),
        page: None,
    }))
}

/// What is no hint, or one whose signature does not hold.
fn malformed(heads: &[ByteString], number: usize) -> Outcome<Vec<u8>> {
    let Hint::Head(mut told) = hint(heads, number) else { return Err("no hint of a head".into()) };
    match number % 3 {
        0 => Ok(rand::random::<[u8; 32]>().to_vec()),
        1 => Ok(encode(&*told)?),
        _ => {
            if let Some(last) = told.head.0.last_mut() {
                *last ^= 1;
            }
            Ok(encode(&Hint::Head(told))?)
        }
    }
}

/// One round of what it does.
fn act(
    swarm: &mut Swarm<Behaviour>,
    peer: &PeerId,
    mode: Mode,
    topic: &IdentTopic,
    disguise: &Disguise,
    fate: &mut Fate,
) -> Outcome<()> {
    let heads = &disguise.heads[..];
    let question = Request::Heads { known: None, digest: Bytes([7; 32]), salt: 7, exposed: Vec::new() };
    let question = encode(&question)?;
    let most = u32::try_from(MESSAGE_BYTES_MAX)?;
    let behaviour = swarm.behaviour_mut();
    match mode {
        Mode::Flood | Mode::Malformed => {
            for number in 0..WAVE {
                let bytes = match mode {
                    Mode::Flood => encode(&hint(heads, number))?,
                    _ => malformed(heads, number)?,
                };
                fate.published += u64::from(behaviour.gossip.publish(topic.clone(), bytes).is_ok());
            }
        }
        Mode::Ask => {
            // As many at once as are taken, so that what limits them is the budget.
            while fate.under_way() < FLOOD {
                behaviour.sync.send_request(peer, Act::Message(question.clone()));
                fate.asked += 1;
            }
        }
        Mode::Unread => {
            UNREAD.store(true, Ordering::Relaxed);
            // One by one: whoever is asked ends connections with more streams than it wants.
            if fate.under_way() < UNREAD_MAX {
                let (organisation, from, seq) = (disguise.organisation, Some(Position(0)), HeadSeq(1));
                let request = encode(&Request::Latest { organisation, from, seq })?;
                behaviour.sync.send_request(peer, Act::Message(request));
                fate.asked += 1;
            }
        }
        Mode::Silent | Mode::Crowd | Mode::Reserve | Mode::Deaf => {}
        Mode::Slow | Mode::Hoard => {
            if fate.under_way() < UNFINISHED {
                let length = if mode == Mode::Slow { u32::try_from(MISSING)? } else { most };
                let at_once = usize::try_from(length)? - MISSING;
                for exchange in [&mut behaviour.hello, &mut behaviour.sync] {
                    exchange.send_request(peer, Act::Part { length, at_once });
                    fate.asked += 1;
                }
            }
        }
        Mode::Oversized => {
            if fate.under_way() < UNFINISHED {
                for length in [u32::MAX, most + 1] {
                    behaviour.sync.send_request(peer, Act::Part { length, at_once: 0 });
                    fate.asked += 1;
                }
            }
            let long = vec![rand::random::<u8>(); 1 << 20];
            fate.published += u64::from(behaviour.gossip.publish(topic.clone(), long).is_ok());
        }
        Mode::Topics => {
            for _ in 0..10 {
                if fate.subscribed < TOPICS {
                    let name = format!("{:0width$}", fate.subscribed, width = TOPIC_BYTES);
                    fate.subscribed += u64::from(behaviour.gossip.subscribe(&IdentTopic::new(name))?);
                }
            }
        }
    }
    Ok(())
}

/// What somebody who opens connections beside its own does.
fn spawn(mode: Mode, address: &str, from: &[String], target: &Multiaddr) -> Outcome<()> {
    if mode == Mode::Silent {
        let parts: Vec<&str> = address.split('/').collect();
        let [_, "ip4", ip, "tcp", port, ..] = parts[..] else { return Err("no address of TCP".into()) };
        let to = format!("{ip}:{port}").parse()?;
        let from = from.iter().map(|ip| Ok(Some(format!("{ip}:0").parse()?)));
        let mut from = from.collect::<Outcome<Vec<Option<SocketAddr>>>>()?;
        if from.is_empty() {
            from.push(None);
        }
        for from in from.into_iter().cycle().take(SILENT) {
            tokio::spawn(silent(from, to));
        }
    }
    if mode == Mode::Crowd {
        for _ in 0..CROWD {
            let target = target.clone();
            tokio::spawn(async move { stranger(target).await.map_err(|error| error.to_string()) });
        }
    }
    Ok(())
}

/// Keeps everything open and reads nothing: whatever runs beside this on the one thread stands still.
fn deaf(fate: &Fate, mut orders: UnboundedReceiver<String>) -> Outcome<()> {
    loop {
        match orders.try_recv() {
            Ok(_) => println!("{}", fate.to_json()),
            Err(TryRecvError::Empty) => std::thread::park_timeout(Duration::from_millis(10)),
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

async fn run(
    data: &Path,
    address: &str,
    mode: Mode,
    from: &[String],
    mut orders: UnboundedReceiver<String>,
) -> Outcome<()> {
    let target: Multiaddr = address.parse()?;
    if mode == Mode::Reserve {
        return reserve(target, orders).await;
    }
    let disguise = disguise(data)?;
    let (mut swarm, topic) = swarm(&disguise.key, &base32(disguise.introduction.mesh.as_bytes()))?;
    let hello = encode(&Request::Hello(Box::new(disguise.introduction.clone())))?;
    let mut fate = Fate::default();
    spawn(mode, address, from, &target)?;
    let (mut rounds, mut redial) = (interval(Duration::from_millis(5)), interval(Duration::from_millis(250)));
    // Rounds that were missed are not made up for, and what was said has to get out.
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut peer = None;
    loop {
        if mode == Mode::Deaf && fate.introduced {
            return deaf(&fate, orders);
        }
        tokio::select! {
            order = orders.recv() => match order {
                None => return Ok(()),
                Some(_) => println!("{}", fate.to_json()),
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    fate.connected += 1;
                    swarm.behaviour_mut().hello.send_request(&peer_id, Act::Message(hello.clone()));
                }
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                    fate.closed += 1;
                    peer = None;
                    UNREAD.store(false, Ordering::Relaxed);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Hello(event) | BehaviourEvent::Sync(event)) => match event {
                    request_response::Event::Message {
                        peer: from, message: Message::Response { response, .. }, ..
                    } => match decode_response(response.get(4..).unwrap_or_default()) {
                        Ok(Response::Hello { admitted, .. }) => {
                            fate.introduced |= admitted;
                            peer = Some(from);
                        }
                        Ok(Response::Refused(_)) => fate.refused += 1,
                        Ok(_) => fate.answered += 1,
                        Err(_) => fate.failed += 1,
                    },
                    request_response::Event::OutboundFailure { .. } => fate.failed += 1,
                    _ => {}
                },
                _ => {}
            },
            _ = rounds.tick() => {
                if let Some(peer) = peer {
                    act(&mut swarm, &peer, mode, &topic, &disguise, &mut fate)?;
                    yield_now().await;
                }
            }
            _ = redial.tick() => {
                if swarm.connected_peers().next().is_none() {
                    fate.dialled += 1;
                    // One that is under way, or refused, is tried again.
                    let _ = swarm.dial(target.clone());
                }
            }
        }
    }
}

fn start() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, address, mode, from @ ..] = &arguments[..] else {
        return Err("usage: hostile DATA ADDRESS MODE [FROM...]".into());
    };
    let mode = match mode.as_str() {
        "flood" => Mode::Flood,
        "malformed" => Mode::Malformed,
        "ask" => Mode::Ask,
        "slow" => Mode::Slow,
        "hoard" => Mode::Hoard,
        "silent" => Mode::Silent,
        "crowd" => Mode::Crowd,
        "reserve" => Mode::Reserve,
        "oversized" => Mode::Oversized,
        "topics" => Mode::Topics,
        "deaf" => Mode::Deaf,
        "unread" => Mode::Unread,
        other => return Err(format!("there is no mode {other:?}").into()),
    };
    let (sender, orders) = unbounded_channel();
    // It ends with the input, or with this process.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(run(Path::new(data), address, mode, from, orders))
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
