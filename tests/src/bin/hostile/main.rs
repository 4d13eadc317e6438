//! A peer that means harm: it speaks libp2p, with the key of an organisation whose node does not run, and floods, dawdles or
//! announces more than may be sent, until its standard input ends.
//!
//! `hostile DATA ADDRESS MODE [FROM...]` answers each line of its input with what became of it so far, as a line of JSON.

mod beside;
mod wire;

use std::io::{self, BufRead as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
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
use futures::StreamExt as _;
use libp2p::gossipsub::IdentTopic;
use libp2p::request_response::{self, Message};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use self::beside::{reserve, spawn};
use self::wire::{Act, Behaviour, BehaviourEvent, DONE, HELD, UNREAD, swarm};

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
