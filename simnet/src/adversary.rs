//! Hosts that do not do what the protocol says: real engines whose effects are bent, and acts of their own beside them.

use std::sync::Arc;

use counterfoil_federation::Millis;
use counterfoil_federation::effect::{Effect, ExchangeId, Judgement};
use counterfoil_federation::message::{
    Announcement, Entry, Hint, Introduction, Request, Response, Topic, encode,
};
use counterfoil_protocol::chain::cosignature::cosign;
use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::tree::leaf_hash;
use counterfoil_protocol::chain::{HeadDraft, SignedHead, SignedNotice};
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::{ByteString, Bytes, HeadSeq, TreeSize};
use counterfoil_protocol::keys::Signer;
use counterfoil_protocol::mesh::{Admission, Ballot};
use counterfoil_protocol::statement::Kind;

use crate::gossip::MessageId;
use crate::tally::Mark;
use crate::wire::hint;
use crate::workload::{self, Awaited};
use crate::world::World;

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// One organisation's keys on two machines, each shown to a part of the others.
    Equivocator,
    /// It passes nothing on, and serves nothing.
    Withholder,
    /// It signs in others' names, and serves changed entries and false proofs.
    Forger,
    /// It sends as much as it can.
    Flooder,
    /// It says again what others have said.
    Replayer,
    /// It cosigns what it has not checked, at any time it likes.
    LyingWitness,
    /// It votes for outsiders and against members.
    Admitter,
}

impl Fault {
    /// Those that a plan may give to any host from the start.
    pub const LASTING: [Self; 6] =
        [Self::Withholder, Self::Forger, Self::Flooder, Self::Replayer, Self::LyingWitness, Self::Admitter];
}

/// What such a host remembers.
#[derive(Debug, Clone)]
pub struct Adversary {
    /// What is wrong with it.
    pub fault: Fault,
    overheard: Vec<MessageId>,
    heads: Vec<SignedHead>,
    acts: u64,
}

/// Things that are remembered at most.
const REMEMBERED_MAX: usize = 64;

impl Adversary {
    /// A host with this fault.
    pub const fn new(fault: Fault) -> Self {
        Self { fault, overheard: Vec::new(), heads: Vec::new(), acts: 0 }
    }
}

fn fault(world: &World, index: usize) -> Option<Fault> {
    world.hosts.get(index)?.adversary.as_ref().map(|adversary| adversary.fault)
}

/// What becomes of an effect of a host's engine.
pub(crate) fn bend(world: &mut World, index: usize, effect: Effect) -> Option<Effect> {
    match (fault(world, index), effect) {
        (Some(Fault::Withholder), Effect::Serve { channel, .. }) => {
            world.tally.took(Mark::Withheld);
            // Sometimes it says no, sometimes nothing at all.
            (world.below(2) == 0)
                .then(|| Effect::Respond { channel, response: Response::Refused("it is not here".into()) })
        }
        (Some(Fault::Withholder), Effect::Judge { gossip, judgement }) => {
            if judgement == Judgement::Accept {
                world.tally.took(Mark::Withheld);
            }
            Some(Effect::Judge { gossip, judgement: Judgement::Ignore })
        }
        (Some(Fault::Forger), Effect::Serve { channel, organisation, from, size, audience, head }) => {
            if world.below(2) == 0 {
                return Some(Effect::Serve { channel, organisation, from, size, audience, head });
            }
            let served = world.hosts.get(index).and_then(|host| host.disk.serve(&organisation));
            let mut page =
                counterfoil_federation::store::page(served?, &audience, from, size, world.config()).ok()?;
            for entry in &mut page.entries {
                if let Entry::Statement(bytes) = entry {
                    let at = bytes.0.len() / 2;
                    bytes.0.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                }
            }
            Some(Effect::Respond { channel, response: Response::with_page(page, head) })
        }
        (_, effect) => Some(effect),
    }
}

