//! Disputes: an organisation says, by a link, that it disputes a statement that a decision rests on.
//!
//! A dispute stands until the organisation that raised it links to the statement again, as one that it approves. Whether
//! a dispute ends the matter is for each profile to say. Not everybody's counts: those of the decider, of the disputed
//! statement's own organisation, and of signers whom the decider recognises for the claim in dispute.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, Finding, FindingKind};
use super::gather::{Inputs, Reached};
use crate::ids::{OrganisationId, StatementId};
use crate::lineage::EdgeKind;
use crate::lineage::graph::EdgeSource;
use crate::mesh::{Link, Recognition, Relation};
use crate::observation::SubjectKey;
use crate::statement::{Payload, Signatory, Verified};

/// Whether a link raises a dispute, or takes one back.
pub fn concerns_dispute(link: &Link) -> bool {
    matches!(link.relation, Relation::Disputes | Relation::Approves)
}

/// Statements that link to one of these; [`concerns_dispute`] says which of them matter here.
///
/// # Errors
/// What the source reports.
pub fn links_on<S: EdgeSource>(
    statements: &BTreeSet<StatementId>,
    source: &S,
) -> Result<BTreeSet<StatementId>, S::Error> {
    let mut links = BTreeSet::new();
    for statement in statements {
        let onto = source.downstream(&SubjectKey::Statement(*statement))?.into_iter();
        links.extend(onto.filter(|edge| edge.kind == EdgeKind::LinksTo).map(|edge| edge.asserted_by));
    }
    Ok(links)
}

/// The disputes that stand: of each organisation its latest word on each statement.
pub(super) fn findings(inputs: &Inputs<'_>, evidence: &[Evidence], reached: &Reached) -> Vec<Finding> {
    let mut latest: BTreeMap<(OrganisationId, StatementId), (&Verified, &Link)> = BTreeMap::new();
    for verified in &inputs.evidence {
        let Payload::Link(link) = verified.payload() else { continue };
        if !concerns_dispute(link) {
            continue;
        }
        let said = latest.entry((verified.organisation(), link.target.statement)).or_insert((verified, link));
        if said.0.position() < verified.position() {
            *said = (verified, link);
        }
    }
    let standing = latest.into_iter().filter(|(_, (_, link))| link.relation == Relation::Disputes);
    standing
        .filter_map(|((organisation, target), (verified, link))| {
            let disputed = evidence.iter().find(|item| item.statement == target);
            let is_subject = reached.contains_key(&SubjectKey::Statement(target));
            if (disputed.is_none() && !is_subject) || !may_dispute(inputs, verified, link) {
                return None;
            }
            Some(Finding {
                kind: FindingKind::Dispute,
                organisation,
                statement: Some(verified.id()),
                evidence: vec![target],
                subjects: Vec::new(),
                reason: link.purpose.clone(),
            })
        })
        .collect()
}

/// Whether the decider listens to who disputes.
fn may_dispute(inputs: &Inputs<'_>, verified: &Verified, link: &Link) -> bool {
    let organisation = verified.organisation();
    if organisation == inputs.decider || organisation == link.target.organisation {
        return true;
    }
    let Signatory::Authority(authority) = verified.signatory() else { return false };
    let record = inputs.chains.get(&organisation).and_then(|chain| chain.state.authorities().get(&authority));
    let Some(role) = record.map(|record| &record.credential.role) else { return false };
    let target = inputs.evidence.iter().find(|other| other.id() == link.target.statement);
    // What is no observation makes no claim; whoever is recognised for anything is heard then.
    let claim = target.and_then(|target| target.payload().claim());
    let covers = |recognition: &Recognition| {
        recognition.organisation == organisation && claim.is_none_or(|claim| recognition.covers(role, claim))
    };
    let own = inputs.chains.get(&inputs.decider);
    let mut latest = own.into_iter().flat_map(|own| own.standing.iter().rev());
    latest
        .find_map(|verified| match verified.payload() {
            Payload::Recognition(recognition) if covers(recognition) => Some(!recognition.withdrawn),
            _ => None,
        })
        .unwrap_or(false)
}
