//! A disk in memory. Writes are queued and become durable in order; a crash loses what was not durable yet.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use counterfoil_federation::effect::Write;
use counterfoil_federation::evidence::EvidenceSource;
use counterfoil_federation::message::Entry;
use counterfoil_federation::outbox::Ticket;
use counterfoil_federation::store::{ChainSnapshot, EntrySource, Snapshot};
use counterfoil_protocol::chain::proof::{LeafHashes, Subtrees};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{CompactRange, Hash, SignedHead};
use counterfoil_protocol::ids::{ByteString, HeadHash, OrganisationId, Position, StatementId};
use counterfoil_protocol::lineage::graph::{EdgeSet, EdgeSource};
use counterfoil_protocol::lineage::{Edge, edges};
use counterfoil_protocol::observation::SubjectKey;
use counterfoil_protocol::statement::{Kind, Payload, Statement, Visibility};

/// What is kept of one entry.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The statement's digest.
    pub digest: LeafDigest,
    /// The statement, where it is not withheld.
    pub statement: Option<(StatementId, Kind, Visibility, Arc<[u8]>)>,
}

/// One chain on disk.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Entries in order.
    pub entries: Vec<Stored>,
    /// The tree.
    pub range: CompactRange,
    /// The latest head.
    pub head: Option<SignedHead>,
    /// Signature lines on it.
    pub cosignatures: Vec<Arc<str>>,
    leaves: LeafHashes,
}

/// One operation on its way to the disk.
#[derive(Debug)]
pub enum Operation {
    /// Writes, all or nothing.
    Persist(Vec<Write>),
    /// A change of the head lock.
    Lock {
        /// What it must hold.
        previous: Option<HeadHash>,
        /// What it is to hold.
        head: SignedHead,
    },
}

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    chains: BTreeMap<OrganisationId, Chain>,
    misbehaved: BTreeMap<OrganisationId, Arc<[u8]>>,
    lock: Option<SignedHead>,
    queue: VecDeque<(Ticket, Operation)>,
}

/// How an operation ended.
#[derive(Debug)]
pub enum Finished {
    /// It is durable.
    Durable(Ticket),
    /// The lock took it, or held something else.
    Locked(Ticket, Result<(), Option<HeadHash>>),
}

impl Disk {
    /// Queues an operation.
    pub fn submit(&mut self, ticket: Ticket, operation: Operation) {
        self.queue.push_back((ticket, operation));
    }

    /// Makes the oldest operation durable.
    pub fn finish_one(&mut self) -> Option<Finished> {
        let (ticket, operation) = self.queue.pop_front()?;
        Some(match operation {
            Operation::Persist(writes) => {
                writes.into_iter().for_each(|write| self.apply(write));
                Finished::Durable(ticket)
            }
            Operation::Lock { previous, head } => {
                let held = self.lock.as_ref().map(SignedHead::hash);
                if held == previous {
                    self.lock = Some(head);
                    Finished::Locked(ticket, Ok(()))
                } else {
                    Finished::Locked(ticket, Err(held))
                }
            }
        })
    }

    /// A crash: the first `survive` queued operations made it to the disk without anybody being told; the rest is lost.
    pub fn crash(&mut self, survive: usize) {
        for _ in 0..survive {
            self.finish_one();
        }
        self.queue.clear();
    }

    /// An old copy of the data comes back. The head lock is no part of it.
    pub fn restore_data(&mut self, backup: BTreeMap<OrganisationId, Chain>) {
        self.queue.clear();
        self.chains = backup;
    }

    /// The head lock is lost with its disk.
    pub fn lose_lock(&mut self) {
        self.lock = None;
    }

    /// Writes what a recovery brings, and puts its head into the head lock, whatever that held.
    pub fn recover(&mut self, writes: Vec<Write>, head: SignedHead) {
        writes.into_iter().for_each(|write| self.apply(write));
        self.lock = Some(head);
    }

    /// A copy of everything that is durable, head lock and all: what two machines with one organisation's keys begin with.
    pub fn copy(&self) -> Self {
        let (chains, misbehaved) = (self.chains.clone(), self.misbehaved.clone());
        Self { chains, misbehaved, lock: self.lock.clone(), queue: VecDeque::new() }
    }

    /// Proofs of misbehaviour, by whom they are said to convict.
    pub const fn proofs(&self) -> &BTreeMap<OrganisationId, Arc<[u8]>> {
        &self.misbehaved
    }

    /// The data, as a backup takes it.
    pub const fn chains(&self) -> &BTreeMap<OrganisationId, Chain> {
        &self.chains
    }