/// Takes note of heads that an answer brought.
pub(crate) fn learn(world: &mut World, index: usize, response: &Response) {
    if fault(world, index).is_none() {
        return;
    }
    let heads = match response {
        Response::Announcements(heads) => heads.as_slice(),
        Response::Latest { head, .. } => std::slice::from_ref(head.as_ref()),
        _ => return,
    };
    let heads: Vec<SignedHead> = heads.iter().filter_map(|told| world.open(told)).collect();
    let adversary = world.hosts.get_mut(index).and_then(|host| host.adversary.as_mut());
    if let Some(adversary) = adversary {
        adversary.heads.extend(heads);
        let over = adversary.heads.len().saturating_sub(REMEMBERED_MAX);
        adversary.heads.drain(..over);
    }
}

/// Takes note of a gossip message.
pub(crate) fn overhear(world: &mut World, index: usize, id: MessageId) {
    if let Some(adversary) = world.hosts.get_mut(index).and_then(|host| host.adversary.as_mut())
        && adversary.overheard.len() < REMEMBERED_MAX
    {
        adversary.overheard.push(id);
    }
}

impl World {
    /// Opens a head with its organisation's key.
    pub(crate) fn open(&self, told: &Announcement) -> Option<SignedHead> {
        let head = counterfoil_protocol::chain::Head::parse(told.head.0.as_slice()).ok()?;
        let host = self.hosts.iter().find(|host| host.id() == head.organisation())?;
        let key = host.organisation.epoch_key(epoch_of(head.claimed_seq()));
        head.verify(&Signer::public_key(&key)).ok()
    }

    fn adversary_asks(&mut self, index: usize, to: usize, request: Request) {
        // Far from the numbers that its engine gives.
        self.order += 1;
        let exchange = ExchangeId(u64::MAX - self.order);
        self.send_request(index, to, exchange, request);
    }

    fn some_neighbour(&mut self, index: usize) -> Option<usize> {
        let neighbours = self.network.neighbours(index);
        let nth = usize::try_from(self.below(neighbours.len() as u64)).unwrap_or_default();
        neighbours.get(nth).copied()
    }
}

/// One act of a host that is no honest one.
pub fn act(world: &mut World, index: usize) {
    let Some(fault) = fault(world, index).filter(|_| world.hosts.get(index).is_some_and(|host| host.runs()))
    else {
        return;
    };
    if let Some(adversary) = world.hosts.get_mut(index).and_then(|host| host.adversary.as_mut()) {
        adversary.acts += 1;
    }
    let (acted, mark) = match fault {
        Fault::Equivocator => return workload::say(world, index, workload::What::Observe(2)),
        Fault::Withholder => return,
        // It counts once it is in the chain.
        Fault::Admitter => {
            admit(world, index);
            return;
        }
        Fault::Forger => (forge(world, index), Mark::Forged),
        Fault::Flooder => (flood(world, index), Mark::Flooded),
        Fault::Replayer => (replay(world, index), Mark::Replayed),
        Fault::LyingWitness => (lie(world, index), Mark::Lied),
    };
    // An act for which something is missing yet is left out, and what nobody hears is none.
    if acted.is_some() && !world.network.mesh(index).is_empty() {
        world.tally.took(mark);
    }
}

/// A head of another organisation as some disk has it, with its inception.
fn victim(world: &mut World, index: usize) -> Option<(SignedHead, Arc<[u8]>)> {
    let nth = usize::try_from(world.below(world.hosts.len() as u64)).unwrap_or_default();
    let (me, victim) = (world.hosts.get(index)?, world.hosts.get(nth)?);
    if me.id() == victim.id() {
        return None;
    }
    let head = me.disk.chains().get(&victim.id())?.head.clone()?;
    Some((head, victim.organisation.inception.statement().bytes().clone()))
}

