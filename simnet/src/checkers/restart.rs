//! Invariant 12: restart equals no restart, and replaying any input is idempotent.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_federation::Engine;
use counterfoil_protocol::ids::{HeadHash, OrganisationId, TreeSize};

use super::{Violation, violation};
use crate::disk::Disk;

/// What an engine goes by, as far as it outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lasting {
    /// By organisation: how far its chain is here, its head, and whether anybody has cosigned that of whose own chain
    /// anything is here. Who was met but never told anything has a key that a start does not know.
    chains: BTreeMap<OrganisationId, (TreeSize, Option<HeadHash>, bool)>,
    members: Vec<OrganisationId>,
    misbehaved: BTreeSet<OrganisationId>,
    frozen: bool,
}

impl Lasting {
    /// What an engine goes by.
    pub fn of(engine: &Engine) -> Self {
        let is_here =
            |id: &OrganisationId| engine.replicas().get(id).is_some_and(|replica| replica.size().0 > 0);
        let chains =
            engine.replicas().iter().filter(|(_, replica)| replica.size().0 > 0).map(|(id, replica)| {
                let head = replica.head().map(counterfoil_protocol::chain::SignedHead::hash);
                (*id, (replica.size(), head, replica.cosignatures().keys().any(is_here)))
            });
        Self {
            chains: chains.collect(),
            members: engine.membership().map(|m| m.members().to_vec()).unwrap_or_default(),
            misbehaved: engine.misbehaved(),
            frozen: engine.frozen().is_some(),
        }
    }
}

/// An engine that was started from the disk goes by the same as the one that runs. Ask when no write is under way.
pub fn restart(host: usize, running: &Lasting, started: &Lasting) -> Option<Violation> {
    (running != started).then(|| {
        let differs = if running.members != started.members {
            "another membership".to_owned()
        } else if running.misbehaved != started.misbehaved {
            "other proofs".to_owned()
        } else if running.frozen != started.frozen {
            format!("signing: frozen {} instead of {}", started.frozen, running.frozen)
        } else {
            let one = running.chains.iter().find(|(id, chain)| started.chains.get(id) != Some(chain));
            format!("another chain: {one:?} instead of {:?}", one.map(|(id, _)| started.chains.get(id)))
        };
        violation("restart", format!("host {host} would start with {differs}"))
    })
}

/// How far a chain on a disk goes, and under which head. Cosignatures go on arriving for a while, so they are left out.
pub type Extent = (usize, Option<HeadHash>);

/// What lies on a disk, as far as inputs change it.
pub fn contents(disk: &Disk) -> BTreeMap<OrganisationId, Extent> {
    disk.chains().iter().map(|(id, chain)| (*id, (chain.entries.len(), chain.tip()))).collect()
}

/// What lies on a disk is the same before and after inputs that it had been given already.
pub fn replay(
    host: usize,
    before: &BTreeMap<OrganisationId, Extent>,
    after: &BTreeMap<OrganisationId, Extent>,
) -> Option<Violation> {
    let changed = after.iter().find(|(id, chain)| before.get(id) != Some(chain))?;
    let text = format!("host {host}: words that it knew changed the chain of {} on its disk", changed.0);
    Some(violation("replay", text))
}
