//! The time sandwich: when a statement must have been made, whatever its author says.
//!
//! Not after: the earliest moment at which a quorum of witnesses had seen a tree that holds it. Not before: the latest
//! moment at which witnesses had seen a head that its chain had embedded before it.

use std::collections::BTreeMap;

use super::report::StatementTimes;
use super::walk::Chains;
use crate::admissibility::Basis;
use crate::admissibility::gather::{ChainView, cosignatures, membership, open_head};
use crate::chain::anchor::Anchor;
use crate::chain::cosignature::{Cosignature, on_note, quorum_time};
use crate::chain::note::Note;
use crate::ids::{ByteString, MeshId, OrganisationId, Timestamp, TreeSize};
use crate::keys::PublicKey;
use crate::mesh::Membership;
use crate::statement::Payload;

/// The bounds of every statement here, chain by chain in order.
pub(super) fn bounds(chains: &Chains) -> Vec<StatementTimes> {
    let witnesses: BTreeMap<OrganisationId, PublicKey> =
        chains.iter().map(|(id, chain)| (*id, chain.state.description().witness_key)).collect();
    let seen = seen(chains, &witnesses, mesh(chains).as_ref());
    let mut found = Vec::new();
    for (organisation, chain) in chains {
        let seen = seen.get(organisation).map(Vec::as_slice).unwrap_or_default();
        let seen = earliest(seen);
        let mut not_before = None;
        for verified in &chain.statements {
            let covering = seen.partition_point(|(size, _)| !size.contains(verified.position()));
            found.push(StatementTimes {
                statement: verified.id(),
                organisation: *organisation,
                kind: verified.kind(),
                issued_at: verified.statement().header().issued_at,
                not_before,
                not_after: seen.get(covering).map(|(_, at)| *at),
            });
            if let Payload::Anchor(anchor) = verified.payload() {
                not_before = not_before.max(embedded(anchor, &witnesses));
            }
        }
    }
    found
}

/// For each size, smallest first, when a tree of that size or a larger one was seen first.
fn earliest(seen: &[(TreeSize, Timestamp)]) -> Vec<(TreeSize, Timestamp)> {
    let mut seen = seen.to_vec();
    seen.sort();
    let mut first = None;
    for (_, at) in seen.iter_mut().rev() {
        *at = first.map_or(*at, |first: Timestamp| first.min(*at));
        first = Some(*at);
    }
    seen
}

/// The membership of the mesh whose charter is here; nothing where there is none, or more than one.
fn mesh(chains: &Chains) -> Option<Membership> {
    let all = || chains.values().flat_map(|chain| chain.statements.iter());
    let mut charters = all().filter(|verified| matches!(verified.payload(), Payload::Charter(_)));
    let (Some(charter), None) = (charters.next(), charters.next()) else { return None };
    let views = chains
        .iter()
        .map(|(id, chain)| {
            let head = ByteString(chain.head.bytes().to_vec());
            let basis = Basis { organisation: *id, head, cosignatures: Vec::new(), seen: Timestamp(0) };
            let standing = chain.standing(chain.head.size()).collect();
            (*id, ChainView { state: &chain.state, standing, basis })
        })
        .collect();
    membership(MeshId::from(charter.id()), &views)
}

/// Sizes of each chain, and when a quorum of its witnesses had seen each (any witness, where no mesh says who they are): from
/// the heads of this bundle and those that decisions embed.
fn seen(
    chains: &Chains,
    witnesses: &BTreeMap<OrganisationId, PublicKey>,
    mesh: Option<&Membership>,
) -> BTreeMap<OrganisationId, Vec<(TreeSize, Timestamp)>> {
    let mut found: BTreeMap<OrganisationId, Vec<(TreeSize, Timestamp)>> = BTreeMap::new();
    let mut note = |organisation, size, cosignatures: &BTreeMap<OrganisationId, Cosignature>| {
        let at = match mesh {
            Some(mesh) => mesh.witnessed(&organisation, cosignatures.values()),
            None => quorum_time(cosignatures.values(), 1),
        };
        if let Some(at) = at {
            found.entry(organisation).or_default().push((size, at));
        }
    };
    for (organisation, chain) in chains {
        note(*organisation, chain.head.size(), &chain.cosignatures);
    }
    for verified in chains.values().flat_map(|chain| chain.statements.iter()) {
        let Payload::Decision(decision) = verified.payload() else { continue };
        for basis in &decision.basis {
            let Some(chain) = chains.get(&basis.organisation) else { continue };
            let Ok(head) = open_head(basis, &chain.state) else { continue };
            let is_ours = chain.begins_with(head.size(), &head.root()).is_ok();
            if let (true, Ok(cosignatures)) = (is_ours, cosignatures(basis, &head, witnesses)) {
                note(basis.organisation, head.size(), &cosignatures);
            }
        }
    }
    found
}

/// The latest moment at which a witness had seen one of the heads that an anchor embeds.
fn embedded(anchor: &Anchor, witnesses: &BTreeMap<OrganisationId, PublicKey>) -> Option<Timestamp> {
    let seen = anchor.heads.iter().filter_map(|head| {
        let note = Note::parse(&head.checkpoint.0).ok()?;
        let mut others = witnesses.clone();
        others.remove(&head.organisation);
        on_note(&note, &others).ok()?.values().map(|cosignature| cosignature.time).max()
    });
    seen.max()
}