    /// Operations under way.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Statement(verified) => {
                let header = verified.statement().header();
                let statement = (verified.id(), header.kind, header.visibility, verified.bytes().clone());
                let stored = Stored { digest: verified.leaf_digest(), statement: Some(statement) };
                self.place(verified.organisation(), verified.position(), stored);
            }
            Write::Revealed(verified) => {
                let header = verified.statement().header();
                let statement = (verified.id(), header.kind, header.visibility, verified.bytes().clone());
                let place = usize::try_from(verified.position().0).unwrap_or(usize::MAX);
                if let Some(stored) = self.chain(verified.organisation()).entries.get_mut(place) {
                    stored.statement = Some(statement);
                }
            }
            Write::Withheld { organisation, position, digest } => {
                self.place(organisation, position, Stored { digest, statement: None });
            }
            Write::Tree { organisation, range } => self.chain(organisation).range = range,
            Write::Head(head) => {
                let chain = self.chain(head.organisation());
                chain.head = Some(head);
                chain.cosignatures.clear();
            }
            Write::Cosignatures { organisation, size, lines } => {
                let chain = self.chain(organisation);
                if chain.head.as_ref().is_some_and(|head| head.size() == size) {
                    chain.cosignatures = lines;
                }
            }
            Write::Misbehaviour { organisation, proof } => {
                self.misbehaved.insert(organisation, proof.into());
            }
        }
    }

    fn chain(&mut self, organisation: OrganisationId) -> &mut Chain {
        self.chains.entry(organisation).or_default()
    }

    fn place(&mut self, organisation: OrganisationId, position: Position, stored: Stored) {
        let chain = self.chain(organisation);
        // Writing a place a second time is what a replay after a crash does; it changes nothing.
        if chain.entries.len() as u64 == position.0 {
            chain.leaves.0.push(stored.digest.leaf_hash());
            chain.entries.push(stored);
        }
    }

    /// What an engine starts from.
    pub fn snapshot(&self) -> Snapshot {
        let chains = self
            .chains
            .iter()
            .map(|(organisation, chain)| ChainSnapshot {
                organisation: *organisation,
                range: chain.range.clone(),
                standing: chain
                    .entries
                    .iter()
                    .zip(0u64..)
                    .filter_map(|(stored, position)| match &stored.statement {
                        Some((_, kind, _, bytes)) if kind.is_standing() => {
                            Some((Position(position), bytes.clone()))
                        }
                        _ => None,
                    })
                    .collect(),
                head: chain.head.as_ref().map(|head| head.bytes().clone()),
                cosignatures: chain.cosignatures.clone(),
            })
            .collect();
        Snapshot {
            chains,
            locked: self.lock.as_ref().map(|head| head.bytes().clone()),
            mesh: None,
            paused: Vec::new(),
            misbehaved: self.misbehaved.iter().map(|(id, proof)| (*id, proof.clone())).collect(),
        }
    }
}

/// Everything that is on a disk, to look up what bears on a subject.
#[derive(Debug, Default)]
pub struct Library {
    statements: BTreeMap<StatementId, (OrganisationId, Position, Statement)>,
    edges: EdgeSet,
}

impl EdgeSource for Library {
    type Error = Infallible;

    fn upstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.upstream(node)
    }

    fn downstream(&self, node: &SubjectKey) -> Result<Vec<Edge>, Infallible> {
        self.edges.downstream(node)
    }
}

impl EvidenceSource for Library {
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)> {
        self.statements.get(id).cloned()
    }
}

impl Disk {
    /// Everything that is on this disk.
    pub fn library(&self) -> Library {
        let mut statements = BTreeMap::new();
        let mut all = Vec::new();
        for (organisation, chain) in &self.chains {
            for (stored, position) in chain.entries.iter().zip(0u64..) {
                let Some((id, _, _, bytes)) = &stored.statement else { continue };
                let Ok(statement) = Statement::parse(bytes.clone()) else { continue };
                if let Ok(payload) = Payload::decode(statement.header().kind, statement.payload()) {
                    all.extend(edges(*id, &payload));
                }
                statements.insert(*id, (*organisation, Position(position), statement));
            }
        }
        Library { statements, edges: all.into_iter().collect() }
    }
}

impl Chain {
    /// Entries from a position on that are digests alone.
    pub fn lacking(&self, from: Position, max: usize) -> Vec<(Position, LeafDigest)> {
        let entries = self.entries.iter().zip(0u64..).skip(usize::try_from(from.0).unwrap_or(usize::MAX));
        let withheld = entries.filter(|(stored, _)| stored.statement.is_none());
        withheld.map(|(stored, position)| (Position(position), stored.digest)).take(max).collect()
    }
}

impl Subtrees for Chain {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        self.leaves.subtree(level, index)
    }
}

impl EntrySource for Chain {
    fn entry(&self, position: Position) -> Option<Entry> {
        let stored = self.entries.get(usize::try_from(position.0).ok()?)?;
        Some(match &stored.statement {
            Some((_, _, _, bytes)) => Entry::Statement(ByteString(bytes.to_vec())),
            None => Entry::Withheld(stored.digest),
        })
    }
}
