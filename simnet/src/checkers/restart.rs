//! Invariant 12: restart equals no restart, and replaying any input is idempotent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use counterfoil_federation::Engine;
use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::ids::{HeadHash, OrganisationId, TreeSize};
use counterfoil_protocol::mesh::Agreements;

use super::{Violation, violation};
use crate::host::Host;

/// A chain as an engine knows it: how far, under which head, and the signature lines on that of witnesses of whose own chain
/// anything is here. Who was met but never told anything has a key that a start does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    size: TreeSize,
    head: Option<HeadHash>,
    /// By witness; this organisation's own signature is among them.
    lines: BTreeMap<OrganisationId, Arc<str>>,
}

/// What an engine goes by, as far as it outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lasting {
    chains: BTreeMap<OrganisationId, Known>,
    members: Vec<OrganisationId>,
    misbehaved: BTreeSet<OrganisationId>,
    agreements: Agreements,
    paused: BTreeSet<OrganisationId>,
    frozen: bool,
}

impl Lasting {
    /// What an engine goes by.
    pub fn of(engine: &Engine) -> Self {
        let is_here =
            |id: &OrganisationId| engine.replicas().get(id).is_some_and(|replica| replica.size().0 > 0);
        let chains = engine.replicas().iter().filter(|(id, _)| is_here(id)).map(|(id, replica)| {
            let lines = replica.cosignatures().iter().filter(|(witness, _)| is_here(witness));
            let known = Known {
                size: replica.size(),
                head: replica.head().map(SignedHead::hash),
                lines: lines.map(|(witness, line)| (*witness, line.clone())).collect(),
            };
            (*id, known)
        });
        Self {
            chains: chains.collect(),
            members: engine.membership().map(|m| m.members().to_vec()).unwrap_or_default(),
            misbehaved: engine.misbehaved(),
            agreements: engine.agreements().clone(),
            paused: engine.paused().clone(),
            frozen: engine.frozen().is_some(),
        }
    }

    /// How another engine, or this one later, differs from this; nothing where it does not.
    fn differs(&self, other: &Self) -> Option<String> {
        let differs = if self.members != other.members {
            "another membership".to_owned()
        } else if self.misbehaved != other.misbehaved {
            "other proofs".to_owned()
        } else if self.agreements != other.agreements {
            "other agreements".to_owned()
        } else if self.paused != other.paused {
            "other pauses".to_owned()
        } else if self.frozen != other.frozen {
            format!("signing: frozen {} instead of {}", other.frozen, self.frozen)
        } else {
            let ids: BTreeSet<&OrganisationId> = self.chains.keys().chain(other.chains.keys()).collect();
            let id = ids.into_iter().find(|id| self.chains.get(id) != other.chains.get(id))?;
            format!("another chain {id}: {:?} instead of {:?}", other.chains.get(id), self.chains.get(id))
        };
        Some(differs)
    }
}

/// An engine that was started from the disk goes by the same as the one that runs. Ask when no write is under way.
pub fn restart(host: usize, running: &Lasting, started: &Lasting) -> Option<Violation> {
    let differs = running.differs(started)?;
    Some(violation("restart", format!("host {host} would start with {differs}")))
}

/// A chain as it lies on a disk: how far, under which head, and the signature lines on that.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    entries: usize,
    head: Option<HeadHash>,
    lines: BTreeSet<Arc<str>>,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.map_or_else(|| "no head".to_owned(), |head| head.to_string());
        write!(f, "{} entries and {} signatures under {head}", self.entries, self.lines.len())
    }
}

/// What lies on a disk, and what its engine goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    chains: BTreeMap<OrganisationId, Stretch>,
    proofs: BTreeMap<OrganisationId, Arc<[u8]>>,
    lock: Option<HeadHash>,
    lasting: Lasting,
}

impl Standing {
    /// How a host stands; nothing while it does not run.
    pub fn of(host: &Host) -> Option<Self> {
        let disk = &host.disk;
        let chains = disk.chains().iter().map(|(id, chain)| {
            let lines = chain.cosignatures.iter().cloned().collect();
            (*id, Stretch { entries: chain.entries.len(), head: chain.tip(), lines })
        });
        Some(Self {
            chains: chains.collect(),
            proofs: disk.proofs().clone(),
            lock: disk.lock().map(SignedHead::hash),
            lasting: Lasting::of(host.engine.as_ref()?),
        })
    }

    /// This without the signatures that have come since `before` under a head that is still the latest: each comparison may
    /// bring some, whatever was repeated. One that has gone or changed is not forgiven.
    fn without_new_signatures(mut self, before: &Self) -> Self {
        for (id, stretch) in &mut self.chains {
            let before = before.chains.get(id).filter(|before| before.head == stretch.head);
            if let Some(before) = before.filter(|before| before.lines.is_subset(&stretch.lines)) {
                stretch.lines = before.lines.clone();
            }
        }
        for (id, known) in &mut self.lasting.chains {
            let before = before.lasting.chains.get(id).filter(|before| before.head == known.head);
            let stays =
                |(witness, line): (&OrganisationId, &Arc<str>)| known.lines.get(witness) == Some(line);
            if let Some(before) = before.filter(|before| before.lines.iter().all(stays)) {
                known.lines = before.lines.clone();
            }
        }
        self
    }
}

/// A host stands as before after inputs that it had been given already.
pub fn replay(host: usize, before: &Standing, after: &Standing) -> Option<Violation> {
    let after = after.clone().without_new_signatures(before);
    if *before == after {
        return None;
    }
    let chain = after.chains.iter().find(|(id, chain)| before.chains.get(id) != Some(chain));
    let changed = match (chain, before.lasting.differs(&after.lasting)) {
        (Some((id, after)), _) => {
            let before = before.chains.get(id).map(Stretch::to_string).unwrap_or_default();
            format!("the chain of {id} on its disk from {before} to {after}")
        }
        (None, Some(differs)) => format!("what it goes by: {differs}"),
        (None, None) => "its disk".to_owned(),
    };
    Some(violation("replay", format!("host {host}: words that it knew changed {changed}")))
}
