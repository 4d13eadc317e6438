//! Decisions: invariants 6, 7 and 9.

use std::collections::BTreeMap;

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};

use super::{Violation, violation};
use crate::decide::Ground;
use crate::disk::Chain;
use crate::history::Decided;

/// Invariant 6: the decision, computed again from another disk and with its evidence in the opposite order, is the same
/// byte for byte. Says whether that could be done: nothing is said where that disk lacks what it rests on.
///
/// # Errors
/// The [`Violation`].
pub fn verdict(
    decided: &Decided,
    disk: usize,
    chains: &BTreeMap<OrganisationId, Chain>,
) -> Result<bool, Violation> {
    let Some(ground) = Ground::of(&decided.decision, decided.organisation, chains) else { return Ok(false) };
    for backwards in [false, true] {
        let again = ground.decide(backwards);
        if again.as_ref() != Some(&decided.decision) {
            let mode = again.map_or_else(|| "nothing".to_owned(), |again| again.mode.to_string());
            let text = format!(
                "host {} decided {}; the disk of host {disk} gives {mode} or differs otherwise",
                decided.host, decided.decision.mode
            );
            return Err(violation("verdict", text));
        }
    }
    Ok(true)
}

/// Longest time from the moment that a peer speaks until its words count as just heard, in seconds: an exchange that takes
/// longer is given up.
const UNDER_WAY_S: u64 = 12;

/// Invariant 7: nobody counts a head as confirmed later than any word of its organisation can have come, and a decision
/// does not get better when one chain's head was never confirmed.
pub fn unknown(decided: &Decided, chains: &BTreeMap<OrganisationId, Chain>) -> Option<Violation> {
    let decision = &decided.decision;
    for basis in decision.basis.iter().filter(|basis| basis.organisation != decided.organisation) {
        let heard = decided.heard.get(&basis.organisation).copied().unwrap_or_default().timestamp();
        if basis.seen.0 > heard.0 + UNDER_WAY_S {
            let text = format!(
                "host {} counts the head of {} as confirmed at {}, but had word of it from {heard} at the latest",
                decided.host, basis.organisation, basis.seen
            );
            return Some(violation("unknown", text));
        }
    }
    let mut ground = Ground::of(decision, decided.organisation, chains)?;
    for organisation in ground.organisations().into_iter().filter(|id| *id != decided.organisation) {
        ground.confirm(&organisation, Timestamp(0));
        let mode = ground.decide(false).map_or(Mode::Refuse, |again| again.mode);
        if mode < decision.mode {
            let text = format!(
                "host {} decided {}; with the head of {organisation} never confirmed it is {mode}",
                decided.host, decision.mode
            );
            return Some(violation("unknown", text));
        }
    }
    None
}

/// Whether the artifact that a decision is about was recalled, by what lay on the decider's disk.
pub fn is_about_recalled(decided: &Decided) -> bool {
    recall_of(decided).is_some()
}

/// The statement about the decision's subject that was recalled.
fn recall_of(decided: &Decided) -> Option<StatementId> {
    // The evidence names all that was weighed; what bears on the request is about its subject.
    let subject = decided.decision.request.subjects.first()?.key();
    decided.recalled.iter().find(|(_, subjects)| subjects.contains(&subject)).map(|(statement, _)| *statement)
}

/// Invariant 9: no decision admits what rests on a statement whose recall lay on the decider's disk.
pub fn recalled(decided: &Decided) -> Option<Violation> {
    let mode = decided.decision.mode;
    let recalled = recall_of(decided).filter(|_| mode <= Mode::Partial)?;
    let text = format!("host {} decided {mode} although {recalled} is recalled", decided.host);
    Some(violation("recalled", text))
}
