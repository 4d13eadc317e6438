//! Bundles of organisations outside this mesh: a lineage comes in whole, with the signatures, credentials and proofs that it has
//! there. Nothing of it is signed again: the claim names the statements that the bundle is about, and the document keeps the rest.

use std::collections::BTreeSet;

use ciborium::Value;
use counterfoil_protocol::bundle::{Outcome, Report, open};
use counterfoil_protocol::ids::{StatementId, Timestamp};
use counterfoil_protocol::observation::{SourceSignature, Subject};
use counterfoil_protocol::statement::{Payload, Verified};

use super::proof::Proof;
use super::{ImportError, Imported, Input};

const CLAIM: &str = "attestation/counterfoil";

/// A bundle as a claim: about its statements, and what they are about.
pub(super) fn read(input: &Input<'_>) -> Result<Imported, ImportError> {
    let policies = input.trust.policies();
    let trusted = policies.iter().find(|policy| open(input.bytes, Some(policy)).0.is_verified());
    let (report, about) = open(input.bytes, trusted);
    if let Some(failed) = report.failures().next() {
        let detail = format!("{} of {}: {}", failed.check, failed.input, failed.detail);
        return Err(input.fail("bundle-proof", detail));
    }
    if about.is_empty() {
        return Err(input.fail("bundle-proof", "it is about no statement that is in it"));
    }
    if trusted.is_none() && !policies.is_empty() {
        return Err(input.fail("bundle-trust", "its chains are not those that any trust file given names"));
    }
    let mut imported =
        input.claim("counterfoil/bundle", CLAIM, subjects(&about), proof(&report, &about, trusted.is_some()));
    imported.effective = about.iter().map(|one| one.statement().header().issued_at).max();
    imported.adverse = about.iter().any(is_adverse);
    let text = |text: &str| Value::Text(text.to_owned());
    let organisations =
        report.organisations.iter().map(|one| text(&format!("{} {}", one.organisation, one.name)));
    imported.content.insert("organisations".into(), Value::Array(organisations.collect()));
    let statements = about.iter().map(|one| text(&format!("{} {}", one.kind(), one.id())));
    imported.content.insert("statements".into(), Value::Array(statements.collect()));
    Ok(imported)
}

/// The statements, and what those say that they are about.
fn subjects(about: &[Verified]) -> Vec<Subject> {
    let named = about.iter().flat_map(|one| match one.payload() {
        Payload::Observation(observation) => observation.subjects.clone(),
        Payload::Decision(decision) => decision.request.subjects.clone(),
        _ => Vec::new(),
    });
    about.iter().map(|one| Subject::Statement(one.id())).chain(named).collect()
}

fn is_adverse(one: &Verified) -> bool {
    match one.payload() {
        Payload::Observation(observation) => observation.adverse,
        Payload::Recall(_) | Payload::Nonconformity(_) => true,
        _ => false,
    }
}

fn proof(report: &Report, about: &[Verified], is_trusted: bool) -> Proof {
    let names: Vec<&str> = report.organisations.iter().map(|one| one.name.as_str()).collect();
    let authors: BTreeSet<String> = about.iter().map(|one| one.organisation().to_string()).collect();
    let signers = authors.into_iter().collect::<Vec<_>>().join(", ");
    let holds = format!("signatures, credentials and trees of {} hold", names.join(", "));
    let mut proof = if is_trusted {
        Proof::verified("bundle-proof", signers, holds)
    } else {
        let detail = format!("{holds}, but nothing that is trusted here says who they are");
        Proof { signer: Some(signers), ..Proof::unverified("bundle-proof", detail) }
    };
    proof.witnessed = witnessed(report, about);
    let passed =
        |name: &str| report.checks.iter().any(|one| one.check == name && one.outcome == Outcome::Passed);
    if is_trusted && proof.witnessed.is_some() && passed("trust-quorum") {
        proof.signature = SourceSignature::VerifiedAndLogged;
    }
    let unproven = report.checks.iter().filter(|check| check.outcome == Outcome::NotProven);
    for check in unproven.take(8) {
        proof = proof.and(check.check, false, check.detail.clone());
    }
    proof
}

/// When a quorum of their witnesses had seen all of these statements.
fn witnessed(report: &Report, about: &[Verified]) -> Option<Timestamp> {
    let ids: BTreeSet<StatementId> = about.iter().map(Verified::id).collect();
    let times = report.times.iter().filter(|times| ids.contains(&times.statement));
    times.map(|times| times.not_after).collect::<Option<Vec<_>>>()?.into_iter().max()
}
