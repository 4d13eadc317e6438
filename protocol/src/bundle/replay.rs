//! What statements say about each other, computed again: links against receipts, decisions against their inputs,
//! permits and effects against decisions.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;

use super::report::{DecisionReport, Outcome, Report};
use super::walk::{Chain, Chains};
use crate::actuation::{CorrectiveAction, Effect, Permit};
use crate::admissibility::gather::{ChainView, Inputs, decide_with, open_head};
use crate::admissibility::{Basis, Decision, Evaluator, Verdict};
use crate::chain::misbehaviour::contradiction;
use crate::chain::receipt::Receipt;
use crate::chain::{SignedHead, tree::LeafDigest};
use crate::codec;
use crate::digest::blake3;
use crate::identity::OrganisationState;
use crate::ids::{ByteString, OrganisationId, Position, StatementId};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::statement::{Payload, Verified};

fn all(chains: &Chains) -> impl Iterator<Item = &Verified> {
    chains.values().flat_map(|chain| chain.statements.iter())
}

fn find<'a>(chains: &'a Chains, id: &StatementId) -> Option<&'a Verified> {
    chains.values().find_map(|chain| chain.find(id))
}

/// The two halves of each cross-reference fit each other, and their receipts lie on the chains shown.
pub(super) fn cross_references(chains: &Chains, report: &mut Report) {
    for verified in all(chains) {
        let (check, organisation, position, statement, receipt, checkpoint) = match verified.payload() {
            Payload::Link(link) => {
                let target = &link.target;
                let (receipt, checkpoint) = (&target.receipt, &target.checkpoint);
                ("link", target.organisation, target.position, target.statement, receipt, checkpoint)
            }
            Payload::Counterfoil(half) => {
                let (receipt, checkpoint) = (&half.receipt, &half.checkpoint);
                ("counterfoil", half.organisation, half.position, half.link, receipt, checkpoint)
            }
            _ => continue,
        };
        let input = verified.id().to_string();
        match chains.get(&organisation) {
            None => {
                let detail = format!("the chain of {organisation} is not here");
                report.add(check, Outcome::NotProven, input, detail);
            }
            Some(chain) => match receipted(chain, position, &statement, receipt, checkpoint) {
                Ok(true) => report.pass(check, input, format!("its receipt proves {statement}")),
                Ok(false) => {
                    let detail = format!("{statement} is withheld, so its receipt cannot be checked");
                    report.add(check, Outcome::NotProven, input, detail);
                }
                Err(error) => report.fail(check, input, error),
            },
        }
    }
}

/// Whether a receipt and its checkpoint prove a statement of this chain.
fn receipted(
    chain: &Chain,
    position: Position,
    statement: &StatementId,
    receipt: &ByteString,
    checkpoint: &ByteString,
) -> Result<bool, String> {
    let organisation = chain.state.organisation();
    let (checkpoint, _, chain_key) =
        chain.state.epochs().open_checkpoint(&checkpoint.0).map_err(|e| format!("checkpoint: {e}"))?;
    chain.begins_with(checkpoint.size, &checkpoint.root)?;
    let Some(found) = chain.find(statement) else { return Ok(false) };
    if found.position() != position {
        return Err(format!("{statement} stands at {}, not at {position}", found.position()));
    }
    let leaf = LeafDigest::of(found.bytes());
    let receipt = Receipt::parse(&receipt.0).map_err(|e| e.to_string())?;
    receipt
        .verify_with_checkpoint(&organisation, &chain_key, &leaf, &checkpoint)
        .map_err(|e| format!("receipt: {e}"))?;
    Ok(true)
}

