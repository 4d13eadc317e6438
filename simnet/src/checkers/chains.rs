//! Chains as they were let out and as they lie on the disks: invariants 1, 2, 3, 8 and 13.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::proof::{inclusion_proof, verify_inclusion};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::ids::{HeadHash, HeadSeq, OrganisationId, StatementId, TreeSize};
use counterfoil_protocol::statement::Statement;

use super::{Violation, violation};
use crate::decide::fold;
use crate::disk::Chain;
use crate::history::History;

/// Invariant 1: no honest organisation lets out two heads with one sequence number, on whichever of its machines.
pub fn no_honest_fork(history: &History, dishonest: &BTreeSet<OrganisationId>) -> Option<Violation> {
    let mut heads: BTreeMap<(OrganisationId, HeadSeq), HeadHash> = BTreeMap::new();
    history.published.iter().filter(|p| !dishonest.contains(&p.organisation)).find_map(|published| {
        let first = *heads.entry((published.organisation, published.seq)).or_insert(published.hash);
        (first != published.hash).then(|| {
            let text = format!("{} let out two heads {}", published.organisation, published.seq);
            violation("no-honest-fork", text)
        })
    })
}

/// Invariant 2, first half: whatever head was let out was in the head lock, and everything under it on disk.
pub fn durable(history: &History) -> Option<Violation> {
    history.published.iter().find_map(|published| {
        let lacking = published.lacking?;
        let text = format!("host {} let out its head {}: {lacking}", published.host, published.seq);
        Some(violation("durable", text))
    })
}

/// Invariant 2, second half: what was acknowledged stands where it was said to, and its receipt can be proven under the
/// latest head.
pub fn acknowledged_is_provable(
    history: &History,
    chains: &BTreeMap<OrganisationId, &Chain>,
) -> Option<Violation> {
    history.acknowledged.iter().find_map(|acknowledged| {
        let lost = |why: &str| {
            let text = format!("{} at {}: {why}", acknowledged.statement, acknowledged.position);
            Some(violation("acknowledged-provable", text))
        };
        let Some(chain) = chains.get(&acknowledged.organisation) else { return lost("its chain is gone") };
        let index = usize::try_from(acknowledged.position.0).unwrap_or(usize::MAX);
        let Some(stored) = chain.entries.get(index) else { return lost("the entry is gone") };
        if stored.statement.as_ref().map(|(id, ..)| *id) != Some(acknowledged.statement) {
            return lost("another statement stands there");
        }
        let Some(head) = &chain.head else { return lost("there is no head") };
        let Ok(path) = inclusion_proof(*chain, acknowledged.position, head.size()) else {
            return lost("there is no proof");
        };
        let leaf = stored.digest.leaf_hash();
        match verify_inclusion(&leaf, acknowledged.position, head.size(), &path, &head.root()) {
            Ok(()) => None,
            Err(error) => lost(&error.to_string()),
        }
    })
}

/// Invariant 3: a chain on a disk only ever grows, and its head is over what is there. Feed it the disks again and again.
#[derive(Debug, Default)]
pub struct AppendOnly {
    seen: BTreeMap<(usize, OrganisationId), (TreeSize, Hash, Option<HeadHash>)>,
}

impl AppendOnly {
    /// Looks at a host's chain.
    pub fn look(&mut self, host: usize, organisation: OrganisationId, chain: &Chain) -> Option<Violation> {
        let size = TreeSize(chain.entries.len() as u64);
        let before = self.seen.get(&(host, organisation));
        if before.is_some_and(|(seen, _, head)| *seen == size && *head == chain.tip()) {
            return None;
        }
        let found = |text: &str| {
            Some(violation("append-only", format!("host {host}: the chain of {organisation} {text}")))
        };
        if let Some((seen, root, _)) = before
            && chain.root(*seen).as_ref() != Ok(root)
        {
            return found("lost or changed entries it had");
        }
        if let Some(head) = &chain.head
            && (head.organisation() != organisation || chain.root(head.size()).as_ref() != Ok(&head.root()))
        {
            return found("has a head over something else");
        }
        let Ok(root) = chain.root(size) else { return found("has no root") };
        if chain.range.size() == size && chain.range.root() != root {
            return found("has a tree over something else");
        }
        self.seen.insert((host, organisation), (size, root, chain.tip()));
        None
    }

    /// A host's data was put back or damaged on purpose: what it had before counts no more.
    pub fn forget(&mut self, host: usize) {
        self.seen.retain(|(seen, _), _| *seen != host);
    }
}

/// Invariant 8: each statement on a disk, verified anew and in order, was signed by a key that was allowed to just there.
pub fn positions(host: usize, organisation: OrganisationId, chain: &Chain) -> Option<Violation> {
    let size = TreeSize(chain.entries.len() as u64);
    let error = fold(chain, size).err()?;
    Some(violation("positions", format!("host {host}: the chain of {organisation}: {error}")))
}

/// Invariant 13: each statement on a disk has the bytes whose hashes stand beside it, and they are the bytes that its own
/// organisation has.
pub fn bytes(
    host: usize,
    organisation: OrganisationId,
    chain: &Chain,
    own: Option<&Chain>,
) -> Option<Violation> {
    let found = |position: usize, what: &str| {
        let text = format!("host {host}: position {position} of {organisation} {what}");
        Some(violation("bytes", text))
    };
    for (position, stored) in chain.entries.iter().enumerate() {
        let Some((id, _, _, bytes)) = &stored.statement else { continue };
        if !stored.is_whole() || StatementId::from_bytes(blake3(bytes)) != *id {
            return found(position, "does not have the bytes of its hashes");
        }
        if Statement::parse(bytes.clone()).is_err() {
            return found(position, "is no statement");
        }
        let there = own.and_then(|own| own.entries.get(position)).and_then(|own| own.statement.as_ref());
        if there.is_some_and(|(.., there)| there != bytes) {
            return found(position, "differs from what its organisation has there");
        }
    }
    None
}
