//! Gossip as gossipsub does it: pushed along a mesh of bounded degree, each message once for each host, passed on only
//! after the engine has judged it, and named to a few others at each heartbeat.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use counterfoil_federation::Millis;
use counterfoil_federation::effect::GossipId;
use counterfoil_federation::message::Topic;

/// Neighbours to which a message is pushed: D. In small worlds the mesh is made of D / 2 random circles
/// through all hosts.
pub const DEGREE: usize = 8;
/// Most neighbours in the mesh, where others have chosen a host.
pub const DEGREE_MAX: usize = 12;
/// Most neighbours outside of the mesh to which recent messages are named at a heartbeat.
pub const LAZY: usize = 6;
/// Milliseconds between heartbeats.
pub const HEARTBEAT_MS: u64 = 1_000;
/// Heartbeats for which a message is named: what is lost then, comparing heads brings.
pub const HISTORY: u64 = 1;
/// Milliseconds for which a host remembers that it has seen a message.
pub const SEEN_MS: u64 = 600_000;
/// Bytes of a message on the wire besides its own: topic name, field headers, frame.
pub const ENVELOPE_BYTES: u64 = 96;
/// Bytes of a message's name on the wire.
pub const NAME_BYTES: u64 = 36;
/// Messages at least this long are declined to others as soon as they arrive.
pub const DECLINE_BYTES: usize = 1_000;

/// Links that count for what somebody publishes anew who has learned it by comparison: no gossip has led there.
pub const RETOLD: u8 = 128;

/// Names a message in this world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u32);

/// A message: its bytes name it, so that the same bytes are the same message whoever publishes them.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: Topic,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// Where a message that waits for its judgement came from.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// The message.
    pub message: MessageId,
    /// The neighbour that it came from.
    pub from: usize,
    /// Links that it has travelled.
    pub hops: u8,
}

/// What one host remembers.
#[derive(Debug, Default)]
struct Memory {
    /// With the links that each had travelled.
    seen: HashMap<MessageId, u8>,
    /// In the order of arrival, for forgetting and for naming.
    order: VecDeque<(Millis, MessageId)>,
    pending: BTreeMap<GossipId, Pending>,
    /// Who declined what.
    declined: BTreeMap<MessageId, Vec<usize>>,
}

/// All messages, and what each host remembers of them.
#[derive(Debug, Default)]
pub struct Gossip {
    messages: Vec<Message>,
    names: HashMap<[u8; 32], MessageId>,
    hosts: Vec<Memory>,
}

impl Gossip {
    /// The message with these bytes.
    pub fn name(&mut self, topic: Topic, bytes: Arc<[u8]>) -> MessageId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(topic.name().as_bytes()).update(&bytes);
        let next = MessageId(u32::try_from(self.messages.len()).unwrap_or(u32::MAX));
        let id = *self.names.entry(*hasher.finalize().as_bytes()).or_insert(next);
        if id == next {
            self.messages.push(Message { topic, bytes });
        }
        id
    }

    /// A message by its name.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(id.0 as usize)
    }

    fn host(&mut self, host: usize) -> Option<&mut Memory> {
        if host >= self.hosts.len() {
            self.hosts.resize_with(host + 1, Memory::default);
        }
        self.hosts.get_mut(host)
    }

    /// Takes note that a host has a message, which has travelled that many links. Returns whether it had not seen it.
    pub fn see(&mut self, host: usize, id: MessageId, hops: u8, now: Millis) -> bool {
        let Some(memory) = self.host(host) else { return false };
        while let Some((at, old)) = memory.order.front().copied() {
            if now.since(at) <= SEEN_MS {
                break;
            }
            memory.order.pop_front();
            memory.seen.remove(&old);
            memory.declined.remove(&old);
        }
        if memory.seen.contains_key(&id) {
            return false;
        }
        memory.seen.insert(id, hops);
        memory.order.push_back((now, id));
        true
    }

    /// Whether a host has seen a message.
    pub fn has_seen(&self, host: usize, id: MessageId) -> bool {
        self.hosts.get(host).is_some_and(|memory| memory.seen.contains_key(&id))
    }

    /// The links that a message had travelled when a host first had it.
    pub fn hops(&self, host: usize, id: MessageId) -> u8 {
        self.hosts.get(host).and_then(|memory| memory.seen.get(&id)).copied().unwrap_or(RETOLD)
    }

    /// A message waits for its judgement.
    pub fn wait(&mut self, host: usize, gossip: GossipId, pending: Pending) {
        if let Some(memory) = self.host(host) {
            memory.pending.insert(gossip, pending);
        }
    }

    /// The judgement is here.
    pub fn judged(&mut self, host: usize, gossip: GossipId) -> Option<Pending> {
        self.host(host)?.pending.remove(&gossip)
    }

    /// `by` wants no copy of a message from `host`.
    pub fn decline(&mut self, host: usize, by: usize, id: MessageId) {
        if let Some(memory) = self.host(host) {
            memory.declined.entry(id).or_default().push(by);
        }
    }

    /// Whether `by` has said that it wants no copy.
    pub fn has_declined(&self, host: usize, by: usize, id: MessageId) -> bool {
        self.hosts.get(host).and_then(|memory| memory.declined.get(&id)).is_some_and(|all| all.contains(&by))
    }

    /// Messages that a host names at its heartbeat.
    pub fn recent(&self, host: usize, now: Millis) -> Vec<MessageId> {
        let Some(memory) = self.hosts.get(host) else { return Vec::new() };
        let newest = memory.order.iter().rev();
        newest.take_while(|(at, _)| now.since(*at) <= HISTORY * HEARTBEAT_MS).map(|(_, id)| *id).collect()
    }

    /// A host's memory is gone.
    pub fn forget(&mut self, host: usize) {
        if let Some(memory) = self.host(host) {
            *memory = Memory::default();
        }
    }

    /// Messages that one host remembers.
    pub fn remembered(&self, host: usize) -> usize {
        self.hosts.get(host).map_or(0, |memory| memory.order.len())
    }
}