fn forge(world: &mut World, index: usize) -> Option<()> {
    let (head, inception) = victim(world, index)?;
    let key = world.hosts.get(index)?.organisation.chain_key.clone();
    let draft = HeadDraft {
        organisation: head.organisation(),
        seq: HeadSeq(head.seq().0 + world.below(2)),
        previous: head.previous(),
        size: TreeSize(head.size().0 + world.below(3)),
        root: leaf_hash(b"forged"),
        standing: head.standing(),
        issued_at: head.issued_at(),
    };
    let forged = draft.sign(key.as_ref()).ok()?;
    let mut changed = head.bytes().to_vec();
    let at = usize::try_from(world.below(changed.len() as u64)).unwrap_or_default();
    changed.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
    let announce = |bytes: Vec<u8>| encode(&hint(ByteString(bytes), Vec::new()));
    let notice = SignedNotice::of(&forged, key.as_ref()).to_bytes();
    let (topic, bytes) = match world.below(4) {
        0 => (Topic::Heads, announce(forged.bytes().to_vec()).ok()?),
        2 => (Topic::Links, encode(&Hint::Notice(ByteString(notice.to_vec()))).ok()?),
        1 => (Topic::Recalls, announce(changed).ok()?),
        _ => (Topic::Proofs, encode(&Misbehaviour::of(&inception, &head, &forged)?).ok()?),
    };
    world.publish(index, topic, bytes.into());
    Some(())
}

fn flood(world: &mut World, index: usize) -> Option<()> {
    for _ in 0..20 {
        let to = world.some_neighbour(index)?;
        let head = world.hosts.get(index)?.disk.chains().values().find_map(|chain| chain.head.clone())?;
        let mesh = world.mesh.as_ref()?.0;
        let request = match world.below(3) {
            0 => Request::Heads { known: None, digest: Bytes([0; 32]), salt: 0, exposed: Vec::new() },
            1 => Request::Entries {
                organisation: head.organisation(),
                from: counterfoil_protocol::ids::Position(0),
                size: head.size(),
            },
            _ => Request::Hello(Box::new(Introduction {
                mesh,
                head: ByteString(head.bytes().to_vec()),
                standing: Vec::new(),
                named: ByteString(Vec::new()),
            })),
        };
        world.adversary_asks(index, to, request);
        let noise = [world.below(u64::MAX).to_be_bytes(); 200].concat();
        world.publish(index, Topic::Links, noise.into());
    }
    Some(())
}

fn replay(world: &mut World, index: usize) -> Option<()> {
    let overheard = world.hosts.get(index)?.adversary.as_ref()?.overheard.clone();
    overheard.first()?;
    for id in overheard {
        let message = world.gossip.message(id)?.clone();
        // The same words on another topic are another message, so nobody has seen it.
        let topic = if message.topic == Topic::Heads { Topic::Links } else { Topic::Heads };
        world.publish(index, topic, message.bytes);
        for to in world.network.mesh(index) {
            world.push(index, to, id, 1);
        }
    }
    Some(())
}

fn lie(world: &mut World, index: usize) -> Option<()> {
    let host = world.hosts.get(index)?;
    let (me, key) = (host.id(), host.organisation.witness_key.clone());
    let heads = host.adversary.as_ref()?.heads.clone();
    heads.first()?;
    let far = Millis(world.now.0 + 1_000_000_000).timestamp();
    for head in heads.iter().rev().take(8) {
        let owner = world.hosts.iter().position(|host| host.id() == head.organisation())?;
        let line = cosign(me, key.as_ref(), far, head.note().text()).ok()?.line.to_text();
        let false_line = line.replace('A', "B");
        for line in [line, false_line] {
            world.adversary_asks(index, owner, Request::Cosigned { size: head.size(), line: line.clone() });
            let head = ByteString(head.bytes().to_vec());
            let told = encode(&hint(head, vec![line])).ok()?;
            world.publish(index, Topic::Heads, told.into());
        }
    }
    Some(())
}

fn admit(world: &mut World, index: usize) -> Option<()> {
    let mesh = world.mesh.as_ref()?.0;
    let nth = usize::try_from(world.below(world.hosts.len() as u64)).unwrap_or_default();
    let (organisation, ballot) = if world.below(2) == 0 {
        (workload::outsider().id(), Ballot::Admit)
    } else {
        (world.hosts.get(nth)?.id(), Ballot::Expel)
    };
    let host = world.hosts.get(index)?;
    let vote = Admission { mesh, organisation, ballot, after: None };
    let vote = host.organisation.statement(Kind::Admission, &vote);
    world.append_awaiting(index, vote, Some(Awaited::Counts(Mark::Misvoted)));
    Some(())
}