/// Computes each decision again from what it says that it was made from.
///
/// What rests on something that is `limited` to others than the file is for is not proven here.
pub(super) fn decisions(
    chains: &Chains,
    forked: &BTreeSet<OrganisationId>,
    limited: &BTreeSet<StatementId>,
    report: &mut Report,
) {
    let mut evaluator = Evaluator::default();
    for verified in all(chains) {
        let Payload::Decision(decision) = verified.payload() else { continue };
        let input = verified.id().to_string();
        let mut entry = DecisionReport {
            decision: verified.id(),
            organisation: verified.organisation(),
            mode: decision.mode,
            verdict: hex(&decision.verdict.0),
            recomputed: None,
        };
        for organisation in decision.forked.iter().filter(|id| !forked.contains(*id)) {
            let detail = format!("no proof that {organisation} signed contradicting heads is here");
            report.add("misbehaviour", Outcome::NotProven, &input, detail);
        }
        match again(chains, verified.organisation(), decision, limited, &mut evaluator) {
            Ok((recomputed, verdict)) if recomputed == **decision => {
                entry.recomputed = Some(hex(&decision.verdict.0));
                let detail = format!("computed anew from its inputs: {}, byte for byte", verdict.mode);
                report.pass("decision", input, detail);
            }
            Ok((recomputed, _)) => {
                entry.recomputed = Some(hex(&recomputed.verdict.0));
                let detail = format!(
                    "it records {}; its inputs give {} or otherwise differ",
                    decision.mode, recomputed.mode
                );
                report.fail("decision", input, detail);
            }
            Err((Outcome::NotProven, why)) => report.add("decision", Outcome::NotProven, input, why),
            Err((_, why)) => report.fail("decision", input, why),
        }
        report.decisions.push(entry);
    }
}

type Replayed = Result<(Decision, Verdict), (Outcome, String)>;

fn again(
    chains: &Chains,
    decider: OrganisationId,
    decision: &Decision,
    limited: &BTreeSet<StatementId>,
    evaluator: &mut Evaluator,
) -> Replayed {
    let failed = |why: String| (Outcome::Failed, why);
    let mut states: Vec<(&Basis, &Chain, SignedHead, OrganisationState)> = Vec::new();
    for basis in &decision.basis {
        let organisation = basis.organisation;
        let Some(chain) = chains.get(&organisation) else {
            return Err(failed(format!("the chain of {organisation}, which it rests on, was left out")));
        };
        let head = open_head(basis, &chain.state).map_err(|error| failed(error.to_string()))?;
        if head.organisation() != organisation || contradiction(&head, &chain.head).is_some() {
            return Err(failed(format!("its head of {organisation} contradicts the one in this bundle")));
        }
        chain
            .begins_with(head.size(), &head.root())
            .map_err(|error| failed(format!("its head of {organisation}: {error}")))?;
        let state = chain
            .state_at(head.size(), head.standing())
            .map_err(|error| failed(format!("its head of {organisation}: {error}")))?;
        states.push((basis, chain, head, state));
    }
    let mut evidence = Vec::with_capacity(decision.evidence.len());
    for item in &decision.evidence {
        let found = chains.get(&item.organisation).and_then(|chain| chain.find(&item.statement));
        match found {
            Some(found) if found.position() == item.position => evidence.push(found),
            Some(_) => return Err(failed(format!("{} stands elsewhere than it says", item.statement))),
            None => {
                let is_limited = limited.contains(&item.statement);
                let what =
                    if is_limited { "is limited to others than this file is for" } else { "is not here" };
                let why = format!("{}, which it weighed, {what}", item.statement);
                return Err((Outcome::NotProven, why));
            }
        }
    }
    let views = states
        .iter()
        .map(|(basis, chain, head, state)| {
            let standing = chain.standing(head.size()).collect();
            (basis.organisation, ChainView { state, standing, basis: (*basis).clone() })
        })
        .collect::<BTreeMap<_, _>>();
    let inputs = Inputs {
        decider,
        request: decision.request.clone(),
        time: decision.time,
        mesh: decision.mesh,
        chains: views,
        inquiries: decision.inquiries.clone(),
        silence: decision.silence,
        evidence,
        forked: decision.forked.iter().copied().collect(),
    };
    decide_with(&inputs, evaluator).map_err(|error| failed(error.to_string()))
}

/// Permits give what their decisions decided and no more; effects compare what was predicted with what was observed;
/// corrective actions are about nonconformities; and an override stands for one decision, which is to be reviewed.
pub(super) fn actuation(chains: &Chains, report: &mut Report) {
    overrides(chains, report);
    for verified in all(chains) {
        let (check, outcome) = match verified.payload() {
            Payload::Permit(permit) => ("permit", follows(chains, verified, permit)),
            Payload::Effect(effect) => ("effect", compared(chains, verified, effect)),
            Payload::CorrectiveAction(action) => ("corrective-action", corrected(chains, action)),
            _ => continue,
        };
        let input = verified.id().to_string();
        match outcome {
            Ok(Some(detail)) => report.pass(check, input, detail),
            Ok(None) => report.add(check, Outcome::NotProven, input, "what it follows from is not here"),
            Err(why) => report.fail(check, input, why),
        }
    }
}

