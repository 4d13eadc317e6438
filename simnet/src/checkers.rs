//! The invariants. Each checker looks at what happened and at what lies on the disks; none asks an engine's opinion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::chain::proof::{inclusion_proof, verify_inclusion};
use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{HeadHash, HeadSeq, OrganisationId, StatementId};
use counterfoil_protocol::mesh::Agreement;
use counterfoil_protocol::statement::{Payload, Statement, Visibility};

use crate::disk::Chain;
use crate::history::History;

/// An invariant that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker.
    pub checker: &'static str,
    /// What it saw.
    pub text: String,
}

/// A host with the proofs on its disk, by whom they are said to convict.
pub type OnDisk<'a> = (usize, &'a BTreeMap<OrganisationId, Arc<[u8]>>);

fn violation(checker: &'static str, text: String) -> Violation {
    Violation { checker, text }
}

/// Invariant 3: a chain on a disk only ever grows. Feed it the disks again and again.
#[derive(Debug, Default)]
pub struct AppendOnly {
    seen: BTreeMap<(usize, OrganisationId), Vec<LeafDigest>>,
}

impl AppendOnly {
    /// Looks at a host's chain.
    pub fn look(&mut self, host: usize, organisation: OrganisationId, chain: &Chain) -> Option<Violation> {
        let now: Vec<LeafDigest> = chain.entries.iter().map(|stored| stored.digest).collect();
        let before = self.seen.entry((host, organisation)).or_default();
        let found = (!now.starts_with(before)).then(|| {
            let text = format!("host {host}: the chain of {organisation} lost or changed entries it had");
            violation("append-only", text)
        });
        *before = now;
        found
    }

    /// A host's data was put back on purpose: what it had before counts no more.
    pub fn forget(&mut self, host: usize) {
        self.seen.retain(|(seen, _), _| *seen != host);
    }
}

/// Invariant 1: no honest organisation publishes two heads with one sequence number.
pub fn no_honest_fork(history: &History, dishonest: &BTreeSet<OrganisationId>) -> Option<Violation> {
    let mut heads: BTreeMap<(OrganisationId, HeadSeq), HeadHash> = BTreeMap::new();
    history.published.iter().filter(|p| !dishonest.contains(&p.organisation)).find_map(|published| {
        let first = *heads.entry((published.organisation, published.seq)).or_insert(published.hash);
        (first != published.hash).then(|| {
            let text = format!("{} published two heads {}", published.organisation, published.seq);
            violation("no-honest-fork", text)
        })
    })
}

/// Invariant 4: whatever proof lies on a disk checks, and convicts nobody who is honest.
pub fn no_honest_conviction(
    proofs: &[OnDisk<'_>],
    dishonest: &BTreeSet<OrganisationId>,
) -> Option<Violation> {
    let each = proofs.iter().flat_map(|(host, proofs)| proofs.iter().map(move |proof| (host, proof)));
    each.into_iter().find_map(|(host, (organisation, bytes))| {
        let text = match convicted(bytes) {
            Some(guilty) if guilty == *organisation && dishonest.contains(&guilty) => return None,
            Some(guilty) => format!("host {host}: a proof against {organisation} convicts {guilty}"),
            None => format!("host {host}: the proof against {organisation} proves nothing"),
        };
        Some(violation("no-honest-conviction", text))
    })
}

/// Invariant 5: every host has a proof against each equivocator, and it checks.
pub fn exposure(proofs: &[OnDisk<'_>], equivocators: &BTreeSet<OrganisationId>) -> Option<Violation> {
    proofs.iter().find_map(|(host, proofs)| {
        let unexposed = equivocators
            .iter()
            .find(|guilty| proofs.get(guilty).and_then(|bytes| convicted(bytes)) != Some(**guilty))?;
        Some(violation("exposure", format!("host {host} has no proof against {unexposed}")))
    })
}

fn convicted(proof: &[u8]) -> Option<OrganisationId> {
    Misbehaviour::parse(proof).and_then(|proof| proof.check()).ok().map(|(guilty, _)| guilty)
}

/// Invariant 10: what is for the parties of an agreement lies on the disks of its parties alone, and what is private on its
/// author's.
pub fn limited_stays_limited(
    disks: &[(usize, OrganisationId, &BTreeMap<OrganisationId, Chain>)],
) -> Option<Violation> {
    let statements = |chains: &BTreeMap<OrganisationId, Chain>| -> Vec<(OrganisationId, StatementId, Visibility, Arc<[u8]>)> {
        let all = chains.iter().flat_map(|(author, chain)| chain.entries.iter().map(move |stored| (author, stored)));
        all.filter_map(|(author, stored)| {
            let (id, _, visibility, bytes) = stored.statement.as_ref()?;
            Some((*author, *id, *visibility, bytes.clone()))
        })
        .collect()
    };
    let mut agreements: BTreeMap<StatementId, Agreement> = BTreeMap::new();
    for (_, _, chains) in disks {
        for (_, id, _, bytes) in statements(chains) {
            let Ok(statement) = Statement::parse(bytes) else { continue };
            if let Ok(Payload::Agreement(agreement)) =
                Payload::decode(statement.header().kind, statement.payload())
            {
                agreements.insert(id, *agreement);
            }
        }
    }
    for (host, reader, chains) in disks {
        for (author, id, visibility, _) in statements(chains) {
            let may_read = match visibility {
                _ if author == *reader => true,
                Visibility::Mesh => true,
                Visibility::Private => false,
                Visibility::Parties(agreement) => {
                    agreements.get(&agreement).is_some_and(|agreement| agreement.has_party(reader))
                }
            };
            if !may_read {
                let text = format!("host {host} of {reader} has {id} of {author}, which is not for it");
                return Some(violation("limited-stays-limited", text));
            }
        }
    }
    None
}

/// What every host should have come to have: the same head of each chain.
pub fn convergence(
    hosts: &[(usize, BTreeMap<OrganisationId, Option<HeadHash>>)],
    organisations: &BTreeSet<OrganisationId>,
) -> Option<Violation> {
    let (_, reference) = hosts.first()?;
    hosts.iter().find_map(|(host, heads)| {
        organisations.iter().find_map(|organisation| {
            let (here, there) = (heads.get(organisation), reference.get(organisation));
            (here != there || here.is_none_or(Option::is_none)).then(|| {
                let text = format!("host {host} has head {here:?} of {organisation}, others {there:?}");
                violation("convergence", text)
            })
        })
    })
}

/// Invariant 2: what was acknowledged stands where it was said to, and its receipt can be proven under the latest head.
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
