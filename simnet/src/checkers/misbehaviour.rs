//! Proofs against organisations: invariants 4 and 5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::misbehaviour::Misbehaviour;
use counterfoil_protocol::ids::OrganisationId;

use super::{Violation, violation};

/// A host with the proofs on its disk, by whom they are said to convict.
pub type OnDisk<'a> = (usize, &'a BTreeMap<OrganisationId, Arc<[u8]>>);

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
