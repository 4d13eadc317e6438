//! Which chains a decision rests on. A mesh may have a thousand members, and no part of a verdict reads what most of them
//! say; a decision that named the heads of all would grow with the mesh.
//!
//! What is left out changes no byte of a verdict. A chain counts by its evidence, by its profile that is active, by a
//! declaration of whom the decider recognises, by its silence where it is named or recognised, by an agreement that lets
//! evidence cross, by what it says on the membership, or by its signature under a head that evidence lies under.

use std::collections::{BTreeMap, BTreeSet};

use super::Profile;
use crate::chain::SignedHead;
use crate::chain::cosignature::{self, Cosignature};
use crate::ids::{MeshId, OrganisationId, StatementId};
use crate::mesh::Membership;
use crate::statement::{Payload, Verified, Visibility};

/// Standing statements of each chain that is known, in chain order.
pub type Standing<'a> = BTreeMap<OrganisationId, Vec<&'a Verified>>;

/// The organisations on whose chains a decision of `decider` about this evidence rests, those known of them. `signers` are
/// the witnesses that signed the head known of a chain.
pub fn rests_on(
    decider: &OrganisationId,
    mesh: Option<MeshId>,
    standing: &Standing<'_>,
    evidence: &[&Verified],
    signers: impl Fn(&OrganisationId) -> Vec<OrganisationId>,
) -> BTreeSet<OrganisationId> {
    let mut found: BTreeSet<OrganisationId> = weighed(decider, evidence);
    found.extend(found.clone().iter().flat_map(signers));
    for verified in standing.get(decider).into_iter().flatten() {
        if let Payload::Recognition(recognition) = verified.payload() {
            found.insert(recognition.organisation);
        }
    }
    for (author, profile) in active(decider, standing) {
        found.insert(author);
        found.extend(profile.requirements.values().flat_map(|requirement| &requirement.organisations));
    }
    let limits: BTreeSet<StatementId> = evidence.iter().filter_map(|verified| agreement(verified)).collect();
    for (organisation, said) in standing {
        for verified in said {
            match verified.payload() {
                Payload::Agreement(agreement) if limits.contains(&verified.id()) => {
                    found.insert(*organisation);
                    found.extend(&agreement.parties);
                }
                payload if mesh.is_some_and(|mesh| bears_on(mesh, verified, payload)) => {
                    found.insert(*organisation);
                }
                _ => {}
            }
        }
    }
    found.retain(|organisation| standing.contains_key(organisation));
    found
}

/// Whose evidence is weighed, and who weighs it: of their heads it matters who has seen them.
pub fn weighed(decider: &OrganisationId, evidence: &[&Verified]) -> BTreeSet<OrganisationId> {
    evidence.iter().map(|verified| verified.organisation()).chain([*decider]).collect()
}

/// The signature lines that make a head witnessed, of those on it that were verified: the earliest quorum. Where there is
/// none, all of them: they prove nothing but who has seen it.
pub fn enough<'a>(
    membership: Option<&Membership>,
    head: &SignedHead,
    lines: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let all: Vec<&str> = lines.into_iter().collect();
    let said: Vec<(&str, Cosignature)> =
        all.iter().filter_map(|line| Some((*line, cosignature::claimed(head.note(), line)?))).collect();
    let quorum = membership.and_then(|membership| {
        membership.quorum_among(&head.organisation(), said.iter().map(|(_, cosignature)| cosignature))
    });
    let Some(quorum) = quorum else { return all.into_iter().map(str::to_owned).collect() };
    let needed = said.iter().filter(|(_, one)| quorum.iter().any(|other| other.witness == one.witness));
    needed.map(|(line, _)| (*line).to_owned()).collect()
}

/// The profiles that are active for the decider, with their authors.
fn active<'a>(decider: &OrganisationId, standing: &Standing<'a>) -> Vec<(OrganisationId, &'a Profile)> {
    let own = standing.get(decider).into_iter().flatten();
    let latest = own.rev().find_map(|verified| match verified.payload() {
        Payload::Activation(activation) => Some(&activation.profiles),
        _ => None,
    });
    let Some(latest) = latest else { return Vec::new() };
    let all = standing.values().flatten();
    all.filter_map(|verified| match verified.payload() {
        Payload::Profile(profile) if latest.contains(&verified.id()) => {
            Some((verified.organisation(), &**profile))
        }
        _ => None,
    })
    .collect()
}

fn agreement(verified: &Verified) -> Option<StatementId> {
    match verified.statement().header().visibility {
        Visibility::Parties(agreement) => Some(agreement),
        _ => None,
    }
}

/// Whether a statement says who the members are, or among whom witnesses are chosen.
fn bears_on(mesh: MeshId, verified: &Verified, payload: &Payload) -> bool {
    match payload {
        Payload::Charter(_) => MeshId::from(verified.id()) == mesh,
        Payload::Admission(admission) => admission.mesh == mesh,
        Payload::Amendment(amendment) => amendment.mesh == mesh,
        Payload::Leave(leave) => leave.mesh == mesh,
        Payload::Organisation(organisation, _) => organisation.parent.is_some(),
        _ => false,
    }
}