fn follows(chains: &Chains, verified: &Verified, permit: &Permit) -> Result<Option<String>, String> {
    let Some(decision) = find(chains, &permit.decision) else { return Ok(None) };
    let Payload::Decision(decided) = decision.payload() else {
        return Err(format!("{} is no decision", permit.decision));
    };
    if decision.organisation() != verified.organisation() {
        return Err("it follows from another organisation's decision".into());
    }
    let verdict: Verdict =
        codec::decode(&decided.verdict.0, PAYLOAD_BYTES_MAX).map_err(|e| format!("verdict: {e}"))?;
    if permit.mode != decided.mode || permit.scopes != verdict.scopes {
        return Err("it permits another mode or other scopes than were decided".into());
    }
    if permit.stage != verdict.governed.and_then(|governed| governed.permit_stage()) {
        return Err("it is for another stage than was decided".into());
    }
    if permit.actuator != decided.request.actuator {
        return Err("it is for another actuator than the decision".into());
    }
    Ok(Some(format!("{} for {}, as decided", permit.mode, permit.actuator)))
}

fn compared(chains: &Chains, verified: &Verified, effect: &Effect) -> Result<Option<String>, String> {
    let Some(permit) = find(chains, &effect.permit) else { return Ok(None) };
    let Payload::Permit(permitted) = permit.payload() else {
        return Err(format!("{} is no permit", effect.permit));
    };
    let Some(decision) = find(chains, &permitted.decision) else { return Ok(None) };
    let Payload::Decision(decided) = decision.payload() else {
        return Err(format!("{} is no decision", permitted.decision));
    };
    let reused = all(chains).any(|other| {
        matches!(other.payload(), Payload::Effect(other) if other.permit == effect.permit)
            && (other.organisation(), other.position()) < (verified.organisation(), verified.position())
    });
    if reused {
        return Err(format!("{} was used before", effect.permit));
    }
    if effect.mismatches != Effect::compare(&decided.request.predicted, &effect.observed) {
        return Err("its comparison with what was predicted is wrong".into());
    }
    let count = effect.mismatches.len();
    Ok(Some(format!("{count} mismatches with what was predicted")))
}

fn corrected(chains: &Chains, action: &CorrectiveAction) -> Result<Option<String>, String> {
    let Some(nonconformity) = find(chains, &action.nonconformity) else { return Ok(None) };
    if !matches!(nonconformity.payload(), Payload::Nonconformity(_)) {
        return Err(format!("{} is no nonconformity", action.nonconformity));
    }
    Ok(Some(
        if action.closes { "it closes its nonconformity" } else { "its nonconformity stays open" }.into(),
    ))
}

/// Each decision that stands on an override is the only one that does, and a nonconformity asks for its review.
fn overrides(chains: &Chains, report: &mut Report) {
    let mut used = BTreeSet::new();
    let reviewed: BTreeSet<StatementId> = all(chains)
        .filter_map(|verified| match verified.payload() {
            Payload::Nonconformity(nonconformity) => Some(nonconformity.cause),
            _ => None,
        })
        .collect();
    for verified in all(chains) {
        let Payload::Decision(decision) = verified.payload() else { continue };
        let verdict: Option<Verdict> = codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX).ok();
        let Some(overridden) = verdict.and_then(|verdict| verdict.governed?.overridden) else { continue };
        let input = verified.id().to_string();
        if !used.insert(overridden.statement) {
            report.fail(
                "override",
                input,
                format!("{} was used for a decision before", overridden.statement),
            );
        } else if reviewed.contains(&verified.id()) {
            report.pass("override", input, format!("by {}, and to be reviewed", overridden.authority));
        } else {
            let detail = "no nonconformity that asks for its review is here";
            report.add("override", Outcome::NotProven, input, detail);
        }
    }
}

fn hex(verdict: &[u8]) -> String {
    HEXLOWER.encode(&blake3(verdict))
}
